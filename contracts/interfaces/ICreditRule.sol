// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title ICreditRule
/// @notice The Credit rule of docs/LEDGER.md, computed from reports and balance-seconds. Holds nothing, decides nothing.
/// `report` is abi.encode(FleetReport) of the epoch, empty for a gap.
interface ICreditRule {
    /// @notice Not the report that was posted for the epoch.
    error WrongReport(uint32 epoch);

    /// @notice What `account` earned on `series` by the epoch's report, in 2^-64 sat.
    function creditOf(uint32 epoch, uint16 series, address account, bytes calldata report)
        external
        view
        returns (uint256);
    /// @notice Keeps past the tokens' rings what `creditOf` needs for the account, on every series.
    function pinAll(uint32 epoch, address account, bytes calldata report) external;
    /// @notice `account` is a wrapper in `epoch`, and so has no leaf.
    function isWrapper(uint32 epoch, address account) external view returns (bool);
    function ledger() external view returns (address);
}
