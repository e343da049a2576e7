// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {deployedContracts} from "./utils/Deployed.sol";
import {Hostilities} from "./utils/Hostilities.sol";
import {Vm} from "./utils/Vm.sol";

/// @notice For every function of every contract, that it has a class in tests/contracts/functions.json and that the class
/// is what the code does: `exit` (Exits.t.sol calls it under all hostilities), `open` to everybody, `entry` (the guardian
/// may stop it), `role`, `self` (our own contracts alone), `never` (always refused).
contract FunctionsTest is Hostilities {
    /// Every function of every contract that can be deployed and that changes anything has a class.
    function test_everyFunctionIsClassified() public view {
        string memory json = vm.readFile("tests/contracts/functions.json");
        uint256 count = _classified(json, "contracts") + _classified(json, "contracts/tokens");
        assertEq(count, vm.parseJsonKeys(json, "$").length, "contracts");
    }

    function _classified(string memory json, string memory folder) private view returns (uint256 count) {
        string[] memory files = _files(folder);
        for (uint256 i = 0; i < files.length; ++i) {
            // a call of its own, whose memory is gone after it: artifacts are large
            if (this.classified(json, files[i])) ++count;
        }
    }

    function classified(string calldata json, string calldata name) external view returns (bool) {
        string memory artifact = vm.readFile(string.concat("out/", name, ".sol/", name, ".json"));
        if (bytes(vm.parseJsonString(artifact, ".bytecode.object")).length < 4) return false; // abstract
        // functions stand before the bytecode
        string[] memory functions =
            vm.split(vm.split(artifact, "\"bytecode\":")[0], "{\"type\":\"function\",\"name\":\"");
        for (uint256 i = 1; i < functions.length; ++i) {
            bytes32 mutability = keccak256(bytes(_until(vm.split(functions[i], "\"stateMutability\":\"")[1])));
            if (mutability == keccak256("view") || mutability == keccak256("pure")) continue;
            string memory key = string.concat(".", name, ".", _until(functions[i]));
            assertTrue(vm.keyExistsJson(json, key), string.concat("classify in functions.json: ", key));
        }
        return true;
    }

    function _until(string memory text) private pure returns (string memory) {
        return vm.split(text, "\"")[0];
    }

    /// What is called a role's is refused to strangers; what is called open or an exit is refused to nobody by a role
    /// or a switch, whatever else is wrong with an empty call.
    function test_classesAreWhatTheCodeDoes() public {
        string memory json = vm.readFile("tests/contracts/functions.json");
        (string[19] memory names, address[19] memory deployed) = deployedContracts(sys, line);
        for (uint256 i = 0; i < names.length; ++i) {
            _checkClasses(json, names[i], deployed[i]);
        }
    }

    function _checkClasses(string memory json, string memory name, address deployed) private {
        string memory artifact = vm.readFile(string.concat("out/", name, ".sol/", name, ".json"));
        string[] memory signatures = vm.parseJsonKeys(artifact, ".methodIdentifiers");
        for (uint256 i = 0; i < signatures.length; ++i) {
            string memory key = string.concat(".", name, ".", _nameOf(signatures[i]));
            if (!vm.keyExistsJson(json, key)) continue; // a view
            bytes32 kind = keccak256(bytes(vm.parseJsonString(json, key)));
            if (kind == keccak256("role") && _is(signatures[i], "setAuthority")) continue; // of the manager alone
            bytes4 selector = bytes4(keccak256(bytes(signatures[i])));
            vm.prank(_CLEAN);
            (bool ok, bytes memory why) = deployed.call(abi.encodePacked(selector, new bytes(1024)));
            bool byRole = !ok && bytes4(why) == bytes4(keccak256("AccessManagedUnauthorized(address)"));
            bool bySwitch = !ok && bytes4(why) == bytes4(keccak256("Stopped()"));
            assertTrue(byRole == (kind == keccak256("role")), key);
            assertTrue(bySwitch == (kind == keccak256("entry")), key);
            assertTrue(!ok || (kind != keccak256("self") && kind != keccak256("never")), key);
        }
    }

    function _nameOf(string memory signature) private pure returns (string memory name) {
        bytes memory text = bytes(signature);
        uint256 length = 0;
        while (text[length] != "(") ++length;
        name = string(abi.encodePacked(text));
        assembly ("memory-safe") {
            mstore(name, length)
        }
    }

    function _is(string memory signature, string memory name) private pure returns (bool) {
        return keccak256(bytes(_nameOf(signature))) == keccak256(bytes(name));
    }

    /// @dev Names of the contracts in a folder, which holds one a file.
    function _files(string memory folder) private view returns (string[] memory names) {
        Vm.DirEntry[] memory all = vm.readDir(folder);
        names = new string[](all.length);
        uint256 count = 0;
        for (uint256 i = 0; i < all.length; ++i) {
            if (!all[i].isDir) names[count++] = _stem(bytes(all[i].path));
        }
        assembly ("memory-safe") {
            mstore(names, count)
        }
    }

    /// @dev "a/b/Name.sol" is "Name".
    function _stem(bytes memory path) private pure returns (string memory) {
        uint256 from = path.length;
        while (path[from - 1] != "/") --from;
        bytes memory name = new bytes(path.length - from - 4);
        for (uint256 j = 0; j < name.length; ++j) {
            name[j] = path[from + j];
        }
        return string(name);
    }
}
