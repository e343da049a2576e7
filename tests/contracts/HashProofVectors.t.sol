// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {HashProof} from "../../contracts/HashProof.sol";
import {Test} from "./utils/Test.sol";

/// @notice tests/vectors/hashproof.json, which Rust checks too.
contract HashProofVectorsTest is Test {
    function test_vectorIsProven() public {
        string memory json = vm.readFile("tests/vectors/hashproof.json");
        vm.chainId(vm.parseJsonUint(json, ".chainId"));
        bytes32 fleet = vm.parseJsonBytes32(json, ".fleetId");
        bytes32 seed = vm.parseJsonBytes32(json, ".seed");
        uint32 epoch = uint32(vm.parseJsonUint(json, ".epoch"));
        bytes4 tag = bytes4(keccak256(abi.encode(block.chainid, fleet, epoch, seed)));
        assertEq(bytes32(tag), bytes32(vm.parseJsonBytes(json, ".tag")), "tag");
        HashProof proof = new HashProof(vm.parseJsonUint(json, ".k"));
        uint256 highest;
        for (uint256 i = 0; vm.keyExistsJson(json, _at(".shares", i, "")); ++i) {
            highest = proof.hashOf(vm.parseJsonBytes(json, _at(".shares", i, "")), tag);
            assertEq(bytes32(highest), vm.parseJsonBytes32(json, _at(".hashesOf", i, "")), "hash");
        }
        assertEq(bytes32(highest), vm.parseJsonBytes32(json, ".highest"), "highest");
        assertEq(proof.estimate(highest), vm.parseJsonUint(json, ".hashes"), "hashes");
    }

    function test_estimates() public {
        string memory json = vm.readFile("tests/vectors/hashproof.json");
        uint256 i = 0;
        for (; vm.keyExistsJson(json, _at(".estimates", i, "")); ++i) {
            HashProof proof = new HashProof(vm.parseJsonUint(json, _at(".estimates", i, ".k")));
            uint256 found = proof.estimate(uint256(vm.parseJsonBytes32(json, _at(".estimates", i, ".highest"))));
            assertEq(found, vm.parseJsonUint(json, _at(".estimates", i, ".hashes")), _at("estimate", i, ""));
        }
        assertEq(i, 8, "all of them");
    }

    function _at(string memory list, uint256 i, string memory key) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(i), "]", key);
    }
}
