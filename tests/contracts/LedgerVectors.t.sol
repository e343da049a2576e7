// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {BitcoinScript} from "../../contracts/libraries/BitcoinScript.sol";
import {LedgerTree} from "../../contracts/libraries/LedgerTree.sol";
import {PayoutRegistry} from "../../contracts/PayoutRegistry.sol";
import {Bitcoin} from "./utils/Bitcoin.sol";
import {Test} from "./utils/Test.sol";

/// @notice The committed vectors, reproduced with the contracts' code.
contract LedgerVectorsTest is Test {
    string private _json;

    function setUp() public {
        _json = vm.readFile("tests/vectors/leaf.json");
    }

    function leafHash(address account, bytes32 scriptHash, uint64 paid, uint32 since, uint32 out, bytes calldata acc)
        external
        pure
        returns (bytes32)
    {
        return LedgerTree.leafHash(account, scriptHash, paid, since, out, acc);
    }

    function rootOf(uint256 index, IEpochLedger.Root calldata leaf, IEpochLedger.Root[] calldata siblings)
        external
        pure
        returns (IEpochLedger.Root memory)
    {
        return LedgerTree.rootOf(index, leaf, siblings);
    }

    function test_leaves() public view {
        string memory json = _json;
        uint256 i = 0;
        for (; vm.keyExistsJson(json, _at(".leaves", i, "")); ++i) {
            string memory key = _at(".leaves", i, "");
            bytes32 found = this.leafHash(
                vm.parseJsonAddress(json, string.concat(key, ".account")),
                vm.parseJsonBytes32(json, string.concat(key, ".scriptHash")),
                uint64(_uint(json, key, ".paid")),
                uint32(_uint(json, key, ".since")),
                uint32(_uint(json, key, ".out")),
                vm.parseJsonBytes(json, string.concat(key, ".acc"))
            );
            assertEq(found, vm.parseJsonBytes32(json, string.concat(key, ".hash")), key);
            bytes memory script = vm.parseJsonBytes(json, string.concat(key, ".script"));
            bytes32 scriptHash = script.length == 0 ? bytes32(0) : keccak256(script);
            assertEq(scriptHash, vm.parseJsonBytes32(json, string.concat(key, ".scriptHash")), key);
        }
        assertEq(i, 8, "number of leaves");
    }

    function test_nodes() public view {
        string memory json = _json;
        uint256 i = 0;
        for (; vm.keyExistsJson(json, _at(".nodes", i, "")); ++i) {
            string memory key = _at(".nodes", i, "");
            IEpochLedger.Root memory found = LedgerTree.nodeHash(_root(json, key, ".left"), _root(json, key, ".right"));
            _same(found, _root(json, key, ""), key);
        }
        assertEq(i, 4, "number of nodes");
    }

    function test_trees() public view {
        string memory json = _json;
        uint256 branches = 0;
        for (uint256 i = 0; i < 6; ++i) {
            string memory key = _at(".trees", i, "");
            uint256 leaves = _uint(json, key, ".leaves");
            IEpochLedger.Root memory root = _root(json, key, ".root");
            for (uint256 j = 0; j < leaves; ++j) {
                IEpochLedger.Root memory leaf = _root(json, _at(".leaves", j, ""), "");
                _same(this.rootOf(j, leaf, _branch(json, key, j)), root, key);
                ++branches;
            }
            if (leaves == 0) _same(root, IEpochLedger.Root(0, 0, 0), key);
        }
        assertEq(branches, 0 + 1 + 2 + 3 + 5 + 8, "number of branches");
    }

    function test_outputs() public view {
        string memory json = _json;
        uint256 i = 0;
        for (; vm.keyExistsJson(json, _at(".outputs", i, "")); ++i) {
            string memory key = _at(".outputs", i, "");
            bytes memory out;
            uint256 total = 0;
            for (uint256 j = 0; vm.keyExistsJson(json, _at(string.concat(key, ".outputs"), j, "")); ++j) {
                string memory item = _at(string.concat(key, ".outputs"), j, "");
                uint256 sats = _uint(json, item, ".sats");
                bytes memory script = vm.parseJsonBytes(json, string.concat(item, ".script"));
                out = abi.encodePacked(out, Bitcoin.le(sats, 8), Bitcoin.size(script.length), script);
                total += sats;
            }
            assertEq(out, vm.parseJsonBytes(json, string.concat(key, ".serialized")), key);
            assertEq(keccak256(out), vm.parseJsonBytes32(json, string.concat(key, ".hash")), key);
            assertEq(total, _uint(json, key, ".total"), key);
        }
        assertEq(i, 7, "number of output lists");
    }

    function test_markers() public view {
        string memory json = _json;
        uint256 i = 0;
        for (; vm.keyExistsJson(json, _at(".markers", i, "")); ++i) {
            string memory key = _at(".markers", i, "");
            bytes memory found = BitcoinScript.marker(
                uint32(_uint(json, key, ".epoch")),
                uint16(_uint(json, key, ".batch")),
                vm.parseJsonBytes32(json, string.concat(key, ".rootHash"))
            );
            assertEq(found, vm.parseJsonBytes(json, string.concat(key, ".script")), key);
        }
        assertEq(i, 5, "number of markers");
    }

    function test_templates() public {
        string memory json = _json;
        PayoutRegistry registry = new PayoutRegistry();
        uint256 i = 0;
        for (; vm.keyExistsJson(json, _at(".templates", i, "")); ++i) {
            string memory key = _at(".templates", i, "");
            bytes memory script = vm.parseJsonBytes(json, string.concat(key, ".script"));
            assertEq(registry.dustOf(script), _uint(json, key, ".dust"), key);
            assertEq(keccak256(script), vm.parseJsonBytes32(json, string.concat(key, ".scriptHash")), key);
        }
        assertEq(i, 5, "number of templates");
    }

    function test_credits() public view {
        string memory json = _json;
        for (uint256 i = 0; i < 5; ++i) {
            string memory key = _at(".credits", i, "");
            uint256 pot = _uint(json, key, ".pot") << 64;
            uint256 acc = pot * _uint(json, key, ".weight") / _uint(json, key, ".total");
            assertEq(acc, _uint(json, key, ".acc"), key);
        }
        for (uint256 i = 0; i < 2; ++i) {
            string memory key = _at(".lookThrough", i, "");
            uint256 credit =
                (_uint(json, key, ".pot") << 64) * _uint(json, key, ".wrapperWeight") / _uint(json, key, ".total");
            assertEq(credit, _uint(json, key, ".wrapperAcc"), key);
            uint256 acc = credit * _uint(json, key, ".shares") / _uint(json, key, ".totalShares");
            assertEq(acc, _uint(json, key, ".acc"), key);
        }
    }

    function _branch(string memory json, string memory key, uint256 leaf)
        private
        view
        returns (IEpochLedger.Root[] memory siblings)
    {
        siblings = new IEpochLedger.Root[](_uint(json, key, ".depth"));
        string memory list = _at(string.concat(key, ".branches"), leaf, "");
        for (uint256 i = 0; i < siblings.length; ++i) {
            siblings[i] = _root(json, _at(list, i, ""), "");
        }
    }

    function _root(string memory json, string memory key, string memory field)
        private
        pure
        returns (IEpochLedger.Root memory)
    {
        key = string.concat(key, field);
        return IEpochLedger.Root(
            vm.parseJsonBytes32(json, string.concat(key, ".hash")),
            uint128(_uint(json, key, ".accSum")),
            uint64(_uint(json, key, ".paidSum"))
        );
    }

    function _same(IEpochLedger.Root memory a, IEpochLedger.Root memory b, string memory what) private pure {
        assertEq(a.hash, b.hash, what);
        assertEq(a.accSum, b.accSum, what);
        assertEq(a.paidSum, b.paidSum, what);
    }

    function _uint(string memory json, string memory key, string memory field) private pure returns (uint256) {
        return vm.parseJsonUint(json, string.concat(key, field));
    }

    function _at(string memory list, uint256 i, string memory field) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(i), "]", field);
    }
}
