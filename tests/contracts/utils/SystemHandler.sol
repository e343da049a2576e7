// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IEpochLedger} from "../../../contracts/interfaces/IEpochLedger.sol";
import {IExitQueue} from "../../../contracts/interfaces/IExitQueue.sol";
import {IFleetOracle} from "../../../contracts/interfaces/IFleetOracle.sol";
import {ILedgerCourt} from "../../../contracts/interfaces/ILedgerCourt.sol";
import {IPositionMarket} from "../../../contracts/interfaces/IPositionMarket.sol";
import {ISeriesUpgrader} from "../../../contracts/interfaces/ISeriesUpgrader.sol";
import {LpShare} from "../../../contracts/tokens/LpShare.sol";
import {CourtFixture} from "./CourtFixture.sol";

/// @title SystemHandler
/// @notice The whole deployment in use: five holders who transfer, trade, lend, queue and leave, an oracle that reports,
/// values, misses or is silent past the tokens' ring, an operator who commits each epoch, now and then falsely, and
/// generations of machines that follow each other.
contract SystemHandler is CourtFixture {
    uint256 public constant ACTORS = 5;
    address internal constant VENDOR = address(0x7E4D04);
    address internal constant WATCHER = address(0x3A7C4);
    string[18] public names = [
        "transfer",
        "fill",
        "buyUnits",
        "sell",
        "buy",
        "deposit",
        "withdraw",
        "takeSettled",
        "enqueue",
        "takeBack",
        "settle",
        "claim",
        "report",
        "valuation",
        "gap",
        "silence",
        "lie",
        "upgrade"
    ];
    /// @notice How often each of them did something.
    mapping(string name => uint256) public done;
    uint256 public lies;
    uint256 public upheld;
    uint256 public truthsCondemned;
    /// @notice Largest move of a published value in one epoch, in parts per million.
    uint256 public largestMove;
    /// @notice Fills whose parties did not pay and receive exactly what the order says.
    uint256 public badFills;
    /// @notice Trades with the pool that moved the bid base.
    uint256 public pricesWritten;
    bytes32 internal liveRoot;
    ISeriesUpgrader.Upgrade private _open;
    uint64 private _salt;

    struct Pinned {
        address account;
        uint32 epoch;
        uint256 weight;
    }

    Pinned[] internal pins;

    constructor() {
        setUp();
        liveRoot = sys.seriesRegistry.series(1).lastMachineRoot;
        bondUp(1e12);
        fund(operator, 1e15, address(sys.seriesUpgrader));
        uint32 first = report(3_000_000);
        sys.fairValue.update(reportBytes[first]);
        commit(plan(first));
        address[5] memory spenders = [
            address(line.pool),
            address(line.queue),
            address(sys.positionMarket),
            address(sys.primarySale),
            address(sys.repositioner)
        ];
        for (uint256 i = 0; i < ACTORS; ++i) {
            quote.mint(actor(i), 1e13);
            for (uint256 j = 0; j < spenders.length; ++j) {
                vm.startPrank(actor(i));
                quote.approve(spenders[j], type(uint256).max);
                unit.approve(spenders[j], type(uint256).max);
                vm.stopPrank();
            }
        }
    }

    /// @dev Lending goes by the pool's own door.
    function _lend() internal override {}

    /// @dev Calls as `who`; a refusal is no matter here, what an accepted call leaves behind is.
    function _as(address who, address to, bytes memory data, uint256 name) private returns (bool ok) {
        vm.prank(who);
        (ok,) = to.call(data);
        if (ok) ++done[names[name]];
    }

    function _who(uint256 seed) private pure returns (address) {
        return actor(seed % ACTORS);
    }

    /* HOLDERS */

    function transfer(uint256 from, uint256 to, uint256 amount) external {
        amount = bound(amount, 0, unit.balanceOf(_who(from)));
        _as(_who(from), line.unit, abi.encodeCall(unit.transfer, (_who(to), amount)), 0);
    }

    function fill(uint256 maker, uint256 taker, uint8 side, uint96 base, uint128 price, uint256 part) external {
        (address m, address t) = (_who(maker), _who(maker % ACTORS + 1 + taker % (ACTORS - 1)));
        base = uint96(bound(base, 1e12, 3e18));
        IPositionMarket.Order memory order = IPositionMarket.Order(
            m,
            address(0),
            line.unit,
            sys.quote,
            side % 2,
            base,
            uint128(bound(price, 1, 100e6)),
            type(uint40).max,
            0,
            ++_salt
        );
        vm.prank(m);
        sys.positionMarket.post(order);
        part = bound(part, 1, base);
        (uint256 units, uint256 cash) = (unit.balanceOf(m), quote.balanceOf(m));
        if (!_as(t, address(sys.positionMarket), abi.encodeCall(IPositionMarket.fill, (order, "", part)), 1)) return;
        (uint256 less, uint256 more) = side % 2 == 0 ? (cash, quote.balanceOf(m)) : (quote.balanceOf(m), cash);
        // rounded for the maker, whichever side he is on
        uint256 exact = uint256(order.quoteAmount) * part;
        bool fair = side % 2 == 0 ? (more - less) * base >= exact : (more - less) * base <= exact;
        bool moved = side % 2 == 0 ? units - unit.balanceOf(m) == part : unit.balanceOf(m) - units == part;
        if (!fair || !moved) ++badFills;
    }

    function buyUnits(uint256 who, uint256 units) external {
        bytes memory data =
            abi.encodeCall(sys.primarySale.buy, (1, bound(units, 1, 5e18), type(uint256).max, _who(who)));
        _as(_who(who), address(sys.primarySale), data, 2);
    }

    /* POOL AND QUEUE */

    function sell(uint256 who, uint256 units) external {
        uint256 bid = sys.fairValue.bidBase(1);
        units = bound(units, 1, 5e18);
        _as(_who(who), address(line.pool), abi.encodeCall(line.pool.sell, (units, 0, _who(who))), 3);
        if (sys.fairValue.bidBase(1) != bid) ++pricesWritten;
    }

    function buy(uint256 who, uint256 units) external {
        uint256 ask = sys.fairValue.askBase(1);
        units = bound(units, 1, uint256(line.pool.state().inventory) + 1);
        _as(_who(who), address(line.pool), abi.encodeCall(line.pool.buy, (units, type(uint256).max, _who(who))), 4);
        if (sys.fairValue.askBase(1) != ask) ++pricesWritten;
    }

    function deposit(uint256 who, uint256 amount) external {
        _as(_who(who), address(line.pool), abi.encodeCall(line.pool.deposit, (bound(amount, 1, 100_000e6))), 5);
    }

    function withdraw(uint256 who, uint256 shares) external {
        line.pool.roll();
        LpShare share = LpShare(line.pool.lpShare());
        uint256 free = share.balanceOf(_who(who)) - share.locked(_who(who));
        if (free == 0) return;
        vm.prank(_who(who));
        line.pool.requestWithdraw(bound(shares, 1, free)); // never refused
        ++done[names[6]];
    }

    function takeSettled(uint256 who) external {
        vm.prank(_who(who));
        (uint256 cash, uint256 units) = line.pool.withdrawSettled(_who(who)); // never refused
        if (cash + units != 0) ++done[names[7]];
    }

    function enqueue(uint256 who, uint256 units) external {
        uint256 held = unit.balanceOf(_who(who));
        if (held == 0) return;
        vm.prank(_who(who));
        line.queue.enqueue(bound(units, 1, held)); // never refused
        ++done[names[8]];
    }

    function takeBack(uint256 id) external {
        if (line.queue.ticketCount() == 0) return;
        id %= line.queue.ticketCount();
        IExitQueue.Ticket memory t = line.queue.ticket(id);
        if (t.units == t.settledUnits) return;
        vm.prank(t.owner);
        line.queue.takeBack(id); // never refused
        ++done[names[9]];
    }

    function settle(uint256 tickets) external {
        _as(address(this), address(line.queue), abi.encodeCall(line.queue.settle, (bound(tickets, 1, 5))), 10);
    }

    function claim(uint256 who) external {
        if (line.queue.claimable(_who(who)) == 0) return;
        vm.prank(_who(who));
        line.queue.claim(_who(who)); // never refused
        ++done[names[11]];
    }

    /* ORACLE AND LEDGER */

    function reportNext(uint256 sats, uint256 seed) external {
        uint32 epoch = _report(sats);
        commit(_planNow(epoch));
        _challengeTruth(epoch, accounts[seed % accounts.length]);
        _challengeTruth(epoch, accounts[(seed >> 128) % accounts.length]);
        _pin(_who(seed), epoch);
        ++done[names[12]];
    }

    function _report(uint256 sats) private returns (uint32 epoch) {
        _gapsUntil(epochNow() - 1);
        uint256 before = sys.fairValue.valuation(1).published;
        uint256 valued = sys.fairValue.valuation(1).epoch;
        epoch = report(uint64(bound(sats, 0, 5_000_000)));
        sys.fairValue.update(reportBytes[epoch]);
        _watchMove(before, valued);
    }

    function _watchMove(uint256 before, uint256 valued) private {
        uint256 published = sys.fairValue.valuation(1).published;
        if (valued == 0 || sys.fairValue.valuation(1).epoch == valued) return;
        uint256 move = published > before ? published - before : before - published;
        if (move != 0 && move * 1e6 / before > largestMove) largestMove = move * 1e6 / before;
    }

    function valuation(uint256 price, uint256 hardware) external {
        IFleetOracle oracle = sys.fleetOracle;
        if (oracle.lastEpoch() < FIRST || oracle.lastEpoch() + 2 < epochNow()) return;
        IFleetOracle.FleetValuation memory v;
        v.epoch = oracle.lastEpoch() + 1;
        if (oracle.lastValuationHash() != 0 && v.epoch <= _valued) return;
        if (block.timestamp < (uint256(v.epoch) + 1) * EPOCH) vm.warp((uint256(v.epoch) + 1) * EPOCH);
        (v.afterReport, v.prevValuation) = (oracle.lastReportHash(), oracle.lastValuationHash());
        (v.configDigest, v.observedAt) = (oracle.configDigest(), uint40(block.timestamp));
        v.quotePerBtc = uint64(bound(price, 50_000e6, 70_000e6));
        v.hardware = new IFleetOracle.HardwarePrice[](1);
        v.hardware[0] = IFleetOracle.HardwarePrice(1, uint128(bound(hardware, 1e21, 4e22)));
        bytes memory signatures = packed(oracle.valuationDigest(v), oracle.valuationSignaturesNeeded(v));
        uint256 before = sys.fairValue.valuation(1).published;
        uint256 valued = sys.fairValue.valuation(1).epoch;
        oracle.postValuation(v, signatures);
        sys.fairValue.updateByValuation(abi.encode(v));
        _watchMove(before, valued);
        _valued = v.epoch;
        ++done[names[13]];
    }

    uint32 private _valued;

    /// @dev An epoch that nobody reports, by quorum.
    function gap() external {
        uint32 epoch = sys.fleetOracle.lastEpoch() + 1;
        if (block.timestamp < (uint256(epoch) + 1) * EPOCH) vm.warp((uint256(epoch) + 1) * EPOCH);
        _gapsUntil(epoch + 1);
        ++done[names[14]];
    }

    /// @dev Declares and commits every epoch before `end`.
    function _gapsUntil(uint32 end) private {
        for (uint32 e = sys.fleetOracle.lastEpoch() + 1; e < end; ++e) {
            sys.fleetOracle.declareGapByQuorum(e, packed(sys.fleetOracle.gapDigest(e), 2));
            commit(_planNow(e));
        }
    }

    /// @dev What comes later than six epochs after its end pays nobody.
    function _planNow(uint32 epoch) private returns (Plan memory) {
        deferNext = block.timestamp >= (uint256(epoch) + 7) * EPOCH;
        return plan(epoch);
    }

    /// @dev Past the ring of 32 epochs; the pool is wound down meanwhile if it goes on.
    function silence(uint256 wait) external {
        skip(bound(wait, 3 * EPOCH, 40 * EPOCH));
        ++done[names[15]];
    }

    function pause(uint256 wait) external {
        skip(bound(wait, 1, EPOCH));
    }

    /// @dev Too little for one account: either the ledger refuses it, or the court upholds it.
    function lie(uint256 sats, uint256 seed) external {
        uint32 epoch = _report(bound(sats, 1_000_000, 5_000_000));
        Plan memory p = _planNow(epoch);
        uint256 i = seed % p.leaves.length;
        uint256 acc = accOf(p.leaves[i], 1);
        if (acc == 0) {
            commit(p);
            return;
        }
        shift(p.leaves[i], -int256(bound(seed >> 8, 1, acc < 1000 ? acc : 1000)));
        ILedgerCourt.Opening[] memory before = evidence(epoch - 1, p.leaves[i].account);
        commit(p);
        ++lies;
        ILedgerCourt.Opening memory leaf = opening(epoch, i);
        vm.prank(WATCHER);
        try court.wrongShare(epoch, books(epoch), 1, reportBytes[epoch], leaf, before) {
            ++upheld;
            ++done[names[16]];
        } catch {}
    }

    function _challengeTruth(uint32 epoch, address account) private {
        ILedgerCourt.Opening[] memory here = evidence(epoch, account);
        ILedgerCourt.Opening[] memory before = evidence(epoch - 1, account);
        bytes memory r = reportBytes[epoch];
        bool own = here.length == 1 && here[0].leaf.account == account;
        for (uint16 s = 1; s <= 2; ++s) {
            bytes memory data = own
                ? abi.encodeCall(ILedgerCourt.wrongShare, (epoch, books(epoch), s, r, here[0], before))
                : abi.encodeCall(ILedgerCourt.omitted, (epoch, books(epoch), account, s, r, here, before));
            _noFault(data);
        }
        if (own) _noFault(abi.encodeCall(ILedgerCourt.wrongDue, (epoch, books(epoch), here[0], before)));
    }

    function _noFault(bytes memory data) private {
        (bool ok, bytes memory why) = address(court).call(data);
        if (ok || bytes4(why) != ILedgerCourt.NoFault.selector) ++truthsCondemned;
    }

    function _pin(address account, uint32 epoch) private {
        pins.push(Pinned(account, epoch, unit.balanceSeconds(account, epoch)));
        unit.pin(account, epoch);
    }

    /* MACHINES */

    function propose(uint256 hashrate, uint256 scrap) external {
        if (sys.seriesUpgrader.proposal(1).structHash != 0) return;
        ISeriesUpgrader.Upgrade memory u;
        (u.series, u.nonce) = (1, sys.seriesUpgrader.proposalCount(1));
        (u.retiredRoot, u.generation) = (liveRoot, sys.seriesRegistry.series(1).generation + 1);
        (u.machineRoot, u.machines) = (keccak256(abi.encode("upgrade", u.nonce)), 2);
        u.hashrate = uint128(bound(hashrate, 100, 300));
        (u.millijoulePerTerahash, u.serviceDate) = (9500, uint40(block.timestamp));
        (u.opexPerUnit, u.initialValue) = (uint64(12_000) << 32, uint128(50_000) << 32);
        (u.scrapPpm, u.decayPpm, u.discountPpm, u.lifeEpochs) = (100_000, 10_000, 20_000, 3000);
        (u.modelHash, u.vendor) = (keccak256("next"), VENDOR);
        u.scrap = uint128(bound(scrap, 100, 1000e6));
        u.price = uint128(sys.seriesUpgrader.hardwareCash(1) + u.scrap);
        vm.prank(operator);
        sys.seriesUpgrader.propose(u, "next");
        _open = u;
    }

    function upgrade() external {
        ISeriesUpgrader.Proposal memory p = sys.seriesUpgrader.proposal(1);
        if (p.structHash == 0) return;
        if (block.timestamp < p.readyAt) vm.warp(p.readyAt);
        if (block.timestamp > p.expiresAt) {
            vm.prank(operator);
            sys.seriesUpgrader.cancel(1);
            return;
        }
        sys.seriesUpgrader.execute(_open, signed(sys.seriesUpgrader.upgradeDigest(_open), 2));
        liveRoot = _open.machineRoot;
        ++done[names[17]];
    }
}
