// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title ISeriesRegistry
/// @notice Series of machines and the hardware that backs their units. All units that a batch backs are minted to the
/// primary sale when the batch is registered, so a buyer never earns another's machines.
/// @dev Registration needs the quorum's attestation of the batch: an EIP-712 `Batch` under this contract's domain
/// (name "Liquid Hashrate SeriesRegistry", version "1").
interface ISeriesRegistry {
    /// @notice SHA-256 = 1, Scrypt = 2, Equihash = 3, kHeavyHash = 4.
    struct SeriesParams {
        uint8 algorithm;
        uint16 generation;
        /// hashes per second that one whole unit (1e18) stands for
        uint64 hashratePerUnit;
        /// millijoule per 1e12 hashes
        uint32 millijoulePerTerahash;
        /// unix seconds at which the first machine went into service
        uint40 serviceDate;
        /// running cost in sats per epoch and whole unit, times 2^32
        uint64 opexPerUnit;
        /// restricts who may receive from the sale or another holder; zero: nobody is restricted
        address policy;
        string model;
        string name;
        string symbol;
    }

    struct Series {
        address unit;
        uint8 algorithm;
        uint16 generation;
        uint64 hashratePerUnit;
        uint32 millijoulePerTerahash;
        uint40 serviceDate;
        uint64 opexPerUnit;
        address policy;
        /// units backed by registered machines, 18 decimals; equals the token's total supply
        uint96 backedUnits;
        uint32 machines;
        bytes32 lastMachineRoot;
    }

    /// @notice What the quorum attests. `machineRoot` is the Merkle root of leaves keccak256(vendor || serial).
    struct Batch {
        uint16 series;
        uint32 machines;
        uint96 units;
        bytes32 machineRoot;
        bytes32 evidence;
        /// equals the series' batch counter, so an attestation is used once
        uint32 nonce;
    }

    /// @notice Machines under a Merkle root, of a batch or of an upgrade.
    struct SerialRoot {
        /// zero: never registered
        uint16 series;
        uint32 machines;
        /// nameplate H/s times 1e18, exact
        uint160 hashrate;
        /// replaced by an upgrade
        bool retired;
    }

    /// @notice What an upgrade puts in place of a retired root. Per-unit values are the whole series' from then on.
    struct Hardware {
        uint16 generation;
        bytes32 modelHash;
        bytes32 machineRoot;
        uint32 machines;
        /// hashes per second of all new machines
        uint128 hashrate;
        uint32 millijoulePerTerahash;
        uint40 serviceDate;
        uint64 opexPerUnit;
    }

    error UnknownSeries(uint16 series);
    error WrongNonce(uint32 expected, uint32 found);
    error EmptyBatch();
    error UnknownAlgorithm(uint8 algorithm);
    error ZeroHashrate();
    /// @notice The operator's bond is too small for recent payouts: no unit is minted until it is raised.
    error Underbonded();
    /// @notice A serial of the series was shown to be registered twice, or the registrar's deposit is too small.
    error MintStopped(uint16 series);
    /// @notice A root is registered once, ever.
    error RootTaken(bytes32 root, uint16 series);
    error NotALiveRoot(uint16 series, bytes32 root);
    error GenerationFell(uint16 now_, uint16 proposed);
    error OnlyUpgrader(address caller);
    error HashrateTooLarge(uint256 perUnit);
    /// @notice A leaf of the payout ledger has room for 16 series.
    error TooManySeries();

    event SeriesCreated(uint16 indexed series, address unit, SeriesParams params);
    event VenueAdded(address venue);
    event BatchRegistered(uint16 indexed series, uint32 indexed nonce, Batch batch);

    /// @notice `batchCount` counts it too, so that attestations of batches at the old H/s per unit are void.
    event HardwareChanged(
        uint16 indexed series,
        uint32 indexed nonce,
        bytes32 indexed retiredRoot,
        Hardware hardware,
        uint64 hashratePerUnitBefore,
        uint64 hashratePerUnitAfter,
        uint32 seriesMachines
    );

    /// @notice Deploys the series' unit token. Restricted to the operator role.
    function createSeries(SeriesParams calldata params) external returns (uint16 series, address unit);
    /// @notice Mints `batch.units` to the primary sale. `signatures` by distinct signers, signer addresses ascending.
    function registerBatch(Batch calldata batch, bytes[] calldata signatures) external;
    /// @notice Retires a root and registers another in its place. H/s per unit becomes the nameplate H/s of all live
    /// machines / backed units, rounded down. Touches no token. Only the upgrader.
    function upgrade(uint16 id, bytes32 retiredRoot, Hardware calldata hardware)
        external
        returns (uint64 hashratePerUnitBefore, uint64 hashratePerUnitAfter);
    /// @notice Reverts with the reason if such an upgrade cannot be.
    function checkUpgrade(uint16 id, bytes32 retiredRoot, Hardware calldata hardware) external view;
    function rootOf(bytes32 root) external view returns (SerialRoot memory);
    /// @notice Nameplate H/s of all live machines, times 1e18.
    function hashrateOf(uint16 id) external view returns (uint160);
    function series(uint16 id) external view returns (Series memory);
    /// @notice The series' token; zero if there is no such series.
    function unitOf(uint16 id) external view returns (address);
    /// @notice Holds the operator's bond.
    function court() external view returns (address);
    /// @notice Series ids run from 1 to this number.
    function seriesCount() external view returns (uint16);
    function batchCount(uint16 id) external view returns (uint32);
    function batchDigest(Batch calldata batch) external view returns (bytes32);
    /// @notice Adds an exit venue (market, pool, queue): no transfer policy is consulted for what it sends, receives or
    /// settles. Restricted, append-only.
    function addVenue(address venue) external;
    function isVenue(address account) external view returns (bool);
    function primarySale() external view returns (address);
    function oracle() external view returns (address);
    function upgrader() external view returns (address);
    /// @notice Holds the deposit for duplicate serials.
    function registrarBond() external view returns (address);
}
