// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IExitQueue
/// @notice First-in-first-out queue of units waiting for the pool's outflow bucket. The claim is a 1:1 TWAB token, so
/// a seller keeps earning until settled, and may take unsettled units back at any time.
interface IExitQueue {
    struct Ticket {
        address owner;
        uint96 units;
        uint96 settledUnits;
        /// the wind-down's round when it was queued: a later one covers it
        uint32 round;
    }

    error NotTheOwner(uint256 ticket);
    error NothingToSettle();
    error NothingToClaim(address account);
    error ZeroUnits();
    /// @notice What a wrapper earns is looked through one level only: it may not hold claims.
    error WrapperRefused(address account);

    event Queued(uint256 indexed ticket, address indexed owner, uint256 units);
    event Settled(uint256 indexed ticket, address indexed owner, uint256 units, uint256 quote);
    event TakenBack(uint256 indexed ticket, address indexed owner, uint256 units);
    event Claimed(address indexed owner, address indexed to, uint256 quote);

    function pool() external view returns (address);
    function claimToken() external view returns (address);
    /// @notice Index of the first ticket not fully settled.
    function head() external view returns (uint256);
    function ticketCount() external view returns (uint256);
    function ticket(uint256 id) external view returns (Ticket memory);
    /// @notice Units of all tickets that are not settled.
    function queuedUnits() external view returns (uint256);
    function claimable(address account) external view returns (uint256 quote);
    function enqueue(uint256 units) external returns (uint256 id);
    function takeBack(uint256 id) external returns (uint256 units);
    /// @notice Settles at most `maxTickets` from the head with what the pool's bucket lets out. Anyone may call.
    function settle(uint256 maxTickets) external returns (uint256 units, uint256 quote);
    /// @notice Pays settled credit of the caller to `to`.
    function claim(address to) external returns (uint256 quote);
}
