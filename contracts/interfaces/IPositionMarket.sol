// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IPositionMarket
/// @notice Peer-to-peer market of signed orders. No escrow: units stay in the maker's wallet and keep earning until
/// filled. Orders are EIP-712 `Order` or `RfqOrder` under this contract's domain (name "Liquid Hashrate PositionMarket",
/// version "1"). Signatures: 65 bytes, EIP-2098's 64 bytes, or EIP-1271. A key's own signature counts for an account
/// that has code too (EIP-7702): the key could send the transaction itself.
/// @dev Warning: the tokens are the makers' choice. One that takes a fee, refuses or lies does so to the two parties of
/// that fill alone: this contract never holds a token.
/// Warning: an on-chain or signed order stays fillable until it expires, is filled, or is cancelled. Maker epochs ahead
/// of the present one are refused now but come alive when `cancelAll` reaches them: sign none.
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
        /// `maker epoch:32 | group id:32`; orders of one group die together. Ids below 224 are the cheapest to cancel
        uint64 group;
        uint64 salt;
    }

    /// @notice A quote that is filled whole and once. Its nonce is one bit, so it costs least.
    struct RfqOrder {
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
        /// the maker's present epoch, see `makerEpoch`
        uint32 makerEpoch;
        /// used once; 256 nonces of one word (nonce >> 8) can be cancelled together
        uint64 nonce;
    }

    /// @notice What a taker of many orders insists on.
    struct FillLimits {
        address base;
        address quote;
        /// the makers' side: 0 to buy units, 1 to sell units
        uint8 side;
        /// take at most this many units
        uint256 baseMax;
        /// revert below this many units
        uint256 baseMin;
        /// pay at most this much in all, protocol fee included; of no effect when selling
        uint256 quoteMax;
        /// quote units per 1e18 units before protocol fee: orders with a worse one are skipped. Rounding adds at most
        /// one quote unit per order
        uint128 worstPrice;
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
    /// @notice The order names a maker epoch that is not the maker's present one.
    error WrongMakerEpoch(address maker, uint32 makerEpoch);
    error NonceUsed(address maker, uint64 nonce);
    /// @notice The buyer's price does not reach the seller's (and the protocol fee).
    error NotCrossed(uint256 sellerAsks, uint256 buyerBids);
    /// @notice The two orders are not a sale and a purchase of one pair by two makers.
    error BadMatch();
    error FilledTooLittle(uint256 base, uint256 baseMin);
    error LengthMismatch(uint256 orders, uint256 signatures);
    error OnlySelf(address caller);
    error BadFee(uint32 feePpm, address feeTo);

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
    /// @notice An order made public by its maker's transaction: fillable with an empty signature.
    event OrderPosted(bytes32 indexed orderHash, address indexed maker, Order order);
    /// @notice Every earlier order of this maker is dead.
    event MakerEpochBumped(address indexed maker, uint32 makerEpoch);
    event FeePaid(bytes32 indexed orderHash, address indexed token, uint256 amount);

    /// @notice Fills `baseFill` units of a signed order. Rounds against the taker. EIP-1271 makers are asked.
    /// @return quoteFilled what changed hands in quote units: the price, without the taker's protocol fee
    function fill(Order calldata order, bytes calldata signature, uint256 baseFill)
        external
        returns (uint256 quoteFilled);
    /// @notice Fills a quote whole, once. Emits `OrderFilled` like any fill.
    function fillRfq(RfqOrder calldata order, bytes calldata signature) external returns (uint256 quoteFilled);
    /// @notice Takes orders in the given sequence until a limit is reached. An order that is dead, badly signed, outside
    /// the limits or not funded is skipped; of one funded in part the funded part is taken.
    /// @dev Warning: each order gets an equal part of the gas that is left. With too little gas good orders are skipped
    /// too, so set `baseMin`.
    /// @return base units taken
    /// @return quote what changed hands in quote units, without protocol fee
    function fillUpTo(Order[] calldata orders, bytes[] calldata signatures, FillLimits calldata limits)
        external
        returns (uint256 base, uint256 quote);
    /// @notice Settles a selling maker against a buying maker, as much as both have left but at most `baseMax` units.
    /// Anyone may call. Each gets half of the difference of their prices; neither ever does worse than signed.
    function matchOrders(
        Order calldata sell,
        bytes calldata sellSignature,
        Order calldata buy,
        bytes calldata buySignature,
        uint256 baseMax
    ) external returns (uint256 base, uint256 quote);
    /// @notice One order of `fillUpTo`. Only this contract calls it.
    function fillFor(address taker, Order calldata order, bytes calldata signature, uint256 baseMax, uint256 quoteMax)
        external
        returns (uint256 base, uint256 quote);

    /// @notice Makes an order public without a signature, for makers without one or without an API.
    function post(Order calldata order) external;
    function cancel(Order calldata order) external;
    /// @notice Cancels every quote and order that the caller ever signed or posted for its present maker epoch.
    function cancelAll() external returns (uint32 makerEpoch);
    /// @dev No event: quotes are in no public book, and `rfqUsed` answers whoever was given one.
    function cancelRfq(uint64 nonce) external;
    /// @notice Cancels the nonces `word * 256 + i` for every bit i of `mask`.
    function cancelRfqWord(uint56 word, uint256 mask) external;
    /// @notice Hands an EIP-2612 permit for this contract to `token`. Anyone's, so a maker's can travel with its order. A
    /// permit that fails is ignored: someone else may have sent it first. Use it in `multicall`.
    function permit(address token, address owner, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
    /// @notice Cancels every order of the caller with this group, for ever.
    function cancelGroup(uint64 group) external;
    /// @notice The EIP-712 digest that the maker signs (with the domain), and the order's id in events.
    function orderHash(Order calldata order) external view returns (bytes32);
    /// @notice Calls of this contract in sequence, all or nothing. Sends no value on.
    function multicall(bytes[] calldata data) external payable returns (bytes[] memory results);
    function rfqHash(RfqOrder calldata order) external view returns (bytes32);
    /// @notice Whether a quote with this nonce was filled or cancelled.
    function rfqUsed(address maker, uint64 nonce) external view returns (bool);
    /// @notice What the maker's orders must name (upper half of `group`, or `makerEpoch`). Starts at 0.
    function makerEpoch(address maker) external view returns (uint32);
    /// @notice Protocol fee in millionths of the price, fixed for ever. The taker bears it: a buyer pays it on top, a
    /// seller out of the price. In a match it comes out of the difference of the two prices.
    function feePpm() external view returns (uint32);
    function feeTo() external view returns (address);
    /// @notice Units already filled; `cancelled` covers the order, its group and its maker epoch.
    function orderState(Order calldata order) external view returns (uint256 filled, bool cancelled);
    function DOMAIN_SEPARATOR() external view returns (bytes32);
}
