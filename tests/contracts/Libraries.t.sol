// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {IHashProof} from "../../contracts/interfaces/IHashProof.sol";
import {BitcoinTx} from "../../contracts/libraries/BitcoinTx.sol";
import {EvmHeader} from "../../contracts/libraries/EvmHeader.sol";
import {LedgerTree} from "../../contracts/libraries/LedgerTree.sol";
import {Outflow} from "../../contracts/libraries/Outflow.sol";
import {Bitcoin} from "./utils/Bitcoin.sol";
import {Test} from "./utils/Test.sol";

/// @notice Calldata for libraries that read it.
contract Reader {
    function parse(bytes calldata raw) external pure returns (BitcoinTx.Layout memory) {
        return BitcoinTx.parse(raw);
    }

    function output(bytes calldata raw, uint256 cursor) external pure returns (uint256, bytes memory, uint256) {
        return BitcoinTx.output(raw, cursor);
    }

    function parent(bytes calldata header) external pure returns (bytes32) {
        return EvmHeader.parent(header);
    }

    function numberAndTime(bytes calldata header) external pure returns (uint256, uint256) {
        return EvmHeader.numberAndTime(header);
    }

    function root(uint256 index, IEpochLedger.Root calldata leaf, bytes calldata siblings)
        external
        pure
        returns (bytes32 hash, uint256 accSum, uint256 paidSum)
    {
        return LedgerTree.rootOfPacked(index, leaf, siblings);
    }
}

/// @notice What the readers of foreign bytes refuse, also where the contracts have checked it before.
contract LibrariesTest is Test {
    Reader private _reader;

    function setUp() public {
        _reader = new Reader();
    }

    /* BITCOIN TRANSACTIONS */

    function _transaction(uint256 scriptBytes) private pure returns (bytes memory) {
        Bitcoin.Output[] memory outputs = new Bitcoin.Output[](1);
        outputs[0] = Bitcoin.Output(5, new bytes(scriptBytes));
        return Bitcoin.transaction(keccak256("before"), 3, outputs);
    }

    function test_longScriptsAreReadWithCare() public view {
        uint256[4] memory sizes = [uint256(63), 64, 252, 300];
        for (uint256 i = 0; i < 4; ++i) {
            BitcoinTx.Layout memory found = _reader.parse(_transaction(sizes[i]));
            assertEq(found.sats, 5, "sats");
            assertEq(found.outputs, 1, "outputs");
            assertEq(found.inputVout, 3, "vout");
        }
    }

    function test_aTransactionWithoutOutputsIsNone() public {
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        _reader.parse(Bitcoin.transaction(keccak256("before"), 3, new Bitcoin.Output[](0)));
    }

    /// Inputs and outputs that say they are longer than the transaction.
    function test_partsBeyondTheEndAreRefused() public {
        bytes memory raw = _transaction(22);
        // version 4, count 1, outpoint 36: then the first input's script length
        assertEq(uint8(raw[41]), 0, "no script");
        raw[41] = 0xf0;
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        _reader.parse(raw);
        raw = _transaction(22);
        // the output's script ends four bytes before the end
        assertEq(uint8(raw[raw.length - 4 - 22 - 1]), 22, "script length");
        raw[raw.length - 4 - 22 - 1] = 0x1b;
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        _reader.parse(raw);
    }

    function test_outputsThatEndEarlyAreRefused() public {
        bytes memory raw = abi.encodePacked(Bitcoin.le(7, 8), hex"0251ac");
        (uint256 sats, bytes memory script, uint256 next) = _reader.output(raw, 0);
        assertEq(sats, 7, "sats");
        assertEq(keccak256(script), keccak256(hex"51ac"), "script");
        assertEq(next, raw.length, "all of it");
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        _reader.output(raw, raw.length + 1);
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        _reader.output(raw, raw.length - 8);
        raw = abi.encodePacked(Bitcoin.le(7, 8), hex"0351ac");
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        _reader.output(raw, 0);
    }

    /* EVM HEADERS */

    function _evmHeader(bytes memory fields) private pure returns (bytes memory) {
        // list prefix, and as many bytes as five hashes, an address and the bloom filter take
        return abi.encodePacked(hex"f90200", new bytes(5 * 33 + 21 + 259), fields);
    }

    function test_evmHeaderFields() public view {
        // difficulty 0, number 300, gas limit 5, gas used 0, time 0x65000000
        (uint256 number, uint256 time) = _reader.numberAndTime(_evmHeader(hex"8082012c05808465000000"));
        assertEq(number, 300, "number");
        assertEq(time, 0x65000000, "time");
    }

    function test_BadHeader() public {
        bytes memory noList = _evmHeader(hex"8082012c05808465000000");
        noList[0] = 0xf8;
        bytes[5] memory bad = [
            new bytes(447),
            noList,
            _evmHeader(hex"80"),
            _evmHeader(hex"8082012c0580846500"),
            _evmHeader(abi.encodePacked(hex"80a1", new bytes(40)))
        ];
        for (uint256 i = 0; i < 5; ++i) {
            vm.expectRevert(IHashProof.BadHeader.selector);
            _reader.numberAndTime(bad[i]);
        }
        vm.expectRevert(IHashProof.BadHeader.selector);
        _reader.parent(noList);
    }

    /* PAYOUT TREE */

    function test_branchesOfBrokenSiblingsAreRefused() public {
        IEpochLedger.Root memory leaf = IEpochLedger.Root(keccak256("leaf"), 3, 2);
        bytes memory sibling = abi.encodePacked(keccak256("sibling"), uint128(5), uint64(4));
        (bytes32 hash, uint256 accSum, uint256 paidSum) = _reader.root(1, leaf, sibling);
        assertEq(
            hash, keccak256(abi.encodePacked(hex"01", sibling, leaf.hash, leaf.accSum, leaf.paidSum)), "right child"
        );
        assertEq(accSum, 8, "sum of credits");
        assertEq(paidSum, 6, "sum of payments");
        vm.expectRevert(IEpochLedger.BadLeaf.selector);
        _reader.root(1, leaf, abi.encodePacked(sibling, hex"00"));
        vm.expectRevert(IEpochLedger.BadLeaf.selector);
        _reader.root(2, leaf, sibling);
        vm.expectRevert(bytes(""));
        _reader.root(1, leaf, abi.encodePacked(keccak256("sibling"), type(uint128).max, uint64(4)));
        vm.expectRevert(bytes(""));
        _reader.root(1, leaf, abi.encodePacked(keccak256("sibling"), uint128(5), type(uint64).max));
    }

    /* BUCKET */

    function test_aBucketOfNothingGivesNothing() public pure {
        assertEq(Outflow.spanOf_ceil(0, 0), 0, "nothing takes nothing");
        assertEq(Outflow.spanOf_ceil(1, 0), type(uint256).max, "more than any span");
        assertEq(Outflow.spanOf_ceil(1, Outflow.FULL), 1, "rounded up");
    }
}
