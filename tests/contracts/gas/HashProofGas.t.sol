// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {HashProof} from "../../../contracts/HashProof.sol";
import {Shares} from "../utils/Shares.sol";
import {HashProofFixture} from "../utils/HashProofFixture.sol";
import {GasTable} from "./GasTable.sol";
import {Meter} from "./Meter.sol";

/// @notice Whole transactions with 16 shares: 80-byte headers, coinbases of 259 bytes, branches of 12 siblings.
/// forge-config: default.isolate = true
contract HashProofGasTest is GasTable, HashProofFixture {
    function test_gas() public {
        (bytes[] memory shares,) = batch(tag, 1);
        prove(shares);
        record("hashProof16Floor"); // 40 gas a byte that is not zero, 10 one that is, whatever is computed (EIP-7623)
        _recordUnfloored(shares);
        bytes[] memory more;
        for (uint256 salt = 2; more.length == 0; ++salt) {
            (bytes[] memory found, uint256 highest) = batch(tag, salt);
            if (proof.estimate(highest) > proof.claimOf(FLEET, E).hashes) more = found;
        }
        prove(more);
        record("hashProof16Again");
        vm.roll(1_100);
        (bytes memory parent, bytes memory first) = headers(1_090, (E + 1) * EPOCH - 12, (E + 1) * EPOCH);
        vm.setBlockhash(1_090, keccak256(first));
        proof.openEpoch(parent, first);
        record("openEpoch");
        check("hashproof");
        if (isRelease()) _checkTargets();
    }

    /// @dev The same transaction where calldata costs 4 and 16 and there is no floor: the difference to the call's own gas
    /// is known exactly, so it is added up.
    function _recordUnfloored(bytes[] memory shares) private {
        HashProof other = new HashProof(COUNT);
        vm.warp((E - 1) * EPOCH);
        other.register(FLEET);
        vm.warp(E * EPOCH + 60);
        (bytes memory parent, bytes memory first) = headers(990, E * EPOCH - 12, E * EPOCH);
        other.openEpoch(parent, first);
        bytes memory data = abi.encodeCall(HashProof.prove, (FLEET, E, type(uint256).max, shares));
        uint256 used = new Meter().measure(address(other), data);
        for (uint256 i = 0; i < data.length; ++i) {
            used += data[i] == 0 ? 4 : 16;
        }
        record("hashProof16", used + 21_000);
    }

    function _checkTargets() private view {
        string memory json = vm.readFile("snapshots/targets.json");
        assertLe(gasOf("hashProof16"), vm.parseJsonUint(json, ".hashProof16"), "hashProof16");
        assertLe(gasOf("hashProof16Floor"), vm.parseJsonUint(json, ".hashProof16Floor"), "hashProof16Floor");
    }
}
