// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {BitcoinScript} from "../../contracts/libraries/BitcoinScript.sol";
import {BitcoinTx} from "../../contracts/libraries/BitcoinTx.sol";
import {LedgerTree} from "../../contracts/libraries/LedgerTree.sol";
import {Bitcoin} from "./utils/Bitcoin.sol";
import {Test} from "./utils/Test.sol";

/// @notice Edges of the readers of transactions, scripts and tree branches, each called by itself.
contract TransactionRulesTest is Test {
    bytes32 private constant _TXID = keccak256("spent");
    uint256 private constant _NONE = type(uint256).max;

    /* what is called, with calldata */

    function parse(bytes calldata raw) external pure returns (BitcoinTx.Layout memory) {
        return BitcoinTx.parse(raw);
    }

    function output(bytes calldata raw, uint256 cursor) external pure returns (uint256, bytes memory, uint256) {
        return BitcoinTx.output(raw, cursor);
    }

    function compactSize(bytes calldata raw, uint256 cursor) external pure returns (uint256, uint256) {
        return BitcoinTx.compactSize(raw, cursor);
    }

    function slice(bytes calldata raw, uint256 cursor, uint256 length) external pure returns (bytes memory) {
        return BitcoinTx.slice(raw, cursor, length);
    }

    function merkleRoot(bytes32 leaf, bytes calldata branch, uint256 index) external view returns (bytes32) {
        return BitcoinTx.merkleRoot(leaf, branch, index);
    }

    function dust(bytes calldata script) external pure returns (uint16) {
        return BitcoinScript.dust(script);
    }

    function leafHash(bytes calldata acc) external pure returns (bytes32) {
        return LedgerTree.leafHash(address(7), keccak256("script"), 5, 6, 8, acc);
    }

    function accumulators(bytes calldata acc, uint16 series) external pure returns (uint256, uint256) {
        return LedgerTree.accumulators(acc, series);
    }

    function rootOf(uint256 index, IEpochLedger.Root calldata leaf, IEpochLedger.Root[] calldata siblings)
        external
        pure
        returns (IEpochLedger.Root memory)
    {
        return LedgerTree.rootOf(index, leaf, siblings);
    }

    function rootOfPacked(uint256 index, IEpochLedger.Root calldata leaf, bytes calldata siblings)
        external
        pure
        returns (bytes32, uint256, uint256)
    {
        return LedgerTree.rootOfPacked(index, leaf, siblings);
    }

    /* COMPACT SIZES */

    function _size(bytes memory raw, uint256 value) private view {
        (uint256 found, uint256 next) = this.compactSize(abi.encodePacked(hex"aabb", raw, hex"cc"), 2);
        assertEq(found, value, "value");
        assertEq(next, 2 + raw.length, "what follows");
        // one byte less is not enough
        bytes memory cut = abi.encodePacked(hex"aabb", raw);
        assembly ("memory-safe") {
            mstore(cut, sub(mload(cut), 1))
        }
        (bool ok,) = address(this).staticcall(abi.encodeCall(this.compactSize, (cut, 2)));
        assertTrue(!ok, "cut short");
    }

    function test_everyCompactSizeIsReadAtItsEnds() public view {
        _size(hex"00", 0);
        _size(hex"fc", 0xfc);
        _size(hex"fdfd00", 0xfd);
        _size(hex"fd0201", 0x102);
        _size(hex"fdffff", 0xffff);
        _size(hex"fe00000100", 0x10000);
        _size(hex"fe04030201", 0x1020304);
        _size(hex"feffffffff", 0xffffffff);
        _size(hex"ff0000000001000000", 0x100000000);
        _size(hex"ff0807060504030201", 0x102030405060708);
        _size(hex"ffffffffffffffffff", type(uint64).max);
    }

    function test_aCompactSizeHasOneForm() public {
        bytes[5] memory long =
            [bytes(hex"fdfc00"), hex"fd0000", hex"feffff0000", hex"ffffffffff00000000", hex"ff0000010000000000"];
        for (uint256 i = 0; i < long.length; ++i) {
            vm.expectRevert(IEpochLedger.BadTransaction.selector);
            this.compactSize(long[i], 0);
        }
    }

    function test_slicesStayInside() public {
        bytes memory raw = hex"010203";
        assertEq(this.slice(raw, 0, 3), raw, "all");
        assertEq(this.slice(raw, 1, 1), hex"02", "one");
        assertEq(this.slice(raw, 3, 0), "", "none, at the end");
        uint256[2][4] memory bad = [[uint256(0), 4], [uint256(3), 1], [uint256(4), 0], [uint256(2), _NONE]];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(IEpochLedger.BadTransaction.selector);
            this.slice(raw, bad[i][0], bad[i][1]);
        }
    }

    /* TRANSACTIONS */

    /// @dev Two inputs; the first one's script has `scriptBytes`.
    function _transaction(uint256 scriptBytes, Bitcoin.Output[] memory outputs) private pure returns (bytes memory) {
        bytes memory script = abi.encodePacked(Bitcoin.size(scriptBytes), new bytes(scriptBytes), hex"fdffffff");
        bytes memory second = abi.encodePacked(keccak256("other"), hex"07000000", hex"00", hex"fdffffff");
        bytes memory inputs = abi.encodePacked(hex"02", _TXID, hex"04030201", script, second);
        bytes memory list = abi.encodePacked(Bitcoin.size(outputs.length), Bitcoin.serialise(outputs, 0));
        return abi.encodePacked(hex"02000000", inputs, list, hex"00000000");
    }

    function _outputs(uint256 count, uint64 sats, uint256 scriptBytes)
        private
        pure
        returns (Bitcoin.Output[] memory list)
    {
        list = new Bitcoin.Output[](count);
        for (uint256 i = 0; i < count; ++i) {
            list[i] = Bitcoin.Output(sats, new bytes(scriptBytes));
        }
    }

    /// Whatever the sizes: inputs with long scripts, any number of outputs, scripts short, long or on the verge.
    function test_layoutOfATransaction() public view {
        uint256[3] memory inputScripts = [uint256(0), 252, 300];
        uint256[7] memory outputScripts = [uint256(0), 22, 63, 64, 252, 253, 300];
        for (uint256 i = 0; i < 21; ++i) {
            uint256 count = i % 5 == 0 ? 254 : 1 + i % 5;
            bytes memory raw =
                _transaction(inputScripts[i % 3], _outputs(count, 0x0102030405060708, outputScripts[i % 7]));
            BitcoinTx.Layout memory found = this.parse(raw);
            assertEq(found.inputTxid, _TXID, "outpoint");
            assertEq(found.inputVout, 0x01020304, "outpoint's output");
            assertEq(found.inputs, 2, "inputs");
            assertEq(found.outputs, count, "outputs");
            assertEq(found.sats, count * 0x0102030405060708, "sats");
            uint256 before = 4 + 1 + 36 + Bitcoin.size(inputScripts[i % 3]).length + inputScripts[i % 3] + 4 + 41;
            assertEq(found.outputsAt, before + Bitcoin.size(count).length, "where outputs begin");
        }
    }

    /// The largest amounts, more of them than are summed at once.
    function test_sumsDoNotOverflowTheirLanes() public view {
        uint256[5] memory counts = [uint256(256), 257, 258, 514, 600];
        for (uint256 i = 0; i < counts.length; ++i) {
            BitcoinTx.Layout memory found = this.parse(_transaction(0, _outputs(counts[i], type(uint64).max, 0)));
            assertEq(found.sats, counts[i] * uint256(type(uint64).max), "all bits of all");
        }
    }

    /// One long script among short ones changes how they are read, not what is read.
    function test_oneLongScriptAmongMany() public view {
        Bitcoin.Output[] memory list = _outputs(520, 3, 22);
        list[300].script = new bytes(280);
        assertEq(this.parse(_transaction(0, list)).sats, 1560, "sats");
        list[519].script = new bytes(65);
        assertEq(this.parse(_transaction(0, list)).sats, 1560, "sats");
    }

    /// Nor where what follows the long one, read out of step, would lead beyond the end.
    function test_aLongScriptLeadsNowhere() public view {
        Bitcoin.Output[] memory list = _outputs(40, 3, 22);
        for (uint256 i = 1; i < list.length; ++i) {
            list[i].script = abi.encodePacked(bytes22(type(uint176).max));
        }
        for (uint256 length = 253; length < 300; ++length) {
            list[0].script = new bytes(length);
            assertEq(this.parse(_transaction(0, list)).sats, 120, "sats");
        }
    }

    /// What would be the second input's bytes reads as outputs: only the count says that there are no inputs.
    function test_aTransactionHasInputsAndOutputs() public {
        bytes memory none = abi.encodePacked(hex"02000000", hex"00", hex"02", bytes8(0), hex"15", new bytes(21));
        none = abi.encodePacked(none, bytes8(0), hex"03", new bytes(3), hex"00000000");
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        this.parse(none);
        bytes memory raw = _transaction(0, _outputs(0, 0, 0));
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        this.parse(raw);
    }

    function test_64BytesAreNoTransaction() public {
        for (uint256 more = 3; more <= 5; ++more) {
            bytes memory input = abi.encodePacked(hex"01", _TXID, hex"01000000", uint8(more), new bytes(more));
            bytes memory raw =
                abi.encodePacked(hex"02000000", input, hex"ffffffff", hex"01", bytes8(0), hex"00", hex"00000000");
            if (more == 4) vm.expectRevert(IEpochLedger.BadTransaction.selector);
            this.parse(raw);
            assertEq(raw.length, 60 + more, "length");
        }
    }

    /// Of the last four bytes none may be missing, and none may follow.
    function test_aTransactionEndsWithItsLockTime() public view {
        bytes memory raw = _transaction(5, _outputs(3, 9, 22));
        for (uint256 length = 0; length < raw.length; ++length) {
            bytes memory cut = abi.encodePacked(raw);
            assembly ("memory-safe") {
                mstore(cut, length)
            }
            _refused(abi.encodeCall(this.parse, (cut)));
        }
        _refused(abi.encodeCall(this.parse, (abi.encodePacked(raw, hex"00"))));
    }

    function _refused(bytes memory call) private view {
        (bool ok, bytes memory why) = address(this).staticcall(call);
        assertTrue(!ok, "refused");
        assertEq(why, abi.encodeWithSelector(IEpochLedger.BadTransaction.selector), "as no transaction");
    }

    /// A count of four thousand million outputs is not believed.
    function test_aCountBeyondTheBytesCostsLittle() public {
        bytes memory head = abi.encodePacked(hex"02000000", hex"01", _TXID, hex"01000000", hex"00", hex"fdffffff");
        bytes memory raw = abi.encodePacked(head, hex"feffffffff", new bytes(90));
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        this.parse{gas: 3_000_000}(raw);
        raw = abi.encodePacked(hex"02000000", hex"feffffffff", new bytes(90));
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        this.parse{gas: 3_000_000}(raw);
    }

    function test_anOutputMayEndWithTheBytes() public {
        bytes memory raw = abi.encodePacked(Bitcoin.le(0x0102030405060708, 8), hex"00");
        (uint256 sats, bytes memory script, uint256 next) = this.output(raw, 0);
        assertEq(sats, 0x0102030405060708, "sats");
        assertEq(script.length, 0, "no script");
        assertEq(next, 9, "all of it");
        for (uint256 length = 252; length <= 254; ++length) {
            bytes memory long = new bytes(length);
            long[length - 1] = 0x51;
            raw = abi.encodePacked(hex"ee", Bitcoin.le(77, 8), Bitcoin.size(length), long);
            (sats, script, next) = this.output(raw, 1);
            assertEq(sats, 77, "sats");
            assertEq(script, long, "script");
            assertEq(next, raw.length, "all of it");
        }
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        this.output(raw, raw.length - 8);
        vm.expectRevert(IEpochLedger.BadTransaction.selector);
        this.output(raw, raw.length + 1);
    }

    function test_aBranchLeadsToOnePlace() public {
        bytes32[] memory leaves = new bytes32[](8);
        for (uint256 i = 0; i < 8; ++i) {
            leaves[i] = keccak256(abi.encode(i));
        }
        for (uint256 i = 0; i < 8; ++i) {
            (bytes32 root, bytes memory branch) = Bitcoin.tree(leaves, i);
            assertEq(this.merkleRoot(leaves[i], branch, i), root, "root");
            assertTrue(this.merkleRoot(leaves[i], branch, i ^ 1) != root, "its neighbour's place");
            vm.expectRevert(IEpochLedger.NotInBlock.selector);
            this.merkleRoot(leaves[i], branch, i + 8);
            vm.expectRevert(IEpochLedger.NotInBlock.selector);
            this.merkleRoot(leaves[i], abi.encodePacked(branch, hex"00"), i);
        }
        assertEq(this.merkleRoot(leaves[0], "", 0), leaves[0], "alone");
    }

    /* SCRIPTS */

    /// @dev `fixedBytes`: bit i set where byte i of the script is the template's.
    function _template(bytes memory script, uint256 fixedBytes, uint16 limit) private view {
        assertEq(this.dust(script), limit, "dust");
        assertEq(this.dust(abi.encodePacked(script, hex"00")), 0, "a byte more");
        bytes memory less = abi.encodePacked(script);
        assembly ("memory-safe") {
            mstore(less, sub(mload(less), 1))
        }
        assertEq(this.dust(less), 0, "a byte less");
        for (uint256 i = 0; i < script.length; ++i) {
            for (uint256 bit = 0; bit < 8; ++bit) {
                bytes memory other = abi.encodePacked(script);
                other[i] ^= bytes1(uint8(1 << bit));
                assertEq(this.dust(other), fixedBytes >> i & 1 == 1 ? 0 : limit, "a bit of it");
            }
        }
    }

    function test_fiveTemplatesAndNoOther() public view {
        bytes20 hash = bytes20(keccak256("key"));
        _template(abi.encodePacked(hex"0014", hash), 3, 294);
        _template(abi.encodePacked(hex"0020", keccak256("script")), 3, 330);
        _template(abi.encodePacked(hex"5120", keccak256("output key")), 3, 330);
        _template(abi.encodePacked(hex"a914", hash, hex"87"), 3 | 1 << 22, 540);
        _template(abi.encodePacked(hex"76a914", hash, hex"88ac"), 7 | 3 << 23, 546);
    }

    /* TREE */

    /// An accumulator is all of its 16 bytes: the lowest bit alone is one, and so is the highest.
    function test_anAccumulatorIsNotZeroByAnyBit() public {
        for (uint256 bit = 0; bit < 128; ++bit) {
            bytes memory acc = abi.encodePacked(uint16(1), uint128(1 << bit), uint16(9), uint128(2));
            bytes memory leaf = abi.encodePacked(address(7), keccak256("script"), uint64(5), uint32(6), uint32(8));
            assertEq(this.leafHash(acc), keccak256(abi.encodePacked(hex"00", leaf, hex"02", acc)), "hash");
            (uint256 sum, uint256 one) = this.accumulators(acc, 1);
            assertEq(one, 1 << bit, "of the series");
            assertEq(sum, (1 << bit) + 2, "of both");
        }
        bytes memory none = abi.encodePacked(uint16(1), uint128(1), uint16(2), uint128(0));
        vm.expectRevert(IEpochLedger.BadLeaf.selector);
        this.leafHash(none);
        (, uint256 unlisted) = this.accumulators(none, 3);
        assertEq(unlisted, 0, "not listed");
    }

    function test_aLeafHasAtMost16Series() public {
        bytes memory acc;
        for (uint16 i = 0; i < 16; ++i) {
            acc = abi.encodePacked(acc, 1 + i * 4095, type(uint128).max);
        }
        this.leafHash(acc);
        (uint256 sum, uint256 last) = this.accumulators(acc, 1 + 15 * 4095);
        assertEq(sum, 16 * uint256(type(uint128).max), "sum");
        assertEq(last, type(uint128).max, "last");
        acc = abi.encodePacked(acc, type(uint16).max, uint128(1));
        vm.expectRevert(IEpochLedger.BadLeaf.selector);
        this.leafHash(acc);
    }

    /// Both ways to a root agree, and each says where the leaf stands.
    function test_bothRootsAgree() public {
        IEpochLedger.Root memory leaf = IEpochLedger.Root(keccak256("leaf"), 1 << 100 | 5, 1 << 50 | 3);
        IEpochLedger.Root[] memory list = new IEpochLedger.Root[](3);
        bytes memory flat;
        for (uint256 i = 0; i < 3; ++i) {
            list[i] = IEpochLedger.Root(keccak256(abi.encode(i)), uint128(i + 1) << 90, uint64(i + 1) << 40);
            flat = abi.encodePacked(flat, list[i].hash, list[i].accSum, list[i].paidSum);
        }
        for (uint256 index = 0; index < 8; ++index) {
            IEpochLedger.Root memory slow = this.rootOf(index, leaf, list);
            (bytes32 hash, uint256 accSum, uint256 paidSum) = this.rootOfPacked(index, leaf, flat);
            assertEq(hash, slow.hash, "hash");
            assertTrue(accSum == slow.accSum && accSum == (6 << 90) + (1 << 100 | 5), "credits");
            assertTrue(paidSum == slow.paidSum && paidSum == (6 << 40) + (1 << 50 | 3), "payments");
            vm.expectRevert(IEpochLedger.BadLeaf.selector);
            this.rootOf(index + 8, leaf, list);
            vm.expectRevert(IEpochLedger.BadLeaf.selector);
            this.rootOfPacked(index + 8, leaf, flat);
        }
        vm.expectRevert(IEpochLedger.BadLeaf.selector);
        this.rootOfPacked(0, leaf, abi.encodePacked(flat, hex"00"));
    }

    /// Sums fill their fields and go no further.
    function test_sumsOfATreeFitTheirFields() public {
        IEpochLedger.Root memory leaf =
            IEpochLedger.Root(keccak256("leaf"), type(uint128).max - 5, type(uint64).max - 3);
        IEpochLedger.Root[] memory list = new IEpochLedger.Root[](1);
        for (uint256 i = 0; i < 4; ++i) {
            // 5 and 3 fit; either one more does not
            list[0] = IEpochLedger.Root(keccak256("beside"), uint128(5 + i % 2), uint64(3 + i / 2));
            bytes memory flat = abi.encodePacked(list[0].hash, list[0].accSum, list[0].paidSum);
            for (uint256 index = 0; index < 2; ++index) {
                if (i != 0) vm.expectRevert();
                this.rootOf(index, leaf, list);
                if (i != 0) vm.expectRevert();
                this.rootOfPacked(index, leaf, flat);
            }
        }
    }

    function test_depthOfATree() public pure {
        uint256[9] memory leaves = [uint256(0), 1, 2, 3, 4, 5, 8, 9, 1 << 31];
        uint256[9] memory depth = [uint256(0), 0, 1, 2, 2, 3, 3, 4, 31];
        for (uint256 i = 0; i < leaves.length; ++i) {
            assertEq(LedgerTree.depthOf(leaves[i]), depth[i], "levels");
        }
    }
}
