// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {MerkleProofLib} from "solady/utils/MerkleProofLib.sol";
import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IRegistrarBond} from "./interfaces/IRegistrarBond.sol";
import {ISeriesRegistry} from "./interfaces/ISeriesRegistry.sol";
import {ISeriesUpgrader} from "./interfaces/ISeriesUpgrader.sol";
import {ITwabToken} from "./interfaces/ITwabToken.sol";
import {Production} from "./libraries/Production.sol";

/// @title RegistrarBond
/// @notice Judges duplicate serials by proof alone. Nothing is sent while a fault is judged, so that no token can stop it.
contract RegistrarBond is IRegistrarBond, ReentrancyGuardTransient, AccessManaged {
    using SafeTransferLib for address;

    enum Fault {
        None,
        StopsMint,
        Known
    }

    uint256 private constant _NOTICE = 7 days;
    uint256 private constant _CHALLENGER_PERCENT = 5;

    ISeriesRegistry public immutable registry;
    address public immutable quoteToken;
    /// @inheritdoc IRegistrarBond
    uint256 public immutable minimum;
    /// @inheritdoc IRegistrarBond
    uint256 public bond;
    uint256 private _announced;
    uint256 private _announcedFrom;
    /// @inheritdoc IRegistrarBond
    mapping(uint16 series => uint32) public openFaults;
    /// @inheritdoc IRegistrarBond
    mapping(address challenger => uint256) public rewardOf;
    /// @inheritdoc IRegistrarBond
    mapping(uint16 series => uint256) public owedTo;
    mapping(bytes32 root => Fault) private _faults;

    constructor(address authority, address registry_, address quoteToken_, uint256 minimum_) AccessManaged(authority) {
        if (minimum_ == 0 && Production.isProduction(block.chainid)) revert NoMinimum();
        registry = ISeriesRegistry(registry_);
        quoteToken = quoteToken_;
        minimum = minimum_;
    }

    /* DEPOSIT */

    /// @inheritdoc IRegistrarBond
    function post(uint256 amount) external nonReentrant {
        uint256 before = ITwabToken(quoteToken).balanceOf(address(this));
        quoteToken.safeTransferFrom(msg.sender, address(this), amount);
        amount = ITwabToken(quoteToken).balanceOf(address(this)) - before;
        bond += amount;
        emit Bonded(msg.sender, amount);
    }

    /// @inheritdoc IRegistrarBond
    function announceWithdrawal(uint256 amount) external restricted {
        _announced = amount;
        _announcedFrom = block.timestamp + _NOTICE;
        emit WithdrawalAnnounced(amount, _announcedFrom);
    }

    /// @inheritdoc IRegistrarBond
    function withdraw(address to) external restricted nonReentrant {
        uint256 amount = _announced < bond ? _announced : bond;
        if (amount == 0) revert NothingToTake();
        if (block.timestamp < _announcedFrom) revert TooEarly(_announcedFrom);
        (bond, _announced) = (bond - amount, 0);
        emit Withdrawn(to, amount);
        quoteToken.safeTransfer(to, amount);
    }

    /// @inheritdoc IRegistrarBond
    function mayMint(uint16 series) external view returns (bool) {
        if (openFaults[series] != 0) return false;
        uint256 free = bond > _announced ? bond - _announced : 0;
        return free >= minimum;
    }

    /* FAULTS */

    /// @inheritdoc IRegistrarBond
    function duplicateSerial(bytes calldata machine, Place calldata a, Place calldata b) external nonReentrant {
        ISeriesRegistry.SerialRoot memory rootA = _under(machine, a);
        ISeriesRegistry.SerialRoot memory rootB = _under(machine, b);
        // in one tree of distinct leaves a machine has one branch; a second one is a second place
        if (a.root == b.root && keccak256(abi.encode(a.branch)) == keccak256(abi.encode(b.branch))) revert SamePlace();
        if (_faults[a.root] != Fault.None && _faults[b.root] != Fault.None) revert AlreadyShown(a.root, b.root);
        _mark(a.root, rootA);
        _mark(b.root, rootB);
        uint256 penalty = bond < minimum ? bond : minimum;
        bond -= penalty;
        uint256 reward = penalty * _CHALLENGER_PERCENT / 100;
        uint256 half = (penalty - reward) / 2;
        rewardOf[msg.sender] += reward;
        owedTo[rootA.series] += half;
        owedTo[rootB.series] += penalty - reward - half;
        emit DuplicateShown(a.root, b.root, msg.sender, machine, penalty);
    }

    /// @dev The leaf is hashed here, so nothing below the leaves passes for one; an inner node is a hash of 64 bytes, which
    /// no machine has, so nothing above does, not even the zeros that a padded tree repeats.
    function _under(bytes calldata machine, Place calldata place)
        private
        view
        returns (ISeriesRegistry.SerialRoot memory root)
    {
        root = registry.rootOf(place.root);
        if (root.series == 0) revert UnknownRoot(place.root);
        bool inner = machine.length == 64;
        if (inner || !MerkleProofLib.verifyCalldata(place.branch, place.root, keccak256(machine))) {
            revert NotUnder(place.root);
        }
    }

    function _mark(bytes32 root, ISeriesRegistry.SerialRoot memory found) private {
        if (_faults[root] != Fault.None) return;
        _faults[root] = found.retired ? Fault.Known : Fault.StopsMint;
        if (!found.retired) ++openFaults[found.series];
    }

    /// @inheritdoc IRegistrarBond
    function clearFault(bytes32 root) external {
        ISeriesRegistry.SerialRoot memory found = registry.rootOf(root);
        if (_faults[root] != Fault.StopsMint || !found.retired) revert StillLive(root);
        _faults[root] = Fault.Known;
        --openFaults[found.series];
        emit FaultCleared(found.series, root);
    }

    /* PAYMENTS */

    /// @inheritdoc IRegistrarBond
    function forward(uint16 series) external nonReentrant {
        uint256 amount = owedTo[series];
        if (amount == 0) revert NothingToTake();
        owedTo[series] = 0;
        emit Forwarded(series, amount);
        address upgrader = registry.upgrader();
        quoteToken.safeApproveWithRetry(upgrader, amount);
        ISeriesUpgrader(upgrader).addCash(series, amount);
    }

    /// @inheritdoc IRegistrarBond
    function claimReward(address challenger) external nonReentrant {
        uint256 amount = rewardOf[challenger];
        if (amount == 0) revert NothingToTake();
        rewardOf[challenger] = 0;
        quoteToken.safeTransfer(challenger, amount);
    }

    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }
}
