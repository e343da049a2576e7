// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ILedgerCourt} from "./interfaces/ILedgerCourt.sol";
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
    uint16 public seriesCount;
    /// @inheritdoc ISeriesRegistry
    mapping(address account => bool) public isVenue;
    /// @inheritdoc ISeriesRegistry
    mapping(uint16 id => uint32) public batchCount;
    mapping(uint16 id => Series) private _series;

    constructor(address authority, address oracle_, address primarySale_, address court_) AccessManaged(authority) {
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
        if (batch.units == 0 || batch.machines == 0) revert EmptyBatch();
        IFleetOracle(oracle).checkQuorum(batchDigest(batch), signatures);

        batchCount[batch.series] = nonce + 1;
        s.backedUnits += batch.units;
        s.machines += batch.machines;
        s.lastMachineRoot = batch.machineRoot;
        emit BatchRegistered(batch.series, nonce, batch);
        ITwabToken(s.unit).mint(primarySale, batch.units);
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
