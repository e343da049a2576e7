// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IBitcoinRelay} from "./interfaces/IBitcoinRelay.sol";
import {IEpochLedger} from "./interfaces/IEpochLedger.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ILedgerCourt} from "./interfaces/ILedgerCourt.sol";
import {LedgerWrappers} from "./LedgerWrappers.sol";
import {BitcoinScript} from "./libraries/BitcoinScript.sol";
import {BitcoinTx} from "./libraries/BitcoinTx.sol";
import {LedgerRecord} from "./libraries/LedgerRecord.sol";
import {LedgerTree} from "./libraries/LedgerTree.sol";
import {Production} from "./libraries/Production.sol";

/// @title EpochLedger
/// @notice Payout roots by epoch, and the chain of batons that proves them paid on Bitcoin.
contract EpochLedger is LedgerWrappers, AccessManaged {
    using BitcoinTx for bytes;

    /// @dev what is proven of an epoch with several batches; nothing of any other
    struct Progress {
        /// txid of the root transaction; zero until proven
        bytes32 txid;
        /// batches yet to be proven
        uint256 left;
        /// bit b % 256 of word b / 256: batch b is proven
        mapping(uint256 word => uint256) bits;
    }

    /// @dev one word: `corrected:24 | lastPaying:24 | nextEpoch:24 | paidSum:56 | accSum:128`. There are 2^51 sats, and
    /// 2^24 epochs are 15,000 years.
    struct Head {
        uint128 accSum;
        uint56 paidSum;
        uint24 nextEpoch;
        /// newest epoch with batches; zero before the first
        uint24 lastPaying;
        /// newest epoch that a correction counts in; zero before the first
        uint24 corrected;
    }

    /// @dev two words: the txid, and `proven:32 | vout:32`
    struct Baton {
        bytes32 txid;
        uint32 vout;
        /// newest epoch whose baton transaction is proven; zero before the first
        uint32 proven;
    }

    uint256 private constant _EPOCH = 28_800;
    uint256 private constant _LATE_EPOCHS = 6;
    uint64 private constant _MAX_MIN_PAY = 50_000;
    uint256 private constant _MAX_BATCHES = 65_534;
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
    Head private _head;
    Baton private _baton;
    /// @inheritdoc IEpochLedger
    mapping(uint32 epoch => bytes32) public commitmentHash;
    /// @dev credit that the court took back so far, 2^-64 sat
    uint256 private _takenBack;
    /// @dev bit e % 256 of word e / 256: epoch e is committed and has no batches
    mapping(uint256 word => uint256) private _paysNothing;
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
        _head.nextEpoch = uint24(firstEpoch);
    }

    /* COMMIT */

    /// @inheritdoc IEpochLedger
    function setBaton(bytes32 txid, uint32 vout) external restricted {
        if (_baton.txid != 0) revert BatonAlreadySet();
        (_baton.txid, _baton.vout) = (txid, vout);
        emit BatonSet(txid, vout);
    }

    /// @inheritdoc IEpochLedger
    function addWrapper(Wrapper calldata wrapper) external restricted {
        _addWrapper(wrapper, _head.nextEpoch);
    }

    /// @inheritdoc IEpochLedger
    function commit(Commitment calldata c) external restricted {
        uint32 epoch = c.epoch;
        Head memory head = _head;
        if (epoch != head.nextEpoch) revert WrongEpoch(head.nextEpoch, epoch);
        // a settled epoch is over
        if (!IFleetOracle(oracle).settled(epoch)) revert NotReported(epoch);
        if (!c.defer && block.timestamp >= (uint256(epoch) + 1 + _LATE_EPOCHS) * _EPOCH) revert TooLate(epoch);
        if (c.minPay > _MAX_MIN_PAY) revert MinPayTooLarge(c.minPay);
        if (c.defer && c.batches.length != 0) revert DeferredWithBatches();
        if (c.batches.length > _MAX_BATCHES) revert TooManyBatches(c.batches.length);
        _checkSums(c, head);

        _seal(c, head.lastPaying);
        if (c.batches.length != 0) head.lastPaying = head.nextEpoch;
        else _paysNothing[epoch >> 8] |= 1 << (epoch & 0xff);
        _head = Head(c.root.accSum, uint56(c.root.paidSum), head.nextEpoch + 1, head.lastPaying, head.corrected);
    }

    /// @dev Stores the hash of the record, and logs what it is the hash of.
    function _seal(Commitment calldata c, uint32 lastPaying) private {
        Record memory r;
        (r.root, r.accSum, r.paidSum) = (c.root.hash, c.root.accSum, c.root.paidSum);
        (r.epoch, r.accounts, r.minPay, r.defer) = (c.epoch, c.accounts, c.minPay, c.defer);
        // 2^32 minutes are 8,000 years
        r.delay = uint32((block.timestamp - (uint256(r.epoch) + 1) * _EPOCH + 59) / 60);
        r.lastPaying = lastPaying;
        r.batches = LedgerRecord.batchesHash(c.batches);
        bytes memory data = abi.encode(c, lastPaying, r.delay);
        bytes32 topic = Committed.selector;
        (bytes32 commitment, uint256 epoch) = (0, r.epoch);
        assembly ("memory-safe") {
            // offset of the commitment, lastPaying and delay come first; then as abi.encode(c) has it after its offset
            commitment := keccak256(add(data, 128), sub(mload(data), 96))
            log2(add(data, 32), mload(data), topic, epoch)
        }
        r.commitment = commitment;
        commitmentHash[r.epoch] = LedgerRecord.hash(r);
    }

    /// @dev What is newly paid is what the batches pay; what is newly credited is at most the pot; nothing credited is
    /// taken back, and nothing is paid that was not credited: but for what the court corrected in this epoch.
    function _checkSums(Commitment calldata c, Head memory last) private {
        ILedgerCourt.Sums memory fix;
        // corrections are final before their epoch can be committed, so one made since is of a later epoch
        if (last.corrected >= c.epoch) fix = ILedgerCourt(court).correctionSums(c.epoch);
        (uint256 accSum, uint256 paidSum) = (c.root.accSum, c.root.paidSum);
        uint256 paid = last.paidSum + uint256(fix.paidUp);
        for (uint256 i = 0; i < c.batches.length; ++i) {
            paid += c.batches[i].total;
        }
        if (paidSum > paid || paidSum + fix.paidDown < paid || paidSum > type(uint56).max) {
            revert PaidSumMismatch(paid, c.root.paidSum);
        }
        uint256 limit = last.accSum + (uint256(IFleetOracle(oracle).potOf(c.epoch)) << 64) + fix.accUp;
        if (accSum > limit) revert AccSumTooLarge(limit, accSum);
        if (accSum + fix.accDown < last.accSum) revert AccSumFell(last.accSum, accSum);
        if (fix.accDown != 0) _takenBack += fix.accDown;
        if (paidSum << 64 <= accSum) return;
        // what was taken back counts as credited: sats that were paid in error do not come back
        uint256 credited = accSum + _takenBack;
        if (paidSum << 64 > credited) revert PaidBeyondCredit(credited, paidSum << 64);
    }

    /// @inheritdoc IEpochLedger
    function noteCorrection(uint32 epoch) external {
        if (msg.sender != court) revert NotCourt(msg.sender);
        if (_head.corrected != epoch) _head.corrected = uint24(epoch);
    }

    /* PROOF */

    /// @inheritdoc IEpochLedger
    function provePayout(uint32 epoch, uint16 batch, Paying calldata paying, Proof calldata proof) external {
        uint256 count = _checkPaying(epoch, paying);
        if (batch == _ROOT ? count < 2 : batch >= count) revert UnknownBatch(epoch, batch);
        if (count == 1 ? epoch <= _baton.proven : batchProven(epoch, batch)) revert AlreadyProven(epoch, batch);

        BitcoinTx.Layout memory parsed = proof.transaction.parse();
        bytes32 txid = proof.transaction.hash256();
        bool movesBaton = count == 1 || batch == _ROOT;
        if (movesBaton) _checkBaton(epoch, paying.lastPaying, parsed);
        else _checkChunk(epoch, batch, parsed);
        uint256 payees = _checkMarker(
            parsed, proof.transaction, movesBaton ? 1 : 0, BitcoinScript.marker(epoch, batch, paying.root)
        );
        uint64 total = 0;
        if (batch != _ROOT) {
            total = paying.batches[batch].total;
            _checkOutputs(paying.batches[batch], proof.transaction, payees, parsed);
        } else if (parsed.outputs != 2 + count) {
            revert WrongOutputs(bytes32(2 + count), bytes32(parsed.outputs));
        }
        bytes32 blockHash = _checkBlock(proof, txid, total);

        if (movesBaton) _baton = Baton(txid, 0, epoch);
        if (count != 1) _record(epoch, batch, txid, count);
        emit PayoutProven(epoch, batch, txid, blockHash);
    }

    /// @dev What the prover says of the commitment hashes to what is stored of it. Returns the number of its batches.
    function _checkPaying(uint32 epoch, Paying calldata paying) private view returns (uint256) {
        bytes32 batches = LedgerRecord.batchesHash(paying.batches);
        bytes32 found = LedgerRecord.sealOf(paying.root, paying.terms, paying.lastPaying, batches);
        if (commitmentHash[epoch] != found) revert WrongRecord(epoch);
        return paying.batches.length;
    }

    /// @dev The transaction spends the baton, and the epoch is the next one to pay: the paying one before it is proven.
    function _checkBaton(uint32 epoch, uint32 lastPaying, BitcoinTx.Layout memory parsed) private view {
        Baton memory last = _baton;
        if (last.txid == 0) revert BatonNotSet();
        if (last.proven != lastPaying) revert OutOfOrder(epoch);
        _checkInput(parsed, last.txid, last.vout);
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
        BitcoinTx.Layout memory parsed,
        bytes calldata transaction,
        uint256 position,
        bytes memory expected
    ) private pure returns (uint256 next) {
        if (parsed.outputs <= position) revert WrongMarker();
        next = parsed.outputsAt;
        if (position == 1) (,, next) = transaction.output(next);
        uint256 sats;
        bytes calldata script;
        (sats, script, next) = transaction.output(next);
        if (sats != 0 || keccak256(script) != keccak256(expected)) revert WrongMarker();
    }

    /// @dev What follows the marker is exactly what was committed.
    function _checkOutputs(
        Batch calldata batch,
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

    /// @dev Of an epoch with several batches.
    function _record(uint32 epoch, uint16 batch, bytes32 txid, uint256 count) private {
        Progress storage progress = _progress[epoch];
        if (batch == _ROOT) {
            (progress.txid, progress.left) = (txid, count);
        } else {
            progress.bits[batch >> 8] |= 1 << (batch & 0xff);
            --progress.left;
        }
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
    function nextEpoch() external view returns (uint32) {
        return _head.nextEpoch;
    }

    /// @inheritdoc IEpochLedger
    function newest() external view returns (uint128 accSum, uint64 paidSum, uint32 lastPaying) {
        return (_head.accSum, _head.paidSum, _head.lastPaying);
    }

    /// @inheritdoc IEpochLedger
    function recordHash(Record calldata record) external pure returns (bytes32) {
        return LedgerRecord.hash(record);
    }

    /// @inheritdoc IEpochLedger
    function provenBatches(uint32 epoch) external view returns (uint256) {
        return _progress[epoch].txid == 0 && batchProven(epoch, 0) ? 1 : _progress[epoch].bits[0];
    }

    /// @inheritdoc IEpochLedger
    function batchProven(uint32 epoch, uint16 batch) public view returns (bool) {
        Progress storage progress = _progress[epoch];
        if (progress.txid != 0) return batch == _ROOT || progress.bits[batch >> 8] >> (batch & 0xff) & 1 == 1;
        // the only batch carries the baton, and batons are proven in order
        return batch == 0 && epoch >= firstEpoch && epoch <= _baton.proven && !_hasNoBatches(epoch);
    }

    /// @inheritdoc IEpochLedger
    function isProven(uint32 epoch) external view returns (bool) {
        if (epoch < firstEpoch) return false;
        return _hasNoBatches(epoch) || (epoch <= _baton.proven && _progress[epoch].left == 0);
    }

    function _hasNoBatches(uint32 epoch) private view returns (bool) {
        return _paysNothing[epoch >> 8] >> (epoch & 0xff) & 1 == 1;
    }

    /// @inheritdoc IEpochLedger
    function baton() external view returns (bytes32 txid, uint32 vout) {
        return (_baton.txid, _baton.vout);
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
    function checkLeaf(Record calldata record, uint256 index, Root calldata leaf, Root[] calldata siblings)
        external
        view
    {
        uint32 epoch = record.epoch;
        if (commitmentHash[epoch] != LedgerRecord.hash(record)) revert WrongRecord(epoch);
        Root memory found = LedgerTree.rootOf(index, leaf, siblings);
        bool same = found.hash == record.root && found.accSum == record.accSum && found.paidSum == record.paidSum;
        if (!same) revert NotUnderRoot(epoch);
    }
}
