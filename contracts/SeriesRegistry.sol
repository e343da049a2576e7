// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ILedgerCourt} from "./interfaces/ILedgerCourt.sol";
import {IRegistrarBond} from "./interfaces/IRegistrarBond.sol";
import {ISeriesRegistry} from "./interfaces/ISeriesRegistry.sol";
import {ITwabToken} from "./interfaces/ITwabToken.sol";
import {Stoppable} from "./Stoppable.sol";
import {HashrateUnit} from "./tokens/HashrateUnit.sol";

/// @title SeriesRegistry
/// @notice Creates series, and mints the units that attested machines back.
contract SeriesRegistry is ISeriesRegistry, EIP712, Stoppable {
    bytes32 private constant _BATCH = keccak256(
        "Batch(uint16 series,uint32 machines,uint96 units,bytes32 machineRoot,bytes32 evidence,uint32 nonce)"
    );
    uint8 private constant _ALGORITHMS = 4;
    uint16 private constant _MAX_SERIES = 16;

    /// @inheritdoc ISeriesRegistry
    address public immutable primarySale;
    /// @inheritdoc ISeriesRegistry
    address public immutable oracle;
    /// @inheritdoc ISeriesRegistry
    address public immutable court;
    /// @inheritdoc ISeriesRegistry
    address public immutable upgrader;
    /// @inheritdoc ISeriesRegistry
    address public immutable registrarBond;
    /// @inheritdoc ISeriesRegistry
    uint16 public seriesCount;
    /// @inheritdoc ISeriesRegistry
    mapping(address account => bool) public isVenue;
    /// @inheritdoc ISeriesRegistry
    mapping(uint16 id => uint32) public batchCount;
    /// @inheritdoc ISeriesRegistry
    mapping(uint16 id => uint160) public hashrateOf;
    mapping(uint16 id => Series) private _series;
    /// @dev one word: `retired:8 | hashrate:160 | machines:32 | series:16`
    mapping(bytes32 root => SerialRoot) private _roots;

    constructor(
        address authority,
        address oracle_,
        address primarySale_,
        address court_,
        address upgrader_,
        address registrarBond_
    ) AccessManaged(authority) {
        upgrader = upgrader_;
        registrarBond = registrarBond_;
        oracle = oracle_;
        court = court_;
        primarySale = primarySale_;
    }

    /// @inheritdoc ISeriesRegistry
    function createSeries(SeriesParams calldata params) external restricted returns (uint16 id, address unit) {
        if (params.algorithm == 0 || params.algorithm > _ALGORITHMS) revert UnknownAlgorithm(params.algorithm);
        if (params.hashratePerUnit == 0) revert ZeroHashrate();
        if (seriesCount == _MAX_SERIES) revert TooManySeries();
        id = ++seriesCount;
        unit = address(
            new HashrateUnit{salt: bytes32(uint256(id))}(address(this), params.policy, params.name, params.symbol)
        );
        Series storage s = _series[id];
        s.unit = unit;
        s.algorithm = params.algorithm;
        s.generation = params.generation;
        s.hashratePerUnit = params.hashratePerUnit;
        s.millijoulePerTerahash = params.millijoulePerTerahash;
        s.serviceDate = params.serviceDate;
        s.opexPerUnit = params.opexPerUnit;
        s.policy = params.policy;
        emit SeriesCreated(id, unit, params);
    }

    /// @inheritdoc ISeriesRegistry
    function registerBatch(Batch calldata batch, bytes[] calldata signatures) external whenRunning {
        Series storage s = _series[batch.series];
        if (s.unit == address(0)) revert UnknownSeries(batch.series);
        if (!ILedgerCourt(court).bonded()) revert Underbonded();
        uint32 nonce = batchCount[batch.series];
        if (batch.nonce != nonce) revert WrongNonce(nonce, batch.nonce);
        if (batch.units == 0 || batch.machines == 0 || batch.machineRoot == 0) revert EmptyBatch();
        if (!IRegistrarBond(registrarBond).mayMint(batch.series)) revert MintStopped(batch.series);
        IFleetOracle(oracle).checkQuorum(batchDigest(batch), signatures);

        batchCount[batch.series] = nonce + 1;
        _addRoot(batch.series, batch.machineRoot, batch.machines, uint160(batch.units) * s.hashratePerUnit);
        s.backedUnits += batch.units;
        s.machines += batch.machines;
        s.lastMachineRoot = batch.machineRoot;
        emit BatchRegistered(batch.series, nonce, batch);
        ITwabToken(s.unit).mint(primarySale, batch.units);
    }

    /* UPGRADES */

    /// @inheritdoc ISeriesRegistry
    function upgrade(uint16 id, bytes32 retiredRoot, Hardware calldata hardware)
        external
        returns (uint64 before, uint64 afterwards)
    {
        if (msg.sender != upgrader) revert OnlyUpgrader(msg.sender);
        checkUpgrade(id, retiredRoot, hardware);
        Series storage s = _series[id];
        SerialRoot storage old = _roots[retiredRoot];
        old.retired = true;
        hashrateOf[id] -= old.hashrate;
        _addRoot(id, hardware.machineRoot, hardware.machines, uint160(hardware.hashrate) * 1e18);
        before = s.hashratePerUnit;
        uint256 perUnit = uint256(hashrateOf[id]) / s.backedUnits;
        if (perUnit == 0) revert ZeroHashrate();
        if (perUnit > type(uint64).max) revert HashrateTooLarge(perUnit);
        afterwards = uint64(perUnit);

        s.generation = hardware.generation;
        s.hashratePerUnit = afterwards;
        s.millijoulePerTerahash = hardware.millijoulePerTerahash;
        s.serviceDate = hardware.serviceDate;
        s.opexPerUnit = hardware.opexPerUnit;
        s.machines = s.machines - old.machines + hardware.machines;
        s.lastMachineRoot = hardware.machineRoot;
        uint32 nonce = batchCount[id]++;
        emit HardwareChanged(id, nonce, retiredRoot, hardware, before, afterwards, s.machines);
    }

    /// @inheritdoc ISeriesRegistry
    function checkUpgrade(uint16 id, bytes32 retiredRoot, Hardware calldata hardware) public view {
        SerialRoot storage old = _roots[retiredRoot];
        if (old.series != id || id == 0 || old.retired) revert NotALiveRoot(id, retiredRoot);
        if (hardware.generation < _series[id].generation) {
            revert GenerationFell(_series[id].generation, hardware.generation);
        }
        if (hardware.machines == 0 || hardware.machineRoot == 0 || hardware.hashrate == 0) revert EmptyBatch();
        uint16 taken = _roots[hardware.machineRoot].series;
        if (taken != 0) revert RootTaken(hardware.machineRoot, taken);
    }

    /// @dev `hashrate` is H/s times 1e18.
    function _addRoot(uint16 id, bytes32 root, uint32 machines, uint160 hashrate) private {
        uint16 taken = _roots[root].series;
        if (taken != 0) revert RootTaken(root, taken);
        _roots[root] = SerialRoot(id, machines, hashrate, false);
        hashrateOf[id] += hashrate;
    }

    /* VENUES AND VIEWS */

    /// @inheritdoc ISeriesRegistry
    function rootOf(bytes32 root) external view returns (SerialRoot memory) {
        return _roots[root];
    }

    /// @inheritdoc ISeriesRegistry
    function addVenue(address venue) external restricted {
        isVenue[venue] = true;
        emit VenueAdded(venue);
    }

    /// @inheritdoc ISeriesRegistry
    function series(uint16 id) external view returns (Series memory) {
        if (_series[id].unit == address(0)) revert UnknownSeries(id);
        return _series[id];
    }

    /// @inheritdoc ISeriesRegistry
    function unitOf(uint16 id) external view returns (address) {
        return _series[id].unit;
    }

    /// @inheritdoc ISeriesRegistry
    function batchDigest(Batch calldata batch) public view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(_BATCH, batch)));
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Liquid Hashrate SeriesRegistry", "1");
    }
}
