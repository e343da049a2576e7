// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ISeriesRegistry} from "./interfaces/ISeriesRegistry.sol";
import {ReportHash} from "./libraries/ReportHash.sol";

/// @title FleetOracle
/// @notice Checks and stores the quorum's report of each epoch.
contract FleetOracle is IFleetOracle, EIP712, AccessManaged {
    /// @dev one word: `quotePerBtc:64 | pot:64 | settled:8` (from the low end: settled, pot, quotePerBtc)
    struct Outcome {
        bool settled;
        uint64 pot;
        uint64 quotePerBtc;
    }

    uint256 private constant _EPOCH = 28_800;
    uint256 private constant _MAX_SIGNERS = 31;
    uint256 private constant _MAX_PIECES = 4;
    uint256 private constant _MAX_WORK_AGE = 24;
    /// @dev half the order of secp256k1: a signature with a larger s is the mirror of another one
    bytes32 private constant _HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @inheritdoc IFleetOracle
    address public immutable registry;
    /// @inheritdoc IFleetOracle
    uint32 public immutable firstEpoch;
    /// @inheritdoc IFleetOracle
    uint32 public lastEpoch;
    /// @inheritdoc IFleetOracle
    uint8 public quorum;
    /// @inheritdoc IFleetOracle
    bytes32 public configDigest;
    /// @inheritdoc IFleetOracle
    bytes32 public lastReportHash;
    /// @inheritdoc IFleetOracle
    mapping(uint32 epoch => bytes32) public reportHash;
    /// @inheritdoc IFleetOracle
    mapping(address account => bool) public isSigner;
    mapping(uint32 epoch => Outcome) private _outcomes;
    address[] private _signers;

    /// @param firstEpoch_ the epoch of deployment; the one before is let pass, so that a deployment prepared just before a
    /// boundary does not fail
    constructor(address authority, address registry_, address[] memory signers_, uint8 quorum_, uint32 firstEpoch_)
        AccessManaged(authority)
    {
        uint256 current = block.timestamp / _EPOCH;
        if (firstEpoch_ == 0 || firstEpoch_ > current || firstEpoch_ + 1 < current) revert BadFirstEpoch(firstEpoch_);
        registry = registry_;
        firstEpoch = firstEpoch_;
        lastEpoch = firstEpoch_ - 1;
        _setSigners(signers_, quorum_);
    }

    /* REPORTS */

    /// @inheritdoc IFleetOracle
    function post(FleetReport calldata report, bytes[] calldata signatures) external {
        _checkEnvelope(report);
        uint64 pot = _checkMoney(report);
        bytes32 hash = ReportHash.hashOf(report);
        checkQuorum(_hashTypedData(hash), signatures);

        lastEpoch = report.epoch;
        lastReportHash = hash;
        reportHash[report.epoch] = hash;
        _outcomes[report.epoch] = Outcome(true, pot, report.quotePerBtc);
        emit ReportPosted(report.epoch, report.round, hash, report);
    }

    /// @inheritdoc IFleetOracle
    function declareGap(uint32 epoch) external {
        if (epoch != lastEpoch + 1) revert WrongEpoch(lastEpoch + 1, epoch);
        uint256 earliest = (uint256(epoch) + 1) * _EPOCH + 1 days;
        if (block.timestamp < earliest) revert GapTooEarly(epoch, earliest);
        lastEpoch = epoch;
        _outcomes[epoch].settled = true;
        emit GapDeclared(epoch);
    }

    /// @dev Chain, order and time.
    function _checkEnvelope(FleetReport calldata report) private view {
        if (report.configDigest != configDigest) revert WrongConfig(configDigest, report.configDigest);
        if (report.epoch != lastEpoch + 1) revert WrongEpoch(lastEpoch + 1, report.epoch);
        if (report.prevHash != lastReportHash) revert WrongPrevHash(lastReportHash, report.prevHash);
        if (report.round != 0) revert WrongRound(report.round);
        uint256 end = (uint256(report.epoch) + 1) * _EPOCH;
        if (block.timestamp < end) revert EpochNotOver(report.epoch);
        if (report.observedAt + 1 days < end || report.observedAt > block.timestamp + 10 minutes) {
            revert ObservedOutOfBounds(report.observedAt);
        }
        if (report.quotePerBtc == 0) revert ZeroPrice();
    }

    /// @dev Series and pieces in order, and every satoshi received accounted for.
    function _checkMoney(FleetReport calldata report) private view returns (uint64) {
        uint256 received = 0;
        for (uint256 i = 0; i < report.receipts.length; ++i) {
            received += report.receipts[i].sats;
        }
        uint256 pot = 0;
        uint256 deducted = 0;
        uint256 previous = 0;
        uint256 known = ISeriesRegistry(registry).seriesCount();
        for (uint256 i = 0; i < report.series.length; ++i) {
            SeriesReport calldata s = report.series[i];
            if (s.series <= previous) revert SeriesNotAscending(s.series);
            if (s.series > known) revert UnknownSeries(s.series);
            previous = s.series;
            pot += _sumPieces(report.epoch, s);
            deducted += s.deductions;
        }
        if (received != pot + deducted) revert ReceiptsDoNotAddUp(received, pot + deducted);
        if (pot > type(uint64).max) revert BadPieces(0);
        return uint64(pot);
    }

    function _sumPieces(uint32 epoch, SeriesReport calldata s) private pure returns (uint256 sum) {
        if (s.pots.length > _MAX_PIECES) revert BadPieces(s.series);
        uint256 next = 0;
        for (uint256 i = 0; i < s.pots.length; ++i) {
            uint256 workEpoch = s.pots[i].workEpoch;
            if (workEpoch < next || workEpoch > epoch || workEpoch + _MAX_WORK_AGE < epoch) revert BadPieces(s.series);
            next = workEpoch + 1;
            sum += s.pots[i].sats;
        }
    }

    /* SIGNERS */

    /// @inheritdoc IFleetOracle
    function checkQuorum(bytes32 digest, bytes[] calldata signatures) public view {
        if (signatures.length < quorum) revert NotEnoughSignatures(quorum, signatures.length);
        address previous = address(0);
        for (uint256 i = 0; i < signatures.length; ++i) {
            bytes calldata signature = signatures[i];
            if (signature.length != 65 || bytes32(signature[32:64]) > _HALF_ORDER) revert BadSignature(i);
            address signer = ECDSA.tryRecoverCalldata(digest, signature);
            if (signer == address(0)) revert BadSignature(i);
            if (!isSigner[signer]) revert NotASigner(signer);
            if (signer <= previous) revert SignersNotAscending(previous, signer);
            previous = signer;
        }
    }

    /// @inheritdoc IFleetOracle
    function setSigners(address[] calldata newSigners, uint8 newQuorum) external restricted {
        for (uint256 i = 0; i < _signers.length; ++i) {
            isSigner[_signers[i]] = false;
        }
        _setSigners(newSigners, newQuorum);
    }

    function _setSigners(address[] memory newSigners, uint8 newQuorum) private {
        uint256 count = newSigners.length;
        // more than half must sign, so that two quorums share a signer
        if (count > _MAX_SIGNERS || newQuorum > count || uint256(newQuorum) * 2 <= count) revert BadSignerSet();
        address previous = address(0);
        for (uint256 i = 0; i < count; ++i) {
            if (newSigners[i] <= previous) revert BadSignerSet();
            previous = newSigners[i];
            isSigner[previous] = true;
        }
        _signers = newSigners;
        quorum = newQuorum;
        configDigest = keccak256(abi.encode(newSigners, newQuorum, address(this)));
        emit SignerSet(newSigners, newQuorum, configDigest);
    }

    /* VIEWS */

    /// @inheritdoc IFleetOracle
    function reportDigest(FleetReport calldata report) external view returns (bytes32) {
        return _hashTypedData(ReportHash.hashOf(report));
    }

    /// @inheritdoc IFleetOracle
    function potOf(uint32 epoch) external view returns (uint64) {
        return _outcomes[epoch].pot;
    }

    /// @inheritdoc IFleetOracle
    function settled(uint32 epoch) external view returns (bool) {
        return _outcomes[epoch].settled;
    }

    /// @inheritdoc IFleetOracle
    function quotePerBtc(uint32 epoch) external view returns (uint64) {
        return _outcomes[epoch].quotePerBtc;
    }

    /// @inheritdoc IFleetOracle
    function signers() external view returns (address[] memory) {
        return _signers;
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Liquid Hashrate FleetOracle", "1");
    }
}
