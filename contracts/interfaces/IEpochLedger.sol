// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IEpochLedger
/// @notice One payout root per epoch, the Bitcoin outputs that pay it, and the proof that they were mined.
/// Encoding and rules: DESIGN section 4.5 and docs/LEDGER.md.
interface IEpochLedger {
    /// @notice Root of the Merkle-sum tree of leaves.
    struct Root {
        bytes32 hash;
        /// sum of all accumulators, 2^-64 sat
        uint128 accSum;
        /// sum of all sats scheduled through this epoch
        uint64 paidSum;
    }

    /// @notice Outputs of one payout transaction after its OP_RETURN: keccak256 of their Bitcoin serialisation.
    struct Batch {
        bytes32 outputsHash;
        uint64 total;
    }

    /// @notice txid in internal byte order.
    struct OutPoint {
        bytes32 txid;
        uint32 vout;
    }

    struct Commitment {
        uint32 epoch;
        Root root;
        /// accounts that have a leaf
        uint32 accounts;
        /// sats below which a due amount waits; at most 50,000
        uint64 minPay;
        /// sats per 1,000 virtual bytes of the payout transaction
        uint64 feeRate;
        /// Bitcoin block that the plan was made on (hash in internal byte order)
        uint32 anchorHeight;
        bytes32 anchorHash;
        /// treasury outputs that the payout spends beside the baton
        OutPoint[] funding;
        /// nothing is paid in this epoch; dues roll into the next
        bool defer;
        Batch[] batches;
    }

    /// @notice What challenges need of a commitment, and what the ledger found when it was made. The ledger stores only its
    /// hash: whoever calls brings the record, and event `Committed` has all of it.
    /// @dev No field is dynamic: eleven words, the same in memory as encoded.
    struct Record {
        /// the root: hash and sums
        bytes32 root;
        uint128 accSum;
        uint64 paidSum;
        uint32 epoch;
        uint32 accounts;
        uint64 minPay;
        bool defer;
        /// minutes from the end of the epoch to its commit, rounded up
        uint32 delay;
        /// keccak256 of abi.encode(Commitment) after its first word, which is an offset
        bytes32 commitment;
        /// the newest epoch before it that has batches; zero if none
        uint32 lastPaying;
        /// keccak256 of the batches, 64 bytes each
        bytes32 batches;
    }

    /// @notice What the proof of a payout needs of a record.
    struct Paying {
        /// hash of the root
        bytes32 root;
        /// keccak256 of the record's second to ninth word: accSum to commitment
        bytes32 terms;
        uint32 lastPaying;
        Batch[] batches;
    }

    /// @notice The wrappers of a series whose own output is looked through to the holders of `shareToken`.
    struct Wrapper {
        uint16 series;
        address wrapper;
        address shareToken;
        /// earns while the share token has no balance-seconds
        address firstLoss;
    }

    struct Proof {
        /// consecutive headers, oldest first; the first one holds the transaction
        bytes headers;
        /// the payout transaction, serialised without witness
        bytes transaction;
        /// Merkle branch of the transaction, 32 bytes a level, leaf side first
        bytes branch;
        uint32 index;
        /// the block's coinbase, serialised without witness, and its branch: proves the tree's depth
        bytes coinbase;
        bytes coinbaseBranch;
    }

    error WrongEpoch(uint32 expected, uint32 found);
    error NotReported(uint32 epoch);
    error TooLate(uint32 epoch);
    error MinPayTooLarge(uint64 minPay);
    error PaidSumMismatch(uint256 expected, uint256 found);
    error AccSumTooLarge(uint256 limit, uint256 found);
    /// @notice What was credited once is never taken back.
    error AccSumFell(uint256 last, uint256 found);
    /// @notice More would be scheduled than was ever credited (both in 2^-64 sat).
    error PaidBeyondCredit(uint256 credited, uint256 paid);
    error DeferredWithBatches();
    error TooManyWrappers();
    /// @notice The wrapper is on the list or some wrapper's first-loss account, or its own first-loss account is a wrapper.
    error BadWrapper(address wrapper);
    /// @notice Fewer than 6 on a production chain, or none.
    error TooFewConfirmations(uint8 confirmations);
    error NotCourt(address caller);
    error BatonAlreadySet();
    error BatonNotSet();
    /// @notice What was brought does not hash to what is stored of the epoch's commitment, or there is none.
    error WrongRecord(uint32 epoch);
    error UnknownBatch(uint32 epoch, uint16 batch);
    error AlreadyProven(uint32 epoch, uint16 batch);
    error OutOfOrder(uint32 epoch);
    error BadTransaction();
    error WrongInput(bytes32 txid, uint32 vout);
    error WrongOutputs(bytes32 expected, bytes32 found);
    error WrongMarker();
    error NotEnoughConfirmations(uint256 needed, uint256 found);
    error NotInBlock();
    error TooManyBatches(uint256 count);
    /// @notice The leaf's series list is malformed, or its index lies outside the tree.
    error BadLeaf();
    error NotUnderRoot(uint32 epoch);

    /// @notice With `lastPaying` and `delay` of the record.
    event Committed(uint32 indexed epoch, Commitment commitment, uint32 lastPaying, uint32 delay);
    event PayoutProven(uint32 indexed epoch, uint16 indexed batch, bytes32 txid, bytes32 blockHash);
    event WrapperAdded(Wrapper wrapper);
    event BatonSet(bytes32 txid, uint32 vout);

    /// @notice The first baton: the output that the first payout must spend. Once, by the operator role.
    function setBaton(bytes32 txid, uint32 vout) external;
    /// @notice Adds a wrapper; counts from the next epoch to be committed. Restricted, append-only, at most 16.
    function addWrapper(Wrapper calldata wrapper) external;
    function wrappers() external view returns (Wrapper[] memory);
    /// @notice Those of `series` that count in `epoch`.
    function wrappersOf(uint16 series, uint32 epoch) external view returns (Wrapper[] memory);
    /// @notice The first epoch that wrapper `index` of the list counts in.
    function wrapperFrom(uint256 index) external view returns (uint32);
    function isWrapper(address account) external view returns (bool);
    function oracle() external view returns (address);
    function relay() external view returns (address);
    /// @notice The contract that decides challenges; its corrections are added to the sums of a commitment.
    function court() external view returns (address);

    /// @notice Commits the root of the next epoch. Restricted to the operator role.
    function commit(Commitment calldata commitment) external;
    /// @notice The court says that a correction counts in `epoch`, the one that runs: its commitment asks for the sums.
    function noteCorrection(uint32 epoch) external;
    /// @notice Proves that batch `batch` of `epoch` was mined. Anyone may call. With one batch the transaction spends the
    /// baton; with several, batch 0xffff is the root transaction and each chunk spends one of its outputs.
    function provePayout(uint32 epoch, uint16 batch, Paying calldata paying, Proof calldata proof) external;

    /// @notice `recordHash` of the epoch's record: all that is stored of a commitment; zero if none.
    function commitmentHash(uint32 epoch) external view returns (bytes32);
    /// @notice keccak256(abi.encode(root, terms, lastPaying, batches)), `terms` as in `Paying`.
    function recordHash(Record calldata record) external pure returns (bytes32);
    /// @notice Sums of the newest root, and the newest epoch that has batches.
    function newest() external view returns (uint128 accSum, uint64 paidSum, uint32 lastPaying);
    /// @notice Bit j: batch j is proven. Batches 0 to 255 only; `batchProven` answers for every one.
    function provenBatches(uint32 epoch) external view returns (uint256 bitmap);
    /// @notice `batch` 0xffff asks for the root transaction of an epoch with several batches.
    function batchProven(uint32 epoch, uint16 batch) external view returns (bool);
    /// @notice True once every batch is proven; also for a committed epoch that pays nothing.
    function isProven(uint32 epoch) external view returns (bool);
    /// @notice Confirmations that a block needs once `sats` were proven under it.
    function confirmationsFor(uint256 sats) external view returns (uint256);
    function firstEpoch() external view returns (uint32);
    /// @notice Next epoch to commit.
    function nextEpoch() external view returns (uint32);
    /// @notice The output that the next payout must spend.
    function baton() external view returns (bytes32 txid, uint32 vout);
    function confirmations() external view returns (uint8);

    /// @notice The leaf's hash, for challenges, wallets and tests. `acc` packs n x (series:2 || acc:16).
    function leafHash(address account, bytes32 scriptHash, uint64 paid, uint32 since, uint32 out, bytes calldata acc)
        external
        pure
        returns (bytes32);
    function nodeHash(Root calldata left, Root calldata right) external pure returns (Root memory);
    /// @notice Reverts unless the leaf sits at `index` of the tree under the root of the record, which is committed.
    function checkLeaf(Record calldata record, uint256 index, Root calldata leaf, Root[] calldata siblings)
        external
        view;
}
