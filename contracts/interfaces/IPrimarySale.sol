// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IPrimarySale
/// @notice Holds all unsold units, earns on them for the operator like any holder, and sells them at the ask fair value.
interface IPrimarySale {
    error MaxQuoteExceeded(uint256 quote, uint256 maxQuote);
    error NothingToSell(uint16 series, uint256 available);
    error StaleValue(uint16 series);
    error ZeroUnits();
    /// @notice Too few of the series' machines have been hashing for 21 epochs.
    error Unbacked(uint16 series);
    /// @notice The operator's bond is too small for recent payouts.
    error Underbonded();

    event Bought(uint16 indexed series, address indexed buyer, address indexed to, uint256 units, uint256 quote);
    event Withdrawn(address indexed to, uint256 quote);

    /// @notice Quote units for `units`, rounded up.
    function quoteBuy(uint16 series, uint256 units) external view returns (uint256 quote);
    /// @notice Buys `units` for at most `maxQuote`, taken by transferFrom from the caller.
    function buy(uint16 series, uint256 units, uint256 maxQuote, address to) external returns (uint256 quote);
    /// @notice Registers the Bitcoin script that the operator's unsold units are paid to. Restricted.
    function setPayoutScript(bytes calldata script, uint64 minimum) external;
    /// @notice Takes sale proceeds out. Restricted.
    function withdraw(address to, uint256 quote) external;
    function quoteToken() external view returns (address);
}
