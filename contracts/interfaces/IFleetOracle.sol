// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IFleetOracle
/// @notice A quorum of signers reports what the fleet produced in each epoch, with the Bitcoin receipts that prove it.
/// @dev What is signed, under the EIP-712 domain (name "Liquid Hashrate FleetOracle", version "1", chain, this contract):
/// `FleetReport(uint32 epoch,uint16 round,bytes32 reportHash)` with `reportHash = keccak256(abi.encode(report))`,
/// `FleetValuation(uint32 epoch,uint16 round,bytes32 valuationHash)` alike, or `Gap(uint32 epoch,bytes32 configDigest)`.
///
/// Packed signatures: 65 bytes each, `index:8 | r:256 | yParity:1 | s:255`, where `index` is the signer's place in
/// `signers()`; indices strictly ascending, s in the lower half. A signer counts only with the minimum stake.
///
/// Rounds: signers sign once per epoch and round. A round that fails lets the next one proceed; the first report of any
/// round that lands settles the epoch, and nothing replaces it. A report whose pot is more than 3 times the last one that
/// was not zero, whose price is more than a quarter above or a fifth below the last, or in which a series' live H/s more
/// than doubles, needs two signers more than the quorum, or all who count.
interface IFleetOracle {
    /// @notice Sats that work of `workEpoch` earned. Split by the balance-seconds of that epoch.
    struct Piece {
        uint32 workEpoch;
        uint64 sats;
    }

    /// @notice One series of the report. `pots` has at most four pieces, workEpoch ascending, each >= epoch - 24.
    struct SeriesReport {
        uint16 series;
        Piece[] pots;
        /// pool-acknowledged expected hashes in the epoch
        uint128 work;
        /// pool-acknowledged hashes per second over the epoch
        uint128 liveHashrate;
        /// quote units per 1e15 H/s of equal-efficiency hardware, zero if nobody quoted
        uint128 hardwarePrice;
        /// sats withheld from the receipts for power and hosting
        uint64 deductions;
    }

    /// @notice A treasury output that this report distributes: txid in internal byte order.
    struct Receipt {
        bytes32 txid;
        uint32 vout;
        uint64 sats;
    }

    struct FleetReport {
        uint32 epoch;
        uint16 round;
        /// hash of the report before this one (zero for the first)
        bytes32 prevHash;
        /// hash of signer set, quorum and contract address: `configDigest()`
        bytes32 configDigest;
        /// quote units (6 decimals) for one BTC, median of at least three sources
        uint64 quotePerBtc;
        /// spread of the sources in parts per million
        uint32 quoteSpread;
        /// unix seconds of the oldest observation used
        uint40 observedAt;
        /// sum of receipts = sum of pots + sum of deductions
        Receipt[] receipts;
        SeriesReport[] series;
        /// root of the evidence tree (journal heads and pool statements)
        bytes32 evidenceRoot;
    }

    /// @notice Quote units per 1e15 H/s of hardware as efficient as that of the series.
    struct HardwarePrice {
        uint16 series;
        uint128 price;
    }

    /// @notice Prices of an epoch that is over and not reported yet: late production never stales the bid.
    struct FleetValuation {
        uint32 epoch;
        uint16 round;
        /// hash of the last report
        bytes32 afterReport;
        /// hash of the last valuation, zero for the first
        bytes32 prevValuation;
        bytes32 configDigest;
        uint64 quotePerBtc;
        uint32 quoteSpread;
        uint40 observedAt;
        /// series ascending; those that nobody quoted are left out
        HardwarePrice[] hardware;
    }

    error WrongConfig(bytes32 expected, bytes32 found);
    error WrongPrevHash(bytes32 expected, bytes32 found);
    error WrongEpoch(uint32 expected, uint32 found);
    error EpochNotOver(uint32 epoch);
    error NotEnoughSignatures(uint256 needed, uint256 found);
    error SignersNotAscending(address previous, address next);
    error NotASigner(address recovered);
    error BadSignature(uint256 index);
    error BadPieces(uint16 series);
    error SeriesNotAscending(uint16 series);
    error ReceiptsDoNotAddUp(uint256 receipts, uint256 pots);
    error ObservedOutOfBounds(uint40 observedAt);
    error ZeroPrice();
    error GapTooEarly(uint32 epoch, uint256 earliest);
    error UnknownSeries(uint16 series);
    error BadSignerSet();
    error BadFirstEpoch(uint32 epoch);
    /// @dev `index` counts the signatures of the call.
    error StakeTooSmall(address signer, uint256 index);
    error StakeTooLarge(uint256 amount);
    error StillASigner(address signer);
    error UnstakeTooEarly(uint256 earliest);
    error NothingStaked(address account);
    error SameHash(bytes32 hash);
    error DifferentSigners(address one, address other);
    error AlreadySlashed(address signer, uint32 epoch, uint16 round);

    event ReportPosted(uint32 indexed epoch, uint16 indexed round, bytes32 reportHash, FleetReport report);
    event ValuationPosted(uint32 indexed epoch, uint16 indexed round, bytes32 valuationHash, FleetValuation valuation);
    /// @notice The epoch has no report; a zero pot stands until later pieces supplement it.
    event GapDeclared(uint32 indexed epoch, bool byQuorum);
    event Staked(address indexed signer, address indexed from, uint256 amount);
    event Unstaked(address indexed signer, address to, uint256 amount);
    /// @notice `amount` is the whole stake; `reward` of it is the reporter's, the rest nobody's.
    event Slashed(
        address indexed signer, uint32 indexed epoch, uint16 round, address reporter, uint256 amount, uint256 reward
    );
    event RewardClaimed(address indexed reporter, uint256 amount);
    event SignerSet(address[] signers, uint8 quorum, bytes32 configDigest);

    /* REPORTS */

    /// @notice Posts the report of the next epoch, with packed signatures. Anyone may send it: the signatures decide.
    function post(FleetReport calldata report, bytes calldata signatures) external;
    /// @notice Anyone, 24 h after the end of an unreported epoch.
    function declareGap(uint32 epoch) external;
    /// @notice The quorum, at once after the end of an unreported epoch.
    function declareGapByQuorum(uint32 epoch, bytes calldata signatures) external;
    /// @notice Posts prices of an epoch that is over, not settled, and above that of the last valuation.
    function postValuation(FleetValuation calldata valuation, bytes calldata signatures) external;

    /* SIGNERS */

    /// @notice Replaces the signer set: strictly ascending addresses, at most 31; more than half make a quorum. Restricted.
    function setSigners(address[] calldata newSigners, uint8 newQuorum) external;
    /// @notice Deposits quote tokens for a signer. Only that signer gets them back.
    function stake(address signer, uint256 amount) external;
    /// @notice Pays out the caller's stake, 21 epochs after it left the set.
    function unstake(address to) external;
    /// @notice Two signatures by one signer over different reports (or valuations) of one epoch and round take its whole
    /// stake: 5 % to the caller, the rest to nobody for ever, so that who slashes himself loses all but that. Each
    /// signature has 64 (EIP-2098) or 65 bytes.
    function equivocation(
        bool ofValuation,
        uint32 epoch,
        uint16 round,
        bytes32 hashA,
        bytes calldata signatureA,
        bytes32 hashB,
        bytes calldata signatureB
    ) external;
    /// @notice Pays a reporter what slashing earned it. Anyone may call.
    function claimReward(address reporter) external;
    /// @notice Reverts unless `signatures` are by a quorum of distinct signers that count over `digest`: 64 (EIP-2098) or
    /// 65 bytes each, addresses strictly ascending.
    function checkQuorum(bytes32 digest, bytes[] calldata signatures) external view;

    /* VIEWS */

    /// @notice EIP-712 digest that signers sign.
    function reportDigest(FleetReport calldata report) external view returns (bytes32);
    function valuationDigest(FleetValuation calldata valuation) external view returns (bytes32);
    /// @notice What the present signer set signs to declare a gap.
    function gapDigest(uint32 epoch) external view returns (bytes32);
    /// @notice Signatures that the report would need now: more than the quorum if it jumps.
    function signaturesNeeded(FleetReport calldata report) external view returns (uint256);
    function valuationSignaturesNeeded(FleetValuation calldata valuation) external view returns (uint256);

    /// @notice Hash of the epoch's report; zero if there is none, for a gap, and once 512 later epochs are settled.
    function reportHash(uint32 epoch) external view returns (bytes32);
    /// @notice Total sats of the epoch's pots over all series, for ever.
    function potOf(uint32 epoch) external view returns (uint64);
    /// @notice True once the epoch has a report or a declared gap.
    function settled(uint32 epoch) external view returns (bool);
    /// @notice The last epoch with a report or gap; `firstEpoch - 1` before any.
    function lastEpoch() external view returns (uint32);
    function firstEpoch() external view returns (uint32);
    function registry() external view returns (address);
    function lastReportHash() external view returns (bytes32);
    function lastValuationHash() external view returns (bytes32);
    /// @notice Whether a valuation with this hash, `keccak256(abi.encode(valuation))`, was posted.
    function isValuation(bytes32 hash) external view returns (bool);
    /// @notice The last valuation posted between the report with this hash and the next one; zero if none.
    function lastValuationAfter(bytes32 afterReport) external view returns (bytes32);
    function quotePerBtc(uint32 epoch) external view returns (uint64);

    function isSigner(address account) external view returns (bool);
    /// @notice Whether its signature counts: in the set, with the minimum stake.
    function counts(address signer) external view returns (bool);
    function signers() external view returns (address[] memory);
    function quorum() external view returns (uint8);
    function configDigest() external view returns (bytes32);
    function quoteToken() external view returns (address);
    function minStake() external view returns (uint96);
    /// @notice A signer's stake, and the time from which it can be paid out: the largest number while it is in the set.
    function stakeOf(address signer) external view returns (uint256 amount, uint256 withdrawableFrom);
    function rewardOf(address reporter) external view returns (uint256);
    /// @notice Slashed stake that is nobody's.
    function forfeited() external view returns (uint256);
}
