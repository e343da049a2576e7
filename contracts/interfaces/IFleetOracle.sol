// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IFleetOracle
/// @notice A quorum of signers reports what the fleet produced in each epoch, with the Bitcoin receipts that prove it.
/// @dev The signed message is the EIP-712 hash of `FleetReport` under this contract's domain
/// (name "Liquid Hashrate FleetOracle", version "1"). Signatures are 65 bytes (r, s, v), signer addresses strictly
/// ascending, exactly `quorum` or more of them.
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

    error WrongConfig(bytes32 expected, bytes32 found);
    error WrongPrevHash(bytes32 expected, bytes32 found);
    error WrongEpoch(uint32 expected, uint32 found);
    error EpochNotOver(uint32 epoch);
    error WrongRound(uint16 round);
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

    event ReportPosted(uint32 indexed epoch, uint16 indexed round, bytes32 reportHash, FleetReport report);
    /// @notice The epoch has no report; a zero pot stands until later pieces supplement it.
    event GapDeclared(uint32 indexed epoch);
    event SignerSet(address[] signers, uint8 quorum, bytes32 configDigest);

    /// @notice Posts the report of the next epoch. Anyone may send it: the signatures decide.
    function post(FleetReport calldata report, bytes[] calldata signatures) external;
    /// @notice Anyone, 24 h after the end of an unreported epoch.
    function declareGap(uint32 epoch) external;
    /// @notice Replaces the signer set: strictly ascending addresses, at most 31. Restricted.
    function setSigners(address[] calldata newSigners, uint8 newQuorum) external;
    /// @notice Reverts unless `signatures` are by a quorum of distinct signers over `digest`.
    function checkQuorum(bytes32 digest, bytes[] calldata signatures) external view;
    /// @notice EIP-712 digest that signers sign.
    function reportDigest(FleetReport calldata report) external view returns (bytes32);

    /// @notice Struct hash of the epoch's report; zero if none or a gap.
    function reportHash(uint32 epoch) external view returns (bytes32);
    /// @notice Total sats of the epoch's pots over all series.
    function potOf(uint32 epoch) external view returns (uint64);
    /// @notice True once the epoch has a report or a declared gap.
    function settled(uint32 epoch) external view returns (bool);
    /// @notice The last epoch with a report or gap; `firstEpoch - 1` before any.
    function lastEpoch() external view returns (uint32);
    function firstEpoch() external view returns (uint32);
    function registry() external view returns (address);
    function lastReportHash() external view returns (bytes32);
    function quotePerBtc(uint32 epoch) external view returns (uint64);
    function isSigner(address account) external view returns (bool);
    function signers() external view returns (address[] memory);
    function quorum() external view returns (uint8);
    function configDigest() external view returns (bytes32);
}
