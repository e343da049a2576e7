// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IBitcoinRelay} from "./interfaces/IBitcoinRelay.sol";
import {IEpochLedger} from "./interfaces/IEpochLedger.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ILedgerCourt} from "./interfaces/ILedgerCourt.sol";
import {BitcoinScript} from "./libraries/BitcoinScript.sol";
import {BitcoinTx} from "./libraries/BitcoinTx.sol";
import {LedgerTree} from "./libraries/LedgerTree.sol";
import {Production} from "./libraries/Production.sol";

/// @title EpochLedger
/// @notice Payout roots by epoch, and the chain of batons that proves them paid on Bitcoin.
contract EpochLedger is IEpochLedger, AccessManaged {
    using BitcoinTx for bytes;

    /// @dev what is proven of an epoch
    struct Progress {
        /// txid of the baton's transaction: the only batch, or the root transaction; zero until proven
        bytes32 txid;
        /// batches proven, the root transaction not counted
        uint256 count;
        /// bit b % 256 of word b / 256: batch b is proven
        mapping(uint256 word => uint256) bits;
    }

    /// @dev two words: the hash, and `delay:16 | minPay:16 | accounts:32 | paidSum:64 | accSum:128`
    struct Stored {
        bytes32 hash;
        uint128 accSum;
        uint64 paidSum;
        uint32 accounts;
        /// `_DEFERRED` if the epoch deferred
        uint16 minPay;
        /// minutes from the end of the epoch to its commit, rounded up
        uint16 delay;
    }

    uint256 private constant _EPOCH = 28_800;
    uint16 private constant _DEFERRED = 0xffff;
    uint256 private constant _LATE_EPOCHS = 6;
    uint64 private constant _MAX_MIN_PAY = 50_000;
    uint256 private constant _MAX_BATCHES = 65_534;
    uint256 private constant _MAX_WRAPPERS = 16;
    uint16 private constant _ROOT = 0xffff;
    /// @dev where money is real
    uint256 private constant _MIN_CONFIRMATIONS = 6;
    /// @dev block subsidy until `_HALVING`, then halved every four years: dates just before the real halvings, so that
    /// the subsidy is never taken for larger than it is
    uint256 private constant _SUBSIDY = 312_500_000;
    uint256 private constant _HALVING = 1_835_481_600; // 1 March 2028
    uint256 private constant _FOUR_YEARS = 1461 days;

    /// @inheritdoc IEpochLedger
    address public immutable oracle;
    /// @inheritdoc IEpochLedger
    address public immutable relay;
    /// @inheritdoc IEpochLedger
    address public immutable court;
    /// @inheritdoc IEpochLedger
    uint8 public immutable confirmations;
    /// @inheritdoc IEpochLedger
    uint32 public immutable firstEpoch;
    /// @inheritdoc IEpochLedger
    uint32 public nextEpoch;
    /// @dev index in `_paying` of the next epoch whose baton transaction is to be proven
    uint64 private _provingIndex;
    OutPoint private _baton;
    /// @dev epochs with batches, in order
    uint32[] private _paying;
    Wrapper[] private _wrappers;
    /// @inheritdoc IEpochLedger
    mapping(uint256 index => uint32) public wrapperFrom;
    /// @inheritdoc IEpochLedger
    mapping(address account => bool) public isWrapper;
    /// @inheritdoc IEpochLedger
    mapping(uint32 epoch => bytes32) public commitmentHash;
    mapping(uint32 epoch => Stored) private _roots;
    /// @dev credit that the court took back so far, 2^-64 sat
    uint256 private _takenBack;
    mapping(uint32 epoch => Batch[]) private _batches;
    mapping(uint32 epoch => Progress) private _progress;
    /// @dev sats proven under a Bitcoin block
    mapping(bytes32 blockHash => uint256) private _provenUnder;

    /// @param court_ decides challenges; zero: nobody does, and nothing is ever corrected
    constructor(address authority, address oracle_, address relay_, address court_, uint8 confirmations_)
        AccessManaged(authority)
    {
        if (confirmations_ < (Production.isProduction(block.chainid) ? _MIN_CONFIRMATIONS : 1)) {
            revert TooFewConfirmations(confirmations_);
        }
        oracle = oracle_;
        relay = relay_;
        court = court_;
        confirmations = confirmations_;
        firstEpoch = IFleetOracle(oracle_).firstEpoch();
        nextEpoch = firstEpoch;
    }

    /* COMMIT */

    /// @inheritdoc IEpochLedger
    function setBaton(bytes32 txid, uint32 vout) external restricted {
        if (_baton.txid != 0) revert BatonAlreadySet();
        _baton = OutPoint(txid, vout);
        emit BatonSet(txid, vout);
    }

    /// @inheritdoc IEpochLedger
    function addWrapper(Wrapper calldata wrapper) external restricted {
        if (_wrappers.length == _MAX_WRAPPERS) revert TooManyWrappers();
        if (isWrapper[wrapper.wrapper] || isWrapper[wrapper.firstLoss] || wrapper.wrapper == wrapper.firstLoss) {
            revert BadWrapper(wrapper.wrapper);
        }
        for (uint256 i = 0; i < _wrappers.length; ++i) {
            if (_wrappers[i].firstLoss == wrapper.wrapper) revert BadWrapper(wrapper.wrapper);
        }
        wrapperFrom[_wrappers.length] = nextEpoch;
        isWrapper[wrapper.wrapper] = true;
        _wrappers.push(wrapper);
        emit WrapperAdded(wrapper);
    }

    /// @inheritdoc IEpochLedger
    function commit(Commitment calldata c) external restricted {
        uint32 epoch = c.epoch;
        if (epoch != nextEpoch) revert WrongEpoch(nextEpoch, epoch);
        // a settled epoch is over
        if (!IFleetOracle(oracle).settled(epoch)) revert NotReported(epoch);
        if (!c.defer && block.timestamp >= (uint256(epoch) + 1 + _LATE_EPOCHS) * _EPOCH) revert TooLate(epoch);
        if (c.minPay > _MAX_MIN_PAY) revert MinPayTooLarge(c.minPay);
        if (c.defer && c.batches.length != 0) revert DeferredWithBatches();
        if (c.batches.length > _MAX_BATCHES) revert TooManyBatches(c.batches.length);
        _checkSums(c);

        nextEpoch = epoch + 1;
        _store(c);
        commitmentHash[epoch] = keccak256(abi.encode(c));
        for (uint256 i = 0; i < c.batches.length; ++i) {
            _batches[epoch].push(c.batches[i]);
        }
        if (c.batches.length != 0) _paying.push(epoch);
        emit Committed(epoch, c);
    }

    function _store(Commitment calldata c) private {
        uint256 delay = (block.timestamp - (uint256(c.epoch) + 1) * _EPOCH + 59) / 60;
        _roots[c.epoch] = Stored({
            hash: c.root.hash,
            accSum: c.root.accSum,
            paidSum: c.root.paidSum,
            accounts: c.accounts,
            minPay: c.defer ? _DEFERRED : uint16(c.minPay),
            delay: delay > type(uint16).max ? type(uint16).max : uint16(delay)
        });
    }

    /// @dev What is newly paid is what the batches pay; what is newly credited is at most the pot; nothing credited is
    /// taken back, and nothing is paid that was not credited: but for what the court corrected in this epoch.
    function _checkSums(Commitment calldata c) private {
        Stored storage last = _roots[c.epoch - 1];
        ILedgerCourt.Sums memory fix;
        if (court != address(0)) fix = ILedgerCourt(court).correctionSums(c.epoch);
        uint256 paid = last.paidSum + uint256(fix.paidUp);
        for (uint256 i = 0; i < c.batches.length; ++i) {
            paid += c.batches[i].total;
        }
        if (c.root.paidSum > paid || c.root.paidSum + uint256(fix.paidDown) < paid) {
            revert PaidSumMismatch(paid, c.root.paidSum);
        }
        uint256 limit = last.accSum + (uint256(IFleetOracle(oracle).potOf(c.epoch)) << 64) + fix.accUp;
        if (c.root.accSum > limit) revert AccSumTooLarge(limit, c.root.accSum);
        if (c.root.accSum + uint256(fix.accDown) < last.accSum) revert AccSumFell(last.accSum, c.root.accSum);
        uint256 credited = c.root.accSum;
        if (court != address(0)) {
            if (fix.accDown != 0) _takenBack += fix.accDown;
            credited += _takenBack;
        }
        if (uint256(c.root.paidSum) << 64 > credited) revert PaidBeyondCredit(credited, uint256(c.root.paidSum) << 64);
    }

    /* PROOF */

    /// @inheritdoc IEpochLedger
    function provePayout(uint32 epoch, uint16 batch, Proof calldata proof) external {
        uint256 count = _batches[epoch].length;
        if (batch == _ROOT ? count < 2 : batch >= count) revert UnknownBatch(epoch, batch);
        if (batchProven(epoch, batch)) revert AlreadyProven(epoch, batch);

        BitcoinTx.Layout memory parsed = proof.transaction.parse();
        bytes32 txid = proof.transaction.hash256();
        bool movesBaton = count == 1 || batch == _ROOT;
        if (movesBaton) _checkBaton(epoch, parsed);
        else _checkChunk(epoch, batch, parsed);
        uint256 payees = _checkMarker(epoch, batch, movesBaton ? 1 : 0, parsed, proof.transaction);
        if (batch != _ROOT) _checkOutputs(_batches[epoch][batch], proof.transaction, payees, parsed);
        else if (parsed.outputs != 2 + count) revert WrongOutputs(bytes32(2 + count), bytes32(parsed.outputs));
        bytes32 blockHash = _checkBlock(proof, txid, batch == _ROOT ? 0 : _batches[epoch][batch].total);

        _record(epoch, batch, txid, movesBaton);
        emit PayoutProven(epoch, batch, txid, blockHash);
    }

    /// @dev The transaction spends the baton, and the epoch is the next one to pay.
    function _checkBaton(uint32 epoch, BitcoinTx.Layout memory parsed) private view {
        if (_baton.txid == 0) revert BatonNotSet();
        if (_paying[_provingIndex] != epoch) revert OutOfOrder(epoch);
        _checkInput(parsed, _baton.txid, _baton.vout);
    }

    /// @dev The transaction spends its output of the root transaction.
    function _checkChunk(uint32 epoch, uint16 batch, BitcoinTx.Layout memory parsed) private view {
        bytes32 root = _progress[epoch].txid;
        if (root == 0) revert OutOfOrder(epoch);
        _checkInput(parsed, root, 2 + uint32(batch));
    }

    function _checkInput(BitcoinTx.Layout memory parsed, bytes32 txid, uint32 vout) private pure {
        if (parsed.inputTxid != txid || parsed.inputVout != vout) {
            revert WrongInput(parsed.inputTxid, parsed.inputVout);
        }
    }

    /// @dev Output number `position` is the marker. Returns the offset after it.
    function _checkMarker(
        uint32 epoch,
        uint16 batch,
        uint256 position,
        BitcoinTx.Layout memory parsed,
        bytes calldata transaction
    ) private view returns (uint256 next) {
        if (parsed.outputs <= position) revert WrongMarker();
        next = parsed.outputsAt;
        if (position == 1) (,, next) = transaction.output(next);
        uint256 sats;
        bytes calldata script;
        (sats, script, next) = transaction.output(next);
        bytes32 expected = keccak256(BitcoinScript.marker(epoch, batch, _roots[epoch].hash));
        if (sats != 0 || keccak256(script) != expected) revert WrongMarker();
    }

    /// @dev What follows the marker is exactly what was committed.
    function _checkOutputs(
        Batch memory batch,
        bytes calldata transaction,
        uint256 cursor,
        BitcoinTx.Layout memory parsed
    ) private pure {
        bytes32 found = keccak256(transaction[cursor:transaction.length - 4]);
        if (found != batch.outputsHash) revert WrongOutputs(batch.outputsHash, found);
        uint256 sum = parsed.sats;
        for (uint256 before = parsed.outputsAt; before < cursor;) {
            uint256 sats;
            (sats,, before) = transaction.output(before);
            sum -= sats;
        }
        if (sum != batch.total) revert WrongOutputs(bytes32(uint256(batch.total)), bytes32(sum));
    }

    /// @dev The transaction is in the first header's block, with work enough on top. Books `total` under that block.
    function _checkBlock(Proof calldata proof, bytes32 txid, uint256 total) private returns (bytes32 blockHash) {
        bytes32 root;
        uint256 found;
        (root, blockHash, found) = IBitcoinRelay(relay).checkHeaders(proof.headers);
        if (BitcoinTx.merkleRoot(txid, proof.branch, proof.index) != root) revert NotInBlock();
        // the coinbase is a transaction for certain, so its depth is the tree's: an inner node lies higher
        BitcoinTx.Layout memory coinbase = proof.coinbase.parse();
        if (coinbase.inputTxid != 0 || coinbase.inputVout != type(uint32).max) revert BadTransaction();
        if (proof.coinbaseBranch.length != proof.branch.length) revert NotInBlock();
        if (BitcoinTx.merkleRoot(proof.coinbase.hash256(), proof.coinbaseBranch, 0) != root) revert NotInBlock();
        uint256 value = _provenUnder[blockHash] + total;
        uint256 needed = confirmationsFor(value);
        if (found < needed) revert NotEnoughConfirmations(needed, found);
        _provenUnder[blockHash] = value;
    }

    function _record(uint32 epoch, uint16 batch, bytes32 txid, bool movesBaton) private {
        Progress storage progress = _progress[epoch];
        progress.bits[batch >> 8] |= 1 << (batch & 0xff);
        if (batch != _ROOT) ++progress.count;
        if (!movesBaton) return;
        progress.txid = txid;
        ++_provingIndex;
        _baton = OutPoint(txid, 0);
    }

    /* VIEWS */

    /// @inheritdoc IEpochLedger
    function confirmationsFor(uint256 sats) public view returns (uint256) {
        uint256 time = block.timestamp;
        uint256 halvings = time < _HALVING ? 0 : 1 + (time - _HALVING) / _FOUR_YEARS;
        uint256 step = 3 * (_SUBSIDY >> halvings);
        uint256 times = step == 0 ? sats : (sats + step - 1) / step;
        return confirmations * (times == 0 ? 1 : times);
    }

    /// @inheritdoc IEpochLedger
    function rootOf(uint32 epoch) external view returns (Root memory) {
        Stored storage stored = _roots[epoch];
        return Root(stored.hash, stored.accSum, stored.paidSum);
    }

    /// @inheritdoc IEpochLedger
    function termsOf(uint32 epoch) external view returns (Root memory root, Terms memory terms) {
        Stored storage stored = _roots[epoch];
        root = Root(stored.hash, stored.accSum, stored.paidSum);
        bool defer = stored.minPay == _DEFERRED;
        terms = Terms(stored.accounts, defer ? 0 : stored.minPay, defer, stored.delay);
    }

    /// @inheritdoc IEpochLedger
    function batchesOf(uint32 epoch) external view returns (Batch[] memory) {
        return _batches[epoch];
    }

    /// @inheritdoc IEpochLedger
    function provenBatches(uint32 epoch) external view returns (uint256) {
        return _progress[epoch].bits[0];
    }

    /// @inheritdoc IEpochLedger
    function batchProven(uint32 epoch, uint16 batch) public view returns (bool) {
        return _progress[epoch].bits[batch >> 8] >> (batch & 0xff) & 1 == 1;
    }

    /// @inheritdoc IEpochLedger
    function isProven(uint32 epoch) external view returns (bool) {
        return commitmentHash[epoch] != 0 && _progress[epoch].count == _batches[epoch].length;
    }

    /// @inheritdoc IEpochLedger
    function baton() external view returns (bytes32 txid, uint32 vout) {
        return (_baton.txid, _baton.vout);
    }

    /// @inheritdoc IEpochLedger
    function wrappers() external view returns (Wrapper[] memory) {
        return _wrappers;
    }

    /// @inheritdoc IEpochLedger
    function leafHash(address account, bytes32 scriptHash, uint64 paid, uint32 since, uint32 out, bytes calldata acc)
        external
        pure
        returns (bytes32)
    {
        return LedgerTree.leafHash(account, scriptHash, paid, since, out, acc);
    }

    /// @inheritdoc IEpochLedger
    function nodeHash(Root calldata left, Root calldata right) external pure returns (Root memory) {
        return LedgerTree.nodeHash(left, right);
    }

    /// @inheritdoc IEpochLedger
    function checkLeaf(uint32 epoch, uint256 index, Root calldata leaf, Root[] calldata siblings) external view {
        Stored storage root = _roots[epoch];
        Root memory found = LedgerTree.rootOf(index, leaf, siblings);
        bool same = found.hash == root.hash && found.accSum == root.accSum && found.paidSum == root.paidSum;
        if (commitmentHash[epoch] == 0 || !same) revert NotUnderRoot(epoch);
    }
}
