// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IPositionMarket
/// @notice Peer-to-peer market of signed orders. No escrow: units stay in the maker's wallet and keep earning until
/// filled. Orders are EIP-712 `Order` under this contract's domain (name "Liquid Hashrate PositionMarket", version "1").
interface IPositionMarket {
    /// @dev side 0: the maker sells `baseAmount` units for `quoteAmount`; side 1: the maker buys.
    struct Order {
        address maker;
        /// only this account may fill; zero: anyone
        address taker;
        address base;
        address quote;
        uint8 side;
        uint96 baseAmount;
        uint128 quoteAmount;
        /// unix seconds; fills at or after it are refused
        uint40 expiry;
        /// orders of one group die together
        uint64 group;
        uint64 salt;
    }

    error OrderExpired(uint40 expiry);
    error OrderIsCancelled(bytes32 orderHash);
    error Overfill(bytes32 orderHash, uint256 remaining, uint256 wanted);
    error InvalidSignature(address maker);
    error WrongTaker(address taker);
    error NotTheMaker(address maker);
    error BadOrder();
    error ZeroFill();
    error TransferFailed(address token);

    event OrderFilled(
        bytes32 indexed orderHash,
        address indexed maker,
        address indexed taker,
        address base,
        address quote,
        uint8 side,
        uint256 baseFilled,
        uint256 quoteFilled,
        uint256 baseRemaining
    );
    event OrderCancelled(bytes32 indexed orderHash, address indexed maker);
    event GroupCancelled(address indexed maker, uint64 indexed group);

    /// @notice Fills `baseFill` units of a signed order. Rounds against the taker. EIP-1271 makers are asked.
    /// @return quoteFilled what changed hands in quote units
    function fill(Order calldata order, bytes calldata signature, uint256 baseFill)
        external
        returns (uint256 quoteFilled);
    function cancel(Order calldata order) external;
    /// @notice Cancels every order of the caller with this group, for ever.
    function cancelGroup(uint64 group) external;
    /// @notice The EIP-712 digest that the maker signs (with the domain), and the order's id in events.
    function orderHash(Order calldata order) external view returns (bytes32);
    /// @notice Units already filled; `cancelled` covers the order and its group.
    function orderState(Order calldata order) external view returns (uint256 filled, bool cancelled);
    function DOMAIN_SEPARATOR() external view returns (bytes32);
}
