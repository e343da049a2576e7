// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {HashProof} from "../../../contracts/HashProof.sol";
import {Shares} from "./Shares.sol";
import {Test} from "./Test.sol";

/// @notice A registered fleet in an open epoch, and headers of this chain as its nodes would encode them.
abstract contract HashProofFixture is Test {
    bytes32 internal constant FLEET = bytes32(uint256(0xF1EE7));
    uint32 internal constant E = 70_001;
    uint256 internal constant COUNT = 16;
    HashProof internal proof;
    bytes32 internal seed;
    bytes4 internal tag;

    function setUp() public virtual {
        vm.warp((E - 1) * EPOCH + 5);
        proof = new HashProof(COUNT);
        proof.register(FLEET);
        vm.warp(E * EPOCH + 60);
        vm.roll(1_000);
        seed = open(E, 990, E * EPOCH - 12, E * EPOCH);
        tag = proof.tagOf(FLEET, E);
    }

    /// @notice Makes block `number` of this chain one of time `time`, and opens its epoch.
    function open(uint32 epoch, uint256 number, uint256 timeBefore, uint256 time) internal returns (bytes32 hash) {
        (bytes memory parent, bytes memory first) = headers(number, timeBefore, time);
        hash = keccak256(first);
        vm.setBlockhash(number, hash);
        proof.openEpoch(parent, first);
        assertEq(proof.seedOf(epoch), hash, "seed");
    }

    function headers(uint256 number, uint256 timeBefore, uint256 time)
        internal
        pure
        returns (bytes memory parent, bytes memory first)
    {
        parent = header(keccak256("before"), number - 1, timeBefore);
        first = header(keccak256(parent), number, time);
    }

    /// @notice RLP of a header with all fields of Prague.
    function header(bytes32 parent, uint256 number, uint256 time) internal pure returns (bytes memory) {
        bytes memory roots = abi.encodePacked(hex"a0", keccak256("s"), hex"a0", keccak256("t"), hex"a0", keccak256("r"));
        bytes memory head = abi.encodePacked(
            hex"a0", parent, hex"a0", keccak256("ommers"), hex"94", address(0xFEE), roots, hex"b90100", new bytes(256)
        );
        bytes memory numbers =
            abi.encodePacked(hex"80", _rlp(number), _rlp(30_000_000), _rlp(number % 2 == 0 ? 0 : 21_000), _rlp(time));
        bytes memory tail = abi.encodePacked(hex"80a0", bytes32(0), hex"88", bytes8(0), _rlp(1e9));
        bytes memory body = abi.encodePacked(head, numbers, tail);
        return abi.encodePacked(hex"f9", uint16(body.length), body);
    }

    function _rlp(uint256 value) private pure returns (bytes memory out) {
        if (value == 0) return hex"80";
        uint256 size = 1;
        while (value >> 8 * size != 0) {
            ++size;
        }
        if (size == 1 && value < 0x80) return abi.encodePacked(uint8(value));
        out = abi.encodePacked(bytes32(value << 8 * (32 - size)));
        assembly ("memory-safe") {
            mstore(out, size)
        }
        return abi.encodePacked(uint8(0x80 + size), out);
    }

    /// @notice `COUNT` shares with `tag_`, in order, and their highest hash.
    function batch(bytes4 tag_, uint256 salt) internal pure returns (bytes[] memory packed, uint256 highest) {
        Shares.Share[] memory list = new Shares.Share[](COUNT);
        for (uint256 i = 0; i < COUNT; ++i) {
            list[i] = Shares.make(tag_, 40, 52, 12, salt * 1000 + i);
        }
        return Shares.sorted(list);
    }

    function prove(bytes[] memory shares) internal {
        proof.prove(FLEET, E, type(uint256).max, shares);
    }
}
