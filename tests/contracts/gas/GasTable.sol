// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "../utils/Test.sol";

/// @title GasTable
/// @notice Whole-transaction gas by name. `check` compares it with a table in snapshots/ and fails 1 % above it;
/// with GAS_SNAPSHOT=write in the environment it writes the table instead.
/// @dev Only of meaning in a suite with `isolate`: each call is then a transaction of its own, 21,000 included.
abstract contract GasTable is Test {
    error GasRose(string name, uint256 recorded, uint256 measured);
    error NotRecorded(string name);

    string[] private _names;
    uint256[] private _gas;

    /// @notice Records what the call just made cost.
    function record(string memory name) internal {
        record(name, vm.lastCallGas().gasTotalUsed);
    }

    /// @notice Records `gas`: a mean of calls, or a call that others followed.
    function record(string memory name, uint256 gas) internal {
        _names.push(name);
        _gas.push(gas);
    }

    /// @notice Whether this is the code that targets are measured on.
    function isRelease() internal view returns (bool) {
        return keccak256(bytes(vm.envOr("GAS_TABLE", "default"))) == keccak256("release");
    }

    function gasOf(string memory name) internal view returns (uint256) {
        for (uint256 i = 0; i < _names.length; ++i) {
            if (keccak256(bytes(_names[i])) == keccak256(bytes(name))) return _gas[i];
        }
        revert NotRecorded(name);
    }

    /// @notice Compares with snapshots/`table`.`profile`.json: legacy code of the tests and release code differ.
    function check(string memory table) internal {
        string memory path = string.concat("snapshots/", table, ".", vm.envOr("GAS_TABLE", "default"), ".json");
        if (keccak256(bytes(vm.envOr("GAS_SNAPSHOT", ""))) == keccak256("write")) return vm.writeFile(path, _json());
        string memory json = vm.readFile(path);
        for (uint256 i = 0; i < _names.length; ++i) {
            string memory key = string.concat(".", _names[i]);
            if (!vm.keyExistsJson(json, key)) revert NotRecorded(_names[i]);
            uint256 recorded = vm.parseJsonUint(json, key);
            if (_gas[i] * 100 > recorded * 101) revert GasRose(_names[i], recorded, _gas[i]);
        }
    }

    function _json() private view returns (string memory out) {
        for (uint256 i = 0; i < _names.length; ++i) {
            out = string.concat(out, i == 0 ? "{\n  \"" : ",\n  \"", _names[i], "\": ", vm.toString(_gas[i]));
        }
        out = string.concat(out, "\n}\n");
    }
}
