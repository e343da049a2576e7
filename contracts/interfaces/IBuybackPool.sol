// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IBuybackPool
/// @notice One pair per series: liquidity providers' cash buys units at fair value less a spread, and sells the
/// inventory at fair value plus a spread. Linear inventory skew with the exact integral, so trading in pieces gains
/// nothing. Trades never write a price. DESIGN section 4.3.
interface IBuybackPool {
    struct State {
        /// quote units that belong to LP shares (pending deposits excluded)
        uint128 cash;
        /// units owned, 18 decimals
        uint96 inventory;
        /// what twice the cash bought at the bid base, at the last epoch boundary
        uint96 inventoryMax;
        /// quote units deposited, waiting for the next epoch boundary
        uint128 pendingDeposits;
        /// quote units that may still leave in the current bucket
        uint128 outflowLeft;
        uint32 settledEpoch;
    }

    error StaleValue(uint16 series);
    error InventoryFull(uint256 inventory, uint256 max);
    error OutflowExhausted(uint256 left, uint256 needed);
    error MinQuoteNotMet(uint256 quote, uint256 minQuote);
    error MaxQuoteExceeded(uint256 quote, uint256 maxQuote);
    error NotEnoughInventory(uint256 inventory, uint256 units);
    error NotEnoughShares(uint256 shares, uint256 wanted);
    error ZeroAmount();
    error OnlyQueue(address caller);
    /// @notice The first-loss account's LP shares leave only when no other LP share is left.
    error FirstLossExitsLast();
    error AmountTooLarge(uint256 amount);
    /// @notice The first-loss account holds too few LP shares for others to join.
    error FirstLossTooSmall(uint256 held, uint256 needed);
    /// @notice The quote token kept a part of what it moved.
    error ShortReceived(uint256 missing);
    /// @notice What a wrapper earns is looked through one level only: it may not hold LP shares.
    error WrapperRefused(address account);

    event Sold(address indexed seller, address indexed to, uint256 units, uint256 quote);
    event Bought(address indexed buyer, address indexed to, uint256 units, uint256 quote);
    event DepositRequested(address indexed provider, uint256 quote, uint32 activeFrom);
    event WithdrawRequested(address indexed provider, uint256 shares, uint32 activeFrom);
    event EpochRolled(uint32 indexed epoch, uint256 cash, uint256 inventory, uint256 shares);
    /// @notice The deposit could not be priced at the boundary (stale value) and waits in `withdrawSettled`.
    event DepositReturned(address indexed provider, uint256 quote);
    /// @notice `loss` on recent trades was taken from the first-loss account by burning `shares` of it.
    event FirstLossAbsorbed(uint256 loss, uint256 shares);
    /// @notice `gain` on recent trades gave it `shares` of those back.
    event FirstLossGivenBack(uint256 gain, uint256 shares);
    /// @notice The wind-down bought all `units` queued so far at `price` quote units each, whatever their order.
    event RoundOpened(uint32 indexed round, uint256 units, uint256 price);
    event LpWithdrawn(address indexed provider, uint256 shares, uint256 quote, uint256 units);

    function seriesId() external view returns (uint16);
    function unit() external view returns (address);
    function quoteToken() external view returns (address);
    function fairValue() external view returns (address);
    function queue() external view returns (address);
    /// @notice Its LP shares do not move, exit last, and are burnt for losses on trades before any other LP loses; the
    /// pool's output is its own while nobody holds LP shares.
    function firstLoss() external view returns (address);
    /// @notice Quote of settled claims that was not taken yet: senior to LP shares, not part of cash.
    function owedToClaims() external view returns (uint256);
    /// @notice LP shares burnt for losses on trades and not given back by gains.
    function firstLossAbsorbed() external view returns (uint256);
    /// @notice Reports missed since the last valued one: at 3 the queue settles at the last bid base less 2 % for each, at
    /// 21 the pool winds down. Zero while the value is fresh.
    function missedReports() external view returns (uint256);
    /// @notice Units that wait in the exit queue.
    function queuedUnits() external view returns (uint256);
    /// @notice The wind-down's last round: its number, units not settled yet, quote units a whole unit, and the cash set
    /// aside for them, which is part of nothing else.
    function round() external view returns (uint32 number, uint256 units, uint256 price, uint256 cash);
    /// @notice LP withdrawals that were settled and wait to be taken.
    function settledOf(address provider) external view returns (uint256 quote, uint256 units);
    /// @notice Deposits and withdrawals of past epochs that `roll` has not handed out yet (it takes 20 a call).
    function backlog() external view returns (uint256);
    /// @notice The TWAB token of LP shares.
    function lpShare() external view returns (address);
    function state() external view returns (State memory);
    /// @notice Quote units paid for selling `units` to the pool now, rounded down. Reverts with a stale value or a full
    /// inventory: then the exit queue takes units still.
    function quoteSell(uint256 units) external view returns (uint256);
    /// @notice Quote units charged for buying `units` from the pool now, rounded up.
    function quoteBuy(uint256 units) external view returns (uint256);
    /// @dev Queued units come first: of the bucket only what they would not use up at the bid base is for instant sales.
    /// @notice Sells `units` (transferFrom the caller) for at least `minQuote`, paid to `to`.
    function sell(uint256 units, uint256 minQuote, address to) external returns (uint256 quote);
    function buy(uint256 units, uint256 maxQuote, address to) external returns (uint256 quote);
    /// @notice Deposits quote; LP shares are minted at an epoch boundary at the ask base of a report of this epoch or a
    /// later one: the next boundary, or the one after if that report is not there yet. If it is not there then either,
    /// the deposit is given back through `withdrawSettled`. A pool without inventory needs no value.
    function deposit(uint256 quote) external;
    /// @notice Burns LP shares at the next epoch boundary for a pro rata part of cash and units.
    function requestWithdraw(uint256 shares) external;
    /// @notice Applies what waited for the epoch boundary. Every entry point calls it; anyone may.
    function roll() external;
    /// @notice Takes settled LP withdrawals: pro rata cash and units, no price.
    /// @dev If the quote token refuses the transfer, the units still go out and the quote stays owed.
    function withdrawSettled(address to) external returns (uint256 quote, uint256 units);
    /// @notice Counts `units` as queued and returns the round to write on the ticket. Only the queue.
    function queueAdd(uint256 units) external returns (uint32);
    /// @notice Counts `units` as taken back by the owner of a ticket of `ticketRound`. Only the queue.
    function queueRemove(uint256 units, uint32 ticketRound) external;
    /// @notice Takes up to `units` of a ticket of `ticketRound` at the pool's price. Only the queue.
    function queueSettle(uint256 units, uint32 ticketRound) external returns (uint256 taken, uint256 quote);
    /// @notice Pays credit of settled claims, which is senior to LP shares. Only the queue.
    function queuePay(address to, uint256 quote) external;
}
