// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title ILedgerCourt
/// @notice Holds the operator's bond and decides, from chain data alone, whether a committed payout root kept the rules of
/// docs/LEDGER.md. An upheld challenge writes a correction that counts in the epoch running then, and takes a penalty
/// from the bond. A committed root is never replaced, and a penalty never reduces what is due.
/// @dev An epoch can be challenged until 21 epochs after its end. Balance-seconds older than the tokens' ring of 31
/// closed epochs are known only if pinned: `demand` pins those that its epoch needs.
interface ILedgerCourt {
    /// @notice A leaf as docs/LEDGER.md gives it; `acc` packs n x (series:2 || acc:16).
    struct Leaf {
        address account;
        bytes32 scriptHash;
        uint64 paid;
        uint32 since;
        uint32 out;
        bytes acc;
    }

    /// @notice A leaf under a root: `siblings` packs `hash:32 || accSum:16 || paidSum:8` from the leaf upwards.
    /// @dev Where a function takes a list of openings for one account and epoch, it is the account's own leaf, or the proof
    /// that it has none: the two neighbours that stand side by side, or the first or last leaf of the tree, or nothing
    /// for an empty tree or an epoch before the first.
    struct Opening {
        Leaf leaf;
        uint32 index;
        bytes siblings;
    }

    /// @notice What the ledger keeps only a hash of: `here` and `before` are abi.encode(IEpochLedger.Record) of the epoch and
    /// of the one before it (empty if that is before the first), `batches` the epoch's batches, 64 bytes each.
    struct Books {
        bytes here;
        bytes before;
        bytes batches;
    }

    /// @notice Sums of an epoch's corrections, which the ledger adds to what a commitment may say.
    struct Sums {
        uint128 accUp;
        uint128 accDown;
        uint64 paidUp;
        uint64 paidDown;
    }

    struct Demand {
        address by;
        uint40 since;
        bool answered;
        uint256 deposit;
    }

    /// @notice Penalties of one batch and day, until those it harmed have claimed their parts.
    struct Pool {
        uint96 amount;
        /// sats of harm shown so far; for an unpaid batch its total
        uint96 weight;
        /// the day's penalty is in
        bool taken;
    }

    enum Fault {
        WrongShare,
        WrongDue,
        Omitted,
        BadOutput,
        Disorder,
        Unpaid,
        LateCommit,
        Silence
    }

    /// @notice Fewer than three times the largest pot on a production chain.
    error BondFactorTooSmall(uint256 factor);
    error NotCommitted(uint32 epoch);
    /// @notice The record or the batches are not what was committed.
    error WrongRecord(uint32 epoch);
    /// @notice The epoch ended more than 21 epochs ago.
    error TooOld(uint32 epoch);
    /// @notice The opening is not under the epoch's root.
    error NotInTree(uint32 epoch, uint256 index);
    /// @notice The openings do not show whether the account has a leaf.
    error NoEvidence(address account, uint32 epoch);
    /// @notice What is challenged keeps the rules.
    error NoFault();
    error AlreadyUpheld();
    error WrongDeposit(uint256 needed);
    error DemandStands(address account, uint32 epoch);
    error NoDemand(address account, uint32 epoch);
    /// @notice 12 hours to answer have not passed, or have.
    error AnswerPeriod(uint256 until);
    error NothingToClaim();
    /// @notice Harm of that day can still be shown.
    error DayNotOver(uint256 day);
    error TooEarly(uint256 from);
    error BondTooSmall(uint256 needed, uint256 left);

    event Upheld(Fault indexed fault, uint32 indexed epoch, address indexed account, address challenger);
    /// @notice Counts in the base of `account` in `epoch`: its accumulator of `series` and, for series 0, its `paid`.
    event Corrected(uint32 indexed epoch, address indexed account, uint16 series, int256 change);
    event Penalised(bytes32 indexed pool, uint256 amount, uint256 toChallenger);
    event Claimed(bytes32 indexed pool, address indexed account, uint256 amount);
    event Demanded(address indexed account, uint32 indexed epoch, address by);
    /// @notice The call's data holds the leaves.
    event Answered(address indexed account, uint32 indexed epoch);
    event Bonded(address indexed from, uint256 amount);
    event WithdrawalAnnounced(uint256 amount, uint256 from);
    event Withdrawn(address indexed to, uint256 amount);

    /* CHALLENGES: anyone may call each. `report` is abi.encode(FleetReport) of the epoch, empty for a gap; `here` alone
    is that of `Books`. */

    /// @notice The accumulator of `series` is not its base plus the epoch's credit.
    function wrongShare(
        uint32 epoch,
        Books calldata books,
        uint16 series,
        bytes calldata report,
        Opening calldata leaf,
        Opening[] calldata before
    ) external;
    /// @notice Script, amount paid, `since` or whether there is an output are not what the Due rule gives.
    function wrongDue(uint32 epoch, Books calldata books, Opening calldata leaf, Opening[] calldata before) external;
    /// @notice The output that the leaf names does not pay what the leaf says to the account's script. `outputs` is the
    /// whole batch, serialised; empty if the leaf names no batch of the epoch.
    function badOutput(
        uint32 epoch,
        Books calldata books,
        Opening calldata leaf,
        Opening[] calldata before,
        bytes calldata outputs
    ) external;
    /// @notice The account has no leaf, though it had one before (`series` 0) or earned on `series`.
    function omitted(
        uint32 epoch,
        Books calldata books,
        address account,
        uint16 series,
        bytes calldata report,
        Opening[] calldata around,
        Opening[] calldata before
    ) external;
    /// @notice `left` stands before `right`, but its account or its output does not; or `left` is a
    /// wrapper's, or the last one and something with a sum stands beyond it.
    function disorder(uint32 epoch, bytes calldata here, Opening calldata left, Opening calldata right) external;
    /// @notice The batch is not proven 24 hours after it was committed. Again every day.
    function unpaid(uint32 epoch, Books calldata books, uint16 batch) external;
    /// @notice The epoch was not committed within six epochs of its end. Again every day until it is; `here` is empty
    /// until then.
    function lateCommit(uint32 epoch, bytes calldata here) external;

    /// @notice Asks to see the account's leaves at `epoch` and the one before, and pins what its credit is computed from.
    /// The deposit comes back, less what the answer cost.
    function demand(address account, uint32 epoch, bytes calldata report) external payable;
    /// @notice Shows them, or that there are none. Anyone who has the tree may.
    function answer(
        address account,
        uint32 epoch,
        Books calldata books,
        Opening[] calldata here,
        Opening[] calldata before
    ) external;
    /// @notice 12 hours passed without an answer.
    function silence(address account, uint32 epoch) external;

    /* CORRECTIONS */

    /// @notice What to add to the accumulator of `series` in the account's base for `epoch`; final once the epoch is over.
    function accCorrection(uint32 epoch, address account, uint16 series) external view returns (int256);
    /// @notice What to add to `paid` in the account's base for `epoch`.
    function paidCorrection(uint32 epoch, address account) external view returns (int256);
    function correctionSums(uint32 epoch) external view returns (Sums memory);

    /* BOND */

    /// @notice Whether the bond, less what is announced to be withdrawn, covers what is required.
    function bonded() external view returns (bool);
    function bond() external view returns (uint256);
    /// @notice Quote units: the factor times the largest of the last 21 pots at the last known price.
    function requiredBond() external view returns (uint256);
    /// @notice Adds to the bond by transferFrom. Anyone may.
    function post(uint256 amount) external;
    /// @notice Ether for three times the gas of upheld challenges. Anyone may give; it is never paid back.
    function fundGas() external payable;
    /// @notice Restricted. The amount can be taken 21 epochs later, and until then penalties still reach it.
    function announceWithdrawal(uint256 amount) external;
    /// @notice Restricted. Takes what was announced, as far as the bond stays sufficient.
    function withdraw(address to) external;
    function poolId(Fault fault, uint32 epoch, uint16 batch, uint256 day) external pure returns (bytes32);
    function poolOf(bytes32 id) external view returns (Pool memory);
    /// @notice Quote units that a challenger may claim.
    function rewardOf(address challenger) external view returns (uint256);
    /// @notice Pays them out.
    function claimReward(address challenger) external;
    /// @notice Pays `account` its part of the penalty for an upheld fault, by harm, once that day is over. `which` is the
    /// series that the fault was of (0 if of none); for `Silence` the day, in days since 1970.
    function claim(Fault fault, uint32 epoch, address account, uint256 which) external;
    /// @notice Pays the account of `leaf` its part of an unpaid batch's penalty, by what it is due.
    function claimUnpaid(
        uint32 epoch,
        uint256 day,
        Books calldata books,
        Opening calldata leaf,
        Opening[] calldata before
    ) external;
}
