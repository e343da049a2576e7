// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPayoutRegistry} from "./interfaces/IPayoutRegistry.sol";
import {BitcoinScript} from "./libraries/BitcoinScript.sol";

/// @title PayoutRegistry
/// @notice Payout scripts by account and epoch. No role, no switch.
contract PayoutRegistry is IPayoutRegistry {
    uint256 private constant _EPOCH = 28_800;
    uint32 private constant _CHANGE_DELAY = 3;
    uint64 private constant _MAX_MINIMUM = 100_000_000;

    /// @dev two words each: `dust:16 | minimum:64 | fromEpoch:32` and the script's hash; fromEpoch strictly ascending,
    /// and only the last one may lie in the future
    mapping(address account => Entry[]) private _entries;

    /// @inheritdoc IPayoutRegistry
    function setScript(bytes calldata script, uint64 minimum) external {
        uint16 dust = dustOf(script);
        if (minimum > _MAX_MINIMUM) revert MinimumTooLarge(minimum);
        _dropPending();
        Entry[] storage entries = _entries[msg.sender];
        uint32 fromEpoch = _epoch() + (entries.length == 0 ? 1 : _CHANGE_DELAY);
        if (minimum < dust) minimum = dust;
        entries.push(Entry(fromEpoch, minimum, dust, keccak256(script)));
        emit ScriptRegistered(msg.sender, fromEpoch, script, minimum);
    }

    /// @inheritdoc IPayoutRegistry
    function cancel() external {
        if (!_dropPending()) revert NothingToCancel(msg.sender);
    }

    /// @inheritdoc IPayoutRegistry
    function entryAt(address account, uint32 epoch) external view returns (Entry memory entry) {
        Entry[] storage entries = _entries[account];
        uint256 low = 0;
        uint256 high = entries.length;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (entries[middle].fromEpoch <= epoch) low = middle + 1;
            else high = middle;
        }
        if (low > 0) entry = entries[low - 1];
    }

    /// @inheritdoc IPayoutRegistry
    function dustOf(bytes calldata script) public pure returns (uint16 dust) {
        dust = BitcoinScript.dust(script);
        if (dust == 0) revert UnknownScript(script);
    }

    /// @dev Drops the caller's entry that is not in force yet, if there is one.
    function _dropPending() private returns (bool) {
        Entry[] storage entries = _entries[msg.sender];
        uint256 length = entries.length;
        if (length == 0) return false;
        uint32 fromEpoch = entries[length - 1].fromEpoch;
        if (fromEpoch <= _epoch()) return false;
        entries.pop();
        emit ScriptCancelled(msg.sender, fromEpoch);
        return true;
    }

    function _epoch() private view returns (uint32) {
        return uint32(block.timestamp / _EPOCH);
    }
}
