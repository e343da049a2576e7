// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IRepositioner
/// @notice Moves a holder from one series into another in one transaction: sells into the best of given orders and the
/// buyback pool, and buys from the best of given orders and the primary sale. Holds nothing before or after.
/// @dev Orders that name a taker must name this contract. Warning: what can neither be sold nor spent goes back to the
/// holder, so `minUnits` is the only protection of the price: always set it.
interface IRepositioner {
    struct Move {
        uint16 fromSeries;
        uint16 toSeries;
        /// units of `fromSeries` to sell, taken by transferFrom from the caller
        uint256 units;
        /// revert below this many units of `toSeries`
        uint256 minUnits;
        /// buyback pool of `fromSeries`; zero: sell into orders only
        address pool;
        /// unix seconds; refused after it
        uint40 deadline;
    }

    error DeadlinePassed(uint40 deadline);
    error SameSeries(uint16 series);
    /// @notice Not a venue of the series registry, or the pool of another unit or quote token.
    error UnknownPool(address pool);
    error TooFewUnits(uint256 received, uint256 minUnits);

    event Repositioned(
        address indexed holder,
        uint16 indexed fromSeries,
        uint16 indexed toSeries,
        uint256 unitsSold,
        uint256 unitsReceived,
        uint256 quoteReturned
    );

    /// @notice `sellInto` and `buyFrom` are abi.encode(IPositionMarket.Order[], bytes[] signatures), or empty. Orders are
    /// taken in the given sequence while they beat the pool or the sale; the others only for what pool and sale refuse.
    /// @return received units of `toSeries` that the caller got
    function reposition(Move calldata move, bytes calldata sellInto, bytes calldata buyFrom)
        external
        returns (uint256 received);
    /// @notice Hands an EIP-2612 permit for this contract to `token`; a permit that fails is ignored. Use in `multicall`.
    function permit(address token, address owner, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
    function multicall(bytes[] calldata data) external payable returns (bytes[] memory results);
}
