// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "./interfaces/IEpochLedger.sol";

/// @title LedgerWrappers
/// @notice Contracts that hold units for others: credit looks through them, from the epoch that they were named in on.
abstract contract LedgerWrappers is IEpochLedger {
    uint256 private constant _MAX_WRAPPERS = 16;

    Wrapper[] private _wrappers;
    /// @dev bit i: wrapper i of the list is of the series
    mapping(uint16 series => uint256 bits) private _wrappersOf;
    /// @inheritdoc IEpochLedger
    mapping(uint256 index => uint32) public wrapperFrom;
    /// @inheritdoc IEpochLedger
    mapping(address account => bool) public isWrapper;

    /// @param from the first epoch that it counts in
    function _addWrapper(Wrapper calldata wrapper, uint32 from) internal {
        if (_wrappers.length == _MAX_WRAPPERS) revert TooManyWrappers();
        if (isWrapper[wrapper.wrapper] || isWrapper[wrapper.firstLoss] || wrapper.wrapper == wrapper.firstLoss) {
            revert BadWrapper(wrapper.wrapper);
        }
        for (uint256 i = 0; i < _wrappers.length; ++i) {
            if (_wrappers[i].firstLoss == wrapper.wrapper) revert BadWrapper(wrapper.wrapper);
        }
        wrapperFrom[_wrappers.length] = from;
        _wrappersOf[wrapper.series] |= 1 << _wrappers.length;
        isWrapper[wrapper.wrapper] = true;
        _wrappers.push(wrapper);
        emit WrapperAdded(wrapper);
    }

    /* READERS */

    /// @inheritdoc IEpochLedger
    function wrappers() external view returns (Wrapper[] memory) {
        return _wrappers;
    }

    /// @inheritdoc IEpochLedger
    function wrappersOf(uint16 series, uint32 epoch) external view returns (Wrapper[] memory list) {
        uint256 bits = _wrappersOf[series];
        if (bits == 0) return list;
        list = new Wrapper[](_wrappers.length);
        uint256 count = 0;
        for (uint256 i = 0; i < list.length; ++i) {
            if (bits >> i & 1 == 1 && wrapperFrom[i] <= epoch) list[count++] = _wrappers[i];
        }
        assembly ("memory-safe") {
            mstore(list, count)
        }
    }
}
