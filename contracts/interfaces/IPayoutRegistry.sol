// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IPayoutRegistry
/// @notice Which Bitcoin script an account is paid to, by epoch. Append-only: the first registration counts from the
/// next epoch, a change after three, and until then the account may cancel it.
/// @dev Exactly the P2PKH, P2SH, P2WPKH, P2WSH and P2TR templates are taken, by bytes. A script does not tell the
/// network it is for: applications check the address they were given.
interface IPayoutRegistry {
    struct Entry {
        uint32 fromEpoch;
        /// least sats to be paid at once, at or above the dust limit
        uint64 minimum;
        /// dust limit of the script's kind, sats
        uint16 dust;
        bytes32 scriptHash;
    }

    error UnknownScript(bytes script);
    error NothingToCancel(address account);
    error MinimumTooLarge(uint64 minimum);

    /// @notice `script` is the whole scriptPubKey; its keccak256 is the leaf's scriptHash.
    event ScriptRegistered(address indexed account, uint32 fromEpoch, bytes script, uint64 minimum);
    event ScriptCancelled(address indexed account, uint32 fromEpoch);

    function setScript(bytes calldata script, uint64 minimum) external;
    /// @notice Drops the caller's change that is not in force yet.
    function cancel() external;
    /// @notice The entry in force at the start of `epoch`; all zero if none.
    function entryAt(address account, uint32 epoch) external view returns (Entry memory);
    /// @notice 546 P2PKH, 540 P2SH, 294 P2WPKH, 330 P2WSH and P2TR; reverts for any other script.
    function dustOf(bytes calldata script) external pure returns (uint16);
}
