// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../../contracts/interfaces/IEpochLedger.sol";

/// @title Bitcoin
/// @notice Builds regtest-like transactions and blocks. Written apart from the contracts' parser.
library Bitcoin {
    struct Output {
        uint64 sats;
        bytes script;
    }

    struct Chain {
        bytes headers;
        bytes32 tip;
    }

    uint32 internal constant BITS = 0x207fffff;
    uint256 internal constant TARGET = 0x7fffff << 232;

    function le(uint256 value, uint256 length) internal pure returns (bytes memory out) {
        out = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            out[i] = bytes1(uint8(value >> (8 * i)));
        }
    }

    function size(uint256 n) internal pure returns (bytes memory) {
        return n < 0xfd ? le(n, 1) : abi.encodePacked(hex"fd", le(n, 2));
    }

    function serialise(Output[] memory outputs, uint256 from) internal pure returns (bytes memory out) {
        for (uint256 i = from; i < outputs.length; ++i) {
            out = abi.encodePacked(out, le(outputs[i].sats, 8), size(outputs[i].script.length), outputs[i].script);
        }
    }

    function transaction(bytes32 txid, uint32 vout, Output[] memory outputs) internal pure returns (bytes memory) {
        bytes memory second = abi.encodePacked(keccak256("funding"), le(7, 4), hex"00", hex"fdffffff");
        return abi.encodePacked(
            le(2, 4),
            hex"02",
            txid,
            le(vout, 4),
            hex"00",
            hex"fdffffff",
            second,
            size(outputs.length),
            serialise(outputs, 0),
            le(0, 4)
        );
    }

    function coinbase(uint256 height) internal pure returns (bytes memory) {
        bytes memory script = abi.encodePacked(hex"03", le(height, 3));
        bytes memory input = abi.encodePacked(bytes32(0), hex"ffffffff", size(script.length), script, hex"ffffffff");
        return abi.encodePacked(le(1, 4), hex"01", input, hex"01", le(50e8, 8), hex"0151", le(0, 4));
    }

    function hash256(bytes memory data) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(sha256(data)));
    }

    function header(bytes32 previous, bytes32 root, uint32 bits) internal pure returns (bytes memory) {
        for (uint256 nonce = 0;; ++nonce) {
            bytes memory h = abi.encodePacked(le(0x20000000, 4), previous, root, le(1e9, 4), le(bits, 4), le(nonce, 4));
            if (uint256(reverse(hash256(h))) <= TARGET) return h;
        }
        return "";
    }

    function reverse(bytes32 value) internal pure returns (bytes32 out) {
        for (uint256 i = 0; i < 32; ++i) {
            out |= bytes32(uint256(uint8(value[i])) << (8 * i));
        }
    }

    /// @notice Merkle root and the branch of leaf `index`.
    function tree(bytes32[] memory leaves, uint256 index) internal pure returns (bytes32 root, bytes memory branch) {
        bytes32[] memory level = leaves;
        while (level.length > 1) {
            uint256 sibling = index ^ 1;
            branch = abi.encodePacked(branch, level[sibling < level.length ? sibling : index]);
            bytes32[] memory above = new bytes32[]((level.length + 1) / 2);
            for (uint256 i = 0; i < above.length; ++i) {
                bytes32 right = 2 * i + 1 < level.length ? level[2 * i + 1] : level[2 * i];
                above[i] = hash256(abi.encodePacked(level[2 * i], right));
            }
            level = above;
            index >>= 1;
        }
        root = level[0];
    }

    /// @notice A block of a coinbase, `first`, `second` and one more, proving `first`.
    function proveBoth(bytes memory first, bytes memory second, uint256 confirmations)
        internal
        pure
        returns (IEpochLedger.Proof memory proof)
    {
        bytes32[] memory leaves = new bytes32[](4);
        proof.coinbase = coinbase(7);
        leaves[0] = hash256(proof.coinbase);
        leaves[1] = hash256(first);
        leaves[2] = hash256(second);
        leaves[3] = keccak256("fourth");
        bytes32 root;
        (root, proof.branch) = tree(leaves, 1);
        (, proof.coinbaseBranch) = tree(leaves, 0);
        proof.index = 1;
        proof.transaction = first;
        bytes32 previous = keccak256("both");
        for (uint256 i = 0; i < confirmations; ++i) {
            bytes memory h = header(previous, root, BITS);
            proof.headers = abi.encodePacked(proof.headers, h);
            previous = hash256(h);
        }
    }

    /// @notice The branch of `second` in the block of `proveBoth`.
    function branchOfThird(bytes memory first_, bytes memory payout) internal pure returns (bytes memory) {
        return abi.encodePacked(keccak256("fourth"), hash256(abi.encodePacked(hash256(first_), hash256(payout))));
    }

    /// @notice A block with a coinbase, `payout` second and `others` more, and `confirmations - 1` blocks on it.
    function prove(bytes memory payout, uint256 others, uint256 confirmations, uint256 salt)
        internal
        pure
        returns (IEpochLedger.Proof memory proof)
    {
        bytes32[] memory leaves = new bytes32[](2 + others);
        proof.coinbase = coinbase(100 + salt);
        leaves[0] = hash256(proof.coinbase);
        leaves[1] = hash256(payout);
        for (uint256 i = 0; i < others; ++i) {
            leaves[2 + i] = keccak256(abi.encode(salt, i));
        }
        bytes32 root;
        (root, proof.branch) = tree(leaves, 1);
        (, proof.coinbaseBranch) = tree(leaves, 0);
        proof.index = 1;
        proof.transaction = payout;
        bytes32 previous = keccak256(abi.encode(salt));
        for (uint256 i = 0; i < confirmations; ++i) {
            bytes memory h = header(previous, i == 0 ? root : keccak256(abi.encode(salt, "empty", i)), BITS);
            proof.headers = abi.encodePacked(proof.headers, h);
            previous = hash256(h);
        }
    }
}
