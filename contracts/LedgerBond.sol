// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IEpochLedger} from "./interfaces/IEpochLedger.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ILedgerCourt} from "./interfaces/ILedgerCourt.sol";
import {ITwabToken} from "./interfaces/ITwabToken.sol";
import {Production} from "./libraries/Production.sol";

/// @title LedgerBond
/// @notice The operator's bond, and where penalties go: at most 5 % to who showed the fault, the rest to whom it harmed.
/// What no harmed account claims stays here for ever, so that a fault that harms nobody in particular costs as much.
abstract contract LedgerBond is ILedgerCourt, AccessManaged {
    using SafeCastLib for uint256;
    using SafeTransferLib for address;

    /// @dev a batch of the challenged epoch, or `_NO_BATCH` and nothing else
    struct At {
        uint16 batch;
        uint64 total;
        bytes32 outputsHash;
    }

    /// @dev an upheld fault, one word: `upheld:8 | batch:16 | day:32 | harm:96`
    struct Verdict {
        /// sats that the account was harmed by, until it claims its part of the penalty
        uint96 harm;
        /// the penalty's batch and day
        uint32 day;
        uint16 batch;
        /// a correction is written once
        bool upheld;
    }

    uint256 internal constant _EPOCH = 28_800;
    uint256 internal constant _WINDOW = 21;
    uint16 internal constant _NO_BATCH = 0xffff;
    uint256 private constant _MIN_FACTOR = 3;
    uint256 private constant _SATS = 1e8;
    uint256 private constant _PPM = 1_000_000;
    /// @dev of the batch's total
    uint256 private constant _PENALTY_PPM = 100_000;
    /// @dev of the penalty
    uint256 private constant _CHALLENGER_PPM = 50_000;
    uint256 private constant _GAS_TIMES = 3;
    /// @dev a transaction's own cost, and what paying out costs
    uint256 private constant _GAS_BASE = 40_000;

    IEpochLedger public immutable ledger;
    IFleetOracle public immutable oracle;
    address public immutable quoteToken;
    /// @notice Zero where nothing is asked of the operator.
    uint256 public immutable bondFactor;

    /// @dev one word, as a penalty needs both: `deposits:96 | bond:160`
    uint160 private _bond;
    /// @dev ether that demands left
    uint96 internal _deposits;
    uint256 private _announced;
    uint256 private _announcedFrom;
    mapping(bytes32 id => Pool) private _pools;
    mapping(bytes32 key => Verdict) internal _verdicts;
    /// @inheritdoc ILedgerCourt
    mapping(address challenger => uint256) public rewardOf;

    constructor(address authority, address ledger_, address quoteToken_, uint256 bondFactor_) AccessManaged(authority) {
        if (Production.isProduction(block.chainid) && bondFactor_ < _MIN_FACTOR) {
            revert BondFactorTooSmall(bondFactor_);
        }
        ledger = IEpochLedger(ledger_);
        oracle = IFleetOracle(IEpochLedger(ledger_).oracle());
        quoteToken = quoteToken_;
        bondFactor = bondFactor_;
    }

    /* BOND */

    /// @inheritdoc ILedgerCourt
    function post(uint256 amount) external {
        uint256 before = ITwabToken(quoteToken).balanceOf(address(this));
        quoteToken.safeTransferFrom(msg.sender, address(this), amount);
        amount = ITwabToken(quoteToken).balanceOf(address(this)) - before;
        _bond += amount.toUint160();
        emit Bonded(msg.sender, amount);
    }

    /// @inheritdoc ILedgerCourt
    function bond() external view returns (uint256) {
        return _bond;
    }

    /// @inheritdoc ILedgerCourt
    function fundGas() external payable {}

    /// @inheritdoc ILedgerCourt
    function announceWithdrawal(uint256 amount) external restricted {
        _announced = amount;
        _announcedFrom = block.timestamp + _WINDOW * _EPOCH;
        emit WithdrawalAnnounced(amount, _announcedFrom);
    }

    /// @inheritdoc ILedgerCourt
    function withdraw(address to) external restricted {
        uint256 amount = _announced < _bond ? _announced : _bond;
        if (amount == 0) revert NothingToClaim();
        if (block.timestamp < _announcedFrom) revert TooEarly(_announcedFrom);
        uint256 needed = requiredBond();
        uint256 left = _bond - amount;
        if (left < needed) revert BondTooSmall(needed, left);
        (_bond, _announced) = (uint160(left), 0);
        emit Withdrawn(to, amount);
        quoteToken.safeTransfer(to, amount);
    }

    /// @inheritdoc ILedgerCourt
    function bonded() external view returns (bool) {
        if (bondFactor == 0) return true;
        uint256 free = _bond > _announced ? _bond - _announced : 0;
        return free >= requiredBond();
    }

    /// @inheritdoc ILedgerCourt
    function requiredBond() public view returns (uint256) {
        if (bondFactor == 0) return 0;
        return _quoteOf(bondFactor * _largestPot());
    }

    function _largestPot() private view returns (uint256 pot) {
        uint256 last = oracle.lastEpoch();
        for (uint256 i = 0; i < _WINDOW && i <= last; ++i) {
            uint256 one = oracle.potOf(uint32(last - i));
            if (one > pot) pot = one;
        }
    }

    /// @dev At the last report's price, rounded up; zero before any report.
    function _quoteOf(uint256 sats) private view returns (uint256) {
        uint256 last = oracle.lastEpoch();
        for (uint256 i = 0; i < _WINDOW && i <= last; ++i) {
            uint256 price = oracle.quotePerBtc(uint32(last - i));
            if (price != 0) return Math.fullMulDivUp(sats, price, _SATS);
        }
        return 0;
    }

    /* PENALTIES */

    /// @dev A call that upholds a fault gets three times its gas back; any other reverts.
    modifier metered() {
        uint256 gasAtStart = gasleft();
        _;
        _payGas(msg.sender, gasAtStart);
    }

    /// @dev What is wrong concerns no batch.
    function _nowhere() internal pure returns (At memory place) {
        place.batch = _NO_BATCH;
    }

    /// @dev Takes the penalty if this is the day's first fault of this kind and batch, books `harm`, and pays the challenger.
    function _penalise(
        Fault fault,
        uint32 epoch,
        At memory place,
        address account,
        uint256 harm,
        address challenger,
        Verdict storage verdict
    ) internal {
        emit Upheld(fault, epoch, account, challenger);
        uint256 total = place.batch == _NO_BATCH ? oracle.potOf(epoch) : place.total;
        if (total == 0) total = _largestPot();
        uint256 day = block.timestamp / 1 days;
        bytes32 id = poolId(fault, epoch, place.batch, day);
        Pool storage pool = _pools[id];
        if (fault == Fault.Unpaid) {
            pool.weight = uint96(total);
        } else if (harm != 0) {
            verdict.harm += uint96(harm);
            (verdict.day, verdict.batch) = (uint32(day), place.batch);
            pool.weight += uint96(harm);
        }
        uint256 reward = _takePenalty(id, pool, total);
        // not sent here: a quote token that refuses somebody must not stop a correction
        if (reward != 0) rewardOf[challenger] += reward;
    }

    function _takePenalty(bytes32 id, Pool storage pool, uint256 total) private returns (uint256 reward) {
        if (pool.taken) return 0;
        pool.taken = true;
        uint256 amount = _quoteOf(total) * _PENALTY_PPM / _PPM;
        if (amount > _bond) amount = _bond;
        if (amount > type(uint96).max) amount = type(uint96).max;
        _bond -= uint160(amount);
        reward = amount * _CHALLENGER_PPM / _PPM;
        pool.amount = uint96(amount - reward);
        emit Penalised(id, amount, reward);
    }

    /// @dev At the block's base fee, from what was given for it; a receiver that refuses loses it.
    function _payGas(address to, uint256 gasAtStart) private {
        uint256 amount = (gasAtStart - gasleft() + _GAS_BASE) * block.basefee * _GAS_TIMES;
        uint256 purse = address(this).balance - _deposits;
        if (amount > purse) amount = purse;
        if (amount != 0) to.trySafeTransferETH(amount, 50_000);
    }

    /// @dev `which`: the series, or the day of a fault that can be upheld every day.
    function _key(Fault fault, uint32 epoch, address account, uint256 which) internal pure returns (bytes32) {
        return keccak256(abi.encode(fault, epoch, account, which));
    }

    /// @inheritdoc ILedgerCourt
    function poolId(Fault fault, uint32 epoch, uint16 batch, uint256 day) public pure returns (bytes32) {
        return keccak256(abi.encode(fault == Fault.Unpaid, epoch, batch, day));
    }

    /// @inheritdoc ILedgerCourt
    function poolOf(bytes32 id) external view returns (Pool memory) {
        return _pools[id];
    }

    /// @inheritdoc ILedgerCourt
    function claim(Fault fault, uint32 epoch, address account, uint256 which) external {
        Verdict storage verdict = _verdicts[_key(fault, epoch, account, which)];
        (uint256 harm, uint256 day) = (verdict.harm, verdict.day);
        if (block.timestamp / 1 days <= day) revert DayNotOver(day);
        verdict.harm = 0;
        _payPart(poolId(fault, epoch, verdict.batch, day), account, harm);
    }

    /// @inheritdoc ILedgerCourt
    function claimReward(address challenger) external {
        uint256 amount = rewardOf[challenger];
        if (amount == 0) revert NothingToClaim();
        rewardOf[challenger] = 0;
        quoteToken.safeTransfer(challenger, amount);
    }

    /// @dev The account's part by weight.
    function _payPart(bytes32 id, address account, uint256 weight) internal {
        Pool storage pool = _pools[id];
        if (weight == 0 || pool.amount == 0) revert NothingToClaim();
        uint256 amount = uint256(pool.amount) * weight / pool.weight;
        emit Claimed(id, account, amount);
        if (amount != 0) quoteToken.safeTransfer(account, amount);
    }
}
