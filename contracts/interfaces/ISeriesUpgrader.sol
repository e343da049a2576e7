// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title ISeriesUpgrader
/// @notice New hardware for an unchanged token: `propose` with the scrap proceeds of the machines that retire, wait 72
/// hours, a quorum of the fleet oracle's signers attests that the new machines stand and hash, anyone executes. The money
/// goes to the attested vendor for the attested serial root and nowhere else. DESIGN section 4.7.
/// @dev The signed message is the EIP-712 hash of `Upgrade` under this contract's domain (name "Liquid Hashrate
/// SeriesUpgrader", version "1"), signatures as the oracle takes them. One proposal of a series is open at a time.
/// Balances, allowances, orders, LP shares and claims are not touched: no token but the quote token is ever called.
/// Retired machines may run on: what they mine until they are switched off counts like any output of the series.
/// Warning: H/s per unit may fall. Both values are in `Upgraded`.
interface ISeriesUpgrader {
    /// @notice Everything about an upgrade; what the quorum attests. Hardware values are the series' from then on.
    struct Upgrade {
        uint16 series;
        /// the series' proposal counter, so that an attestation serves one proposal
        uint32 nonce;
        /// Merkle root of the serials that retire: a live root of the series
        bytes32 retiredRoot;
        uint16 generation;
        /// keccak256 of the model's name
        bytes32 modelHash;
        /// Merkle root of the new serials, leaves keccak256(vendor || serial); never registered before
        bytes32 machineRoot;
        uint32 machines;
        /// hashes per second of all new machines
        uint128 hashrate;
        uint32 millijoulePerTerahash;
        /// unix seconds, not after the execution
        uint40 serviceDate;
        /// sats per epoch and whole unit, times 2^32
        uint64 opexPerUnit;
        /// the new generation's schedule of fair value, as `IFairValue.Params`
        uint128 initialValue;
        uint32 scrapPpm;
        uint32 decayPpm;
        uint32 discountPpm;
        uint32 lifeEpochs;
        /// who is paid for the new machines
        address vendor;
        /// quote units that the vendor is paid: 98 to 100 % of what is in escrow
        uint128 price;
        /// quote units that the proposer brings in
        uint128 scrap;
        /// hash of scrap sale, invoice and machine list
        bytes32 evidence;
    }

    /// @notice What is kept of an open proposal.
    struct Proposal {
        /// EIP-712 struct hash of the `Upgrade`; zero: none is open
        bytes32 structHash;
        address funder;
        /// unix seconds
        uint40 readyAt;
        uint40 expiresAt;
        /// quote units that arrived from the funder, and that the series had left from before
        uint128 arrived;
        uint128 carried;
    }

    error AlreadyOpen(uint16 series);
    error NothingOpen(uint16 series);
    error WrongNonce(uint32 expected, uint32 found);
    error UnknownSeries(uint16 series);
    error WrongModel(bytes32 expected, bytes32 found);
    error BadVendor(address vendor);
    /// @notice The price is above the escrow, or below 98 % of it.
    error PriceOutOfBounds(uint256 price, uint256 escrow);
    /// @notice The proposal executed is not the one that was proposed.
    error WrongProposal(bytes32 expected, bytes32 found);
    error TooEarly(uint256 readyAt);
    error Expired(uint256 expiredAt);
    error NotInService(uint40 serviceDate);
    error NotTheFunder(address funder);
    /// @notice The token kept a part of the payment.
    error VendorPaidShort(uint256 price, uint256 arrived);
    error NothingToTake(address account);
    error AmountTooLarge(uint256 amount);

    event UpgradeProposed(
        uint16 indexed series,
        uint32 indexed nonce,
        address indexed funder,
        Upgrade upgrade,
        string model,
        uint256 arrived,
        uint256 carried,
        uint256 readyAt
    );
    event UpgradeCancelled(uint16 indexed series, uint32 indexed nonce, address indexed funder, uint256 refund);
    /// @notice `paid` went to the vendor; `left` stays as cash for the series' next hardware.
    event Upgraded(
        uint16 indexed series,
        uint32 indexed nonce,
        address indexed vendor,
        uint64 hashratePerUnitBefore,
        uint64 hashratePerUnitAfter,
        uint256 paid,
        uint256 left
    );
    event CashAdded(uint16 indexed series, address indexed from, uint256 amount);
    event Refunded(address indexed funder, address indexed to, uint256 amount);

    /// @notice Opens a proposal and takes `upgrade.scrap` from the caller into escrow, beside what the series had left.
    /// Restricted.
    function propose(Upgrade calldata upgrade, string calldata model) external;
    /// @notice Changes the hardware and pays the vendor. Anyone, from 72 hours after the proposal until 21 days later,
    /// with signatures of a quorum.
    function execute(Upgrade calldata upgrade, bytes[] calldata signatures) external;
    /// @notice Ends the open proposal: its funder at any time, anyone once it expired. The funder is owed what arrived.
    function cancel(uint16 series) external;
    /// @notice Pays what the caller is owed of cancelled proposals.
    function takeRefund(address to) external returns (uint256 amount);
    /// @notice Gives quote tokens for the series' next hardware, for good.
    function addCash(uint16 series, uint256 amount) external;

    function proposal(uint16 series) external view returns (Proposal memory);
    /// @notice Proposals ever made for the series: the nonce of the next one.
    function proposalCount(uint16 series) external view returns (uint32);
    /// @notice Quote units that the series has for hardware, open escrow apart.
    function hardwareCash(uint16 series) external view returns (uint256);
    function refundOf(address funder) external view returns (uint256);
    function upgradeDigest(Upgrade calldata upgrade) external view returns (bytes32);
    function registry() external view returns (address);
    function quoteToken() external view returns (address);
}
