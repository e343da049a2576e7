// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {LedgerCourt} from "../../../contracts/LedgerCourt.sol";
import {IEpochLedger} from "../../../contracts/interfaces/IEpochLedger.sol";
import {IFleetOracle} from "../../../contracts/interfaces/IFleetOracle.sol";
import {ILedgerCourt} from "../../../contracts/interfaces/ILedgerCourt.sol";
import {IPayoutRegistry} from "../../../contracts/interfaces/IPayoutRegistry.sol";
import {ISeriesRegistry} from "../../../contracts/interfaces/ISeriesRegistry.sol";
import {ITwabToken} from "../../../contracts/interfaces/ITwabToken.sol";
import {Bitcoin} from "./Bitcoin.sol";
import {Fixture} from "./Fixture.sol";
import {Records} from "./Records.sol";

/// @title CourtFixture
/// @notice The deployed system with two series, holders, LPs and a bond; and an honest operator who allocates, written
/// from docs/LEDGER.md apart from the contracts. A test changes what it allocated before it is committed.
abstract contract CourtFixture is Fixture, Records {
    /// @dev one epoch as the operator would commit it
    struct Plan {
        uint32 epoch;
        ILedgerCourt.Leaf[] leaves;
        bytes[] outputs;
        uint64[] totals;
        bool defer;
    }

    uint32 internal constant FIRST = 70_000;
    uint32 internal constant NONE = type(uint32).max;
    LedgerCourt internal court;
    ITwabToken internal second;
    /// @dev everybody who may earn, ascending
    address[] internal accounts;
    uint64 internal minPay = 10_000;
    uint256 internal perBatch = 3;
    bool internal deferNext;
    /// @dev leaves at the end that a commitment does not count
    uint32 internal hidden;
    mapping(uint32 epoch => ILedgerCourt.Leaf[]) private _leaves;
    mapping(uint32 epoch => bytes[]) internal outputsOf;
    mapping(uint32 epoch => bytes) internal reportBytes;

    function setUp() public virtual override {
        super.setUp();
        court = sys.ledgerCourt;
        registerUnits(100e18);
        _secondSeries();
        accounts.push(address(sys.primarySale));
        accounts.push(line.pool.firstLoss());
        for (uint256 i = 0; i < 5; ++i) {
            accounts.push(actor(i));
        }
        _sort();
        for (uint256 i = 0; i < 4; ++i) {
            give(unit, actor(i), (i + 1) * 5e18 + i);
            if (i < 2) give(second, actor(i), 7e18 + i);
            if (i < 3) register(actor(i), uint64(i) * 20_000);
        }
        register(address(sys.primarySale), 0);
        _lend();
    }

    /// @dev Units of pool and queue, and LP shares beside the pool's own books.
    function _lend() internal virtual {
        give(unit, address(line.pool), 8e18);
        give(unit, address(line.queue), 3e18);
        ITwabToken share = ITwabToken(line.pool.lpShare());
        vm.startPrank(address(line.pool));
        share.mint(actor(2), 1e18);
        share.mint(actor(3), 2e18 + 1);
        vm.stopPrank();
    }

    function _secondSeries() private {
        ISeriesRegistry.SeriesParams memory p;
        (p.algorithm, p.hashratePerUnit, p.name, p.symbol) = (2, 1, "Second", "LH-2");
        vm.prank(operator);
        (, address token) = sys.seriesRegistry.createSeries(p);
        second = ITwabToken(token);
        ISeriesRegistry.Batch memory batch = ISeriesRegistry.Batch(2, 1, 50e18, keccak256("machines of 2"), 0, 0);
        sys.seriesRegistry.registerBatch(batch, signed(sys.seriesRegistry.batchDigest(batch), 2));
    }

    function _sort() private {
        for (uint256 i = 1; i < accounts.length; ++i) {
            for (uint256 j = i; j > 0 && accounts[j] < accounts[j - 1]; --j) {
                (accounts[j], accounts[j - 1]) = (accounts[j - 1], accounts[j]);
            }
        }
    }

    function give(ITwabToken token, address to, uint256 amount) internal {
        vm.prank(address(sys.primarySale));
        token.transfer(to, amount);
    }

    function scriptOf(address account) internal pure returns (bytes memory) {
        return abi.encodePacked(hex"0014", bytes20(keccak256(abi.encode(account))));
    }

    function register(address account, uint64 minimum) internal {
        vm.prank(account);
        sys.payoutRegistry.setScript(scriptOf(account), minimum);
    }

    function bondUp(uint256 amount) internal {
        fund(operator, amount, address(court));
        vm.prank(operator);
        court.post(amount);
    }

    /* REPORT */

    /// @dev Ends the next epoch and reports it: two series, and a piece of the epoch before where there is one.
    function report(uint64 sats) internal returns (uint32 epoch) {
        IFleetOracle.FleetReport memory r = reportOf(sats);
        epoch = r.epoch;
        IFleetOracle.SeriesReport[] memory list = new IFleetOracle.SeriesReport[](2);
        list[0] = r.series[0];
        list[1].series = 2;
        list[1].pots = new IFleetOracle.Piece[](1);
        list[1].pots[0] = IFleetOracle.Piece(epoch, sats / 3);
        uint64 rest = sats - sats / 3;
        if (epoch > FIRST) {
            list[0].pots = new IFleetOracle.Piece[](2);
            list[0].pots[0] = IFleetOracle.Piece(epoch - 1, rest / 4);
            list[0].pots[1] = IFleetOracle.Piece(epoch, rest - rest / 4);
        } else {
            list[0].pots[0].sats = rest;
        }
        r.series = list;
        uint256 end = (uint256(epoch) + 1) * EPOCH;
        if (block.timestamp < end) vm.warp(end + 60);
        post(r);
        reportBytes[epoch] = abi.encode(r);
    }

    /* HONEST ALLOCATION */

    /// @dev What the operator should commit for the epoch just reported.
    function plan(uint32 epoch) internal view returns (Plan memory p) {
        p.epoch = epoch;
        p.defer = deferNext;
        p.leaves = new ILedgerCourt.Leaf[](accounts.length);
        uint256 count = 0;
        Bitcoin.Output[] memory due = new Bitcoin.Output[](accounts.length);
        uint256 paid = 0;
        for (uint256 i = 0; i < accounts.length; ++i) {
            (ILedgerCourt.Leaf memory leaf, uint64 sats, bool exists) = _leafFor(epoch, accounts[i]);
            if (!exists) continue;
            if (sats != 0) {
                leaf.out = uint32((paid / perBatch) << 16 | paid % perBatch);
                due[paid++] = Bitcoin.Output(sats, scriptOf(leaf.account));
            }
            p.leaves[count++] = leaf;
        }
        ILedgerCourt.Leaf[] memory leaves = p.leaves;
        assembly ("memory-safe") {
            mstore(leaves, count)
        }
        _cut(p, due, paid);
    }

    function _cut(Plan memory p, Bitcoin.Output[] memory due, uint256 paid) private view {
        uint256 batches = (paid + perBatch - 1) / perBatch;
        p.outputs = new bytes[](batches);
        p.totals = new uint64[](batches);
        for (uint256 i = 0; i < paid; ++i) {
            Bitcoin.Output[] memory one = new Bitcoin.Output[](1);
            one[0] = due[i];
            p.outputs[i / perBatch] = abi.encodePacked(p.outputs[i / perBatch], Bitcoin.serialise(one, 0));
            p.totals[i / perBatch] += due[i].sats;
        }
    }

    function _leafFor(uint32 epoch, address account)
        private
        view
        returns (ILedgerCourt.Leaf memory leaf, uint64 due, bool exists)
    {
        ILedgerCourt.Leaf memory last;
        (last, exists) = lastLeaf(epoch - 1, account);
        uint256 sum = 0;
        for (uint16 s = 1; s <= 2; ++s) {
            int256 base = int256(accOf(last, s)) + court.accCorrection(epoch, account, s);
            uint256 acc = (base < 0 ? 0 : uint256(base)) + creditFor(epoch, s, account);
            if (acc != 0) leaf.acc = abi.encodePacked(leaf.acc, s, uint128(acc));
            sum += acc;
        }
        if (sum != 0) exists = true;
        leaf.account = account;
        leaf.out = NONE;
        int256 paid = int256(uint256(last.paid)) + court.paidCorrection(epoch, account);
        leaf.paid = paid < 0 ? 0 : uint64(uint256(paid));
        IPayoutRegistry.Entry memory entry = sys.payoutRegistry.entryAt(account, epoch);
        leaf.scriptHash = entry.scriptHash;
        uint256 owed = sum >> 64 > leaf.paid ? (sum >> 64) - leaf.paid : 0;
        if (owed == 0) return (leaf, 0, exists);
        leaf.since = last.since == 0 ? epoch : last.since;
        if (deferNext || entry.scriptHash == 0 || owed < entry.dust) return (leaf, 0, exists);
        bool enough = owed >= minPay && owed >= entry.minimum;
        if (!enough && !(epoch - leaf.since >= 90 && owed >= 2000)) return (leaf, 0, exists);
        due = uint64(owed);
        leaf.paid += due;
        leaf.since = 0;
    }

    function creditFor(uint32 epoch, uint16 series, address account) internal view returns (uint256 sum) {
        if (reportBytes[epoch].length == 0) return 0;
        IFleetOracle.FleetReport memory r = abi.decode(reportBytes[epoch], (IFleetOracle.FleetReport));
        IFleetOracle.Piece[] memory pieces = r.series[series - 1].pots;
        for (uint256 i = 0; i < pieces.length; ++i) {
            (uint32 w, uint256 pot) = (pieces[i].workEpoch, uint256(pieces[i].sats) * 2 ** 64);
            if (series == 2) {
                sum += pot * second.balanceSeconds(account, w) / second.totalBalanceSeconds(w);
                continue;
            }
            uint256 total = unit.totalBalanceSeconds(w);
            sum += pot * unit.balanceSeconds(account, w) / total;
            uint256 pool = pot * unit.balanceSeconds(address(line.pool), w) / total;
            sum += _through(pool, ITwabToken(line.pool.lpShare()), account, w);
            uint256 queued = pot * unit.balanceSeconds(address(line.queue), w) / total;
            sum += _through(queued, ITwabToken(line.queue.claimToken()), account, w);
        }
    }

    /// @dev What a wrapper earned is its holders', and the first-loss account's while it has none.
    function _through(uint256 amount, ITwabToken held, address account, uint32 w) private view returns (uint256) {
        uint256 all = held.totalBalanceSeconds(w);
        if (all == 0) return account == line.pool.firstLoss() ? amount : 0;
        return amount * held.balanceSeconds(account, w) / all;
    }

    function lastLeaf(uint32 epoch, address account) internal view returns (ILedgerCourt.Leaf memory leaf, bool found) {
        for (uint256 i = 0; i < _leaves[epoch].length; ++i) {
            if (_leaves[epoch][i].account == account) return (_leaves[epoch][i], true);
        }
    }

    function accOf(ILedgerCourt.Leaf memory leaf, uint16 series) internal pure returns (uint256 acc) {
        for (uint256 i = 0; i < leaf.acc.length; i += 18) {
            (uint16 s, uint128 value) = (0, 0);
            for (uint256 j = 0; j < 18; ++j) {
                if (j < 2) s = s << 8 | uint8(leaf.acc[i + j]);
                else value = value << 8 | uint8(leaf.acc[i + j]);
            }
            if (s == series) acc = value;
        }
    }

    function at(Plan memory p, address account) internal pure returns (ILedgerCourt.Leaf memory) {
        for (uint256 i = 0; i < p.leaves.length; ++i) {
            if (p.leaves[i].account == account) return p.leaves[i];
        }
        revert("no leaf");
    }

    /// @dev Series 1's accumulator of the leaf, changed.
    function shift(ILedgerCourt.Leaf memory leaf, int256 change) internal pure {
        uint256 secondAcc = accOf(leaf, 2);
        leaf.acc = abi.encodePacked(uint16(1), uint128(uint256(int256(accOf(leaf, 1)) + change)));
        if (secondAcc != 0) leaf.acc = abi.encodePacked(leaf.acc, uint16(2), uint128(secondAcc));
    }

    /* COMMIT */

    /// @dev Commits the plan as it is; totals follow from what the leaves say was paid.
    function commit(Plan memory p) internal {
        IEpochLedger.Commitment memory c;
        (c.epoch, c.minPay, c.defer) = (p.epoch, minPay, p.defer);
        c.accounts = uint32(p.leaves.length) - hidden;
        IEpochLedger.Root[][] memory levels = levelsOf(p.leaves);
        c.root = levels[levels.length - 1][0];
        c.batches = new IEpochLedger.Batch[](p.outputs.length);
        for (uint256 i = 0; i < p.outputs.length; ++i) {
            c.batches[i] = IEpochLedger.Batch(keccak256(p.outputs[i]), p.totals[i]);
        }
        vm.prank(operator);
        sys.epochLedger.commit(c);
        note(c);
        for (uint256 i = 0; i < p.leaves.length; ++i) {
            _leaves[p.epoch].push(p.leaves[i]);
        }
        for (uint256 i = 0; i < p.outputs.length; ++i) {
            outputsOf[p.epoch].push(p.outputs[i]);
        }
    }

    function reportAndCommit(uint64 sats) internal returns (uint32 epoch) {
        epoch = report(sats);
        commit(plan(epoch));
    }

    /* TREE, level by level */

    function levelsOf(ILedgerCourt.Leaf[] memory leaves) internal view returns (IEpochLedger.Root[][] memory levels) {
        uint256 depth = 0;
        while (2 ** depth < leaves.length) {
            ++depth;
        }
        levels = new IEpochLedger.Root[][](depth + 1);
        levels[0] = new IEpochLedger.Root[](2 ** depth);
        for (uint256 i = 0; i < leaves.length; ++i) {
            ILedgerCourt.Leaf memory l = leaves[i];
            bytes32 hash = sys.epochLedger.leafHash(l.account, l.scriptHash, l.paid, l.since, l.out, l.acc);
            uint256 sum = 0;
            for (uint16 s = 1; s <= 16; ++s) {
                sum += accOf(l, s);
            }
            levels[0][i] = IEpochLedger.Root(hash, uint128(sum), l.paid);
        }
        for (uint256 k = 1; k <= depth; ++k) {
            levels[k] = new IEpochLedger.Root[](levels[k - 1].length / 2);
            for (uint256 i = 0; i < levels[k].length; ++i) {
                levels[k][i] = sys.epochLedger.nodeHash(levels[k - 1][2 * i], levels[k - 1][2 * i + 1]);
            }
        }
    }

    function opening(uint32 epoch, uint256 index) internal view returns (ILedgerCourt.Opening memory o) {
        IEpochLedger.Root[][] memory levels = levelsOf(_leaves[epoch]);
        (o.leaf, o.index) = (_leaves[epoch][index], uint32(index));
        for (uint256 k = 0; k + 1 < levels.length; ++k) {
            IEpochLedger.Root memory sibling = levels[k][index ^ 1];
            o.siblings = abi.encodePacked(o.siblings, sibling.hash, sibling.accSum, sibling.paidSum);
            index >>= 1;
        }
    }

    function leafCount(uint32 epoch) internal view returns (uint256) {
        return _leaves[epoch].length;
    }

    function indexOf(uint32 epoch, address account) internal view returns (uint256 i) {
        while (_leaves[epoch][i].account != account) {
            ++i;
        }
    }

    function leafOf(uint32 epoch, address account) internal view returns (ILedgerCourt.Opening memory) {
        return opening(epoch, indexOf(epoch, account));
    }

    /// @dev The account's leaf, or the proof that it has none.
    function evidence(uint32 epoch, address account) internal view returns (ILedgerCourt.Opening[] memory list) {
        uint256 count = epoch < FIRST ? 0 : leafCount(epoch);
        if (count == 0) return list;
        uint256 i = 0;
        while (i < count && _leaves[epoch][i].account < account) {
            ++i;
        }
        bool own = i < count && _leaves[epoch][i].account == account;
        list = new ILedgerCourt.Opening[](own || i == 0 || i == count ? 1 : 2);
        if (own || i == 0) list[0] = opening(epoch, i);
        else list[0] = opening(epoch, i - 1);
        if (list.length == 2) list[1] = opening(epoch, i);
    }
}
