// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IFairValue
/// @notice Fair value of one unit of a series, in sats, from the registry and the fleet reports. DESIGN section 4.3.
/// @dev raw = median(H, q, D); published value moves at most 2 % per epoch; the clamp never favours a seller:
/// A series' first valuation sets published = previous = raw. Inputs that are not known yet are left out: of two the
/// lower counts. D is unknown until the series first earned; H is always known. q counts while it is at most 3 epochs
/// old, else raw = min(H, D). D = sum over lifeEpochs of (r - opex) (1 - discount)^i + scrap (1 - discount)^n, where r is
/// (pots + deductions) / work of the last 3 reports x H/s per unit x 28,800, and opex the registry's; never below scrap.
/// bid base = min(raw, FMV_t, FMV_t-1), ask base = max(raw, FMV_t, FMV_t-1).
interface IFairValue {
    /// @notice All in sats per whole unit, times 2^32.
    struct Valuation {
        uint32 epoch;
        uint128 schedule;
        uint128 hardware;
        uint128 discounted;
        uint128 raw;
        uint128 published;
        uint128 previous;
    }

    /// @notice Schedule of one series. Fractions are in parts per million.
    struct Params {
        /// sats per whole unit when new, times 2^32
        uint128 initialValue;
        /// scrap as a fraction of the initial value
        uint32 scrapPpm;
        /// loss per 30 days of what is above scrap
        uint32 decayPpm;
        /// discount per epoch in the cash-flow sum
        uint32 discountPpm;
        /// epochs of remaining service life
        uint32 lifeEpochs;
    }

    error WrongReport(uint32 epoch);
    /// @dev series is zero: a report is valued as a whole.
    error AlreadyValued(uint16 series, uint32 epoch);
    /// @dev Reports and valuations are applied in the order in which they were posted, each once.
    error OutOfOrder(bytes32 expected, bytes32 found);
    error NoValue(uint16 series);
    error UnknownSeries(uint16 series);
    error BadParams(uint16 series);
    error OnlyUpgrader(address caller);

    event Valued(uint16 indexed series, uint32 indexed epoch, Valuation valuation, uint64 quotePerBtc);
    /// @notice A report, or a valuation, was applied; a `Valued` for each series that it changed follows in the transaction.
    event Applied(bytes32 indexed hash, uint32 indexed epoch, bool valuation);
    event ParamsSet(uint16 indexed series, Params params);
    /// @notice The primary sale of the series stops or goes on.
    event BackingChanged(uint16 indexed series, uint32 indexed epoch, bool unbacked);

    function setParams(uint16 series, Params calldata params) external;
    /// @notice The schedule of a new generation, as the quorum attested it with the upgrade. Only the registry's upgrader.
    /// @dev The value is stale until the next report or valuation: pool and sale trade at none of the old machines'.
    function setSchedule(uint16 series, Params calldata params) external;
    /// @notice Values every series of a posted report; `reportData` is `abi.encode(FleetReport)` and must hash to what
    /// the oracle stored. Anyone may call, once per report, after everything that was posted before it.
    function update(bytes calldata reportData) external;
    /// @notice Values every series by a posted valuation, `abi.encode(FleetValuation)`; income stays as it is. Anyone may
    /// call, once per valuation, after everything that was posted before it. The late report of an epoch that is valued
    /// already adds its income and does that epoch's step again: the published value moves once per epoch.
    function updateByValuation(bytes calldata valuationData) external;
    /// @notice Hash of the last report that was applied.
    function lastReport() external view returns (bytes32);
    /// @notice Hash of the last valuation that was applied.
    function lastValuation() external view returns (bytes32);
    function valuation(uint16 series) external view returns (Valuation memory);
    /// @notice Quote units per whole unit, rounded down, at the lower of the last two prices of BTC.
    function bidBase(uint16 series) external view returns (uint256);
    /// @notice Quote units per whole unit, rounded up, at the higher of the last two prices of BTC.
    function askBase(uint16 series) external view returns (uint256);
    /// @notice What trades need, in one read: both bases and the last second at which they are fresh. Zeros before the
    /// first valuation; never reverts. Kept from the report that last valued the series.
    function quotes(uint16 series) external view returns (uint256 bid, uint256 ask, uint256 freshUntil);
    function params(uint16 series) external view returns (Params memory);
    /// @notice True after 21 epochs on end in which the reported live H/s was below 90 % of H/s per unit x backed units,
    /// until 21 epochs on end in which it was not. An epoch without a valued report counts as below. `below` and `above`
    /// are the length of the present run, at most 21.
    function backing(uint16 series) external view returns (bool unbacked, uint8 below, uint8 above);
    function registry() external view returns (address);
    function oracle() external view returns (address);
    /// @notice True while the last valued report is no older than 1.25 epochs, counted from the end of its epoch or from
    /// its oldest observation, whichever is later.
    function fresh(uint16 series) external view returns (bool);
}
