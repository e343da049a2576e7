// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBuybackPool} from "../../contracts/interfaces/IBuybackPool.sol";
import {IExitQueue} from "../../contracts/interfaces/IExitQueue.sol";
import {ISeriesRegistry} from "../../contracts/interfaces/ISeriesRegistry.sol";
import {ISeriesUpgrader} from "../../contracts/interfaces/ISeriesUpgrader.sol";
import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {LpShare} from "../../contracts/tokens/LpShare.sol";
import {SystemHandler} from "./utils/SystemHandler.sol";
import {Test} from "./utils/Test.sol";

/// @notice What must hold of the whole deployment, looked at from within the handler.
contract SystemChecks is SystemHandler {
    function _holders() private view returns (address[13] memory) {
        return [
            actor(0),
            actor(1),
            actor(2),
            actor(3),
            actor(4),
            address(sys.primarySale),
            address(line.pool),
            address(line.queue),
            operator,
            address(sys.fleetOracle),
            address(sys.seriesUpgrader),
            address(court),
            VENDOR
        ];
    }

    function unitsAddUp() external view {
        uint256 sum = 0;
        for (uint256 i = 0; i < 13; ++i) {
            sum += unit.balanceOf(_holders()[i]);
        }
        assertEq(sum, unit.totalSupply(), "units");
        assertEq(sum, sys.seriesRegistry.series(1).backedUnits, "backed");
    }

    /// @dev In each of the last three closed epochs: no unit earned twice, and none went without.
    function weightsAddUp() external view {
        for (uint32 e = epochNow() - 3; e < epochNow(); ++e) {
            if (e <= FIRST) continue;
            uint256 sum = 0;
            for (uint256 i = 0; i < 13; ++i) {
                sum += unit.balanceSeconds(_holders()[i], e);
            }
            assertEq(sum, unit.totalSupply() * EPOCH, "weights");
            assertEq(unit.totalBalanceSeconds(e), sum, "total");
        }
    }

    function pinsStay() external view {
        for (uint256 i = 0; i < pins.length; ++i) {
            assertEq(unit.balanceSeconds(pins[i].account, pins[i].epoch), pins[i].weight, "pinned");
        }
    }

    function claimsAreQueuedUnits() external view {
        uint256 waiting = 0;
        uint256 credit = 0;
        for (uint256 i = 0; i < line.queue.ticketCount(); ++i) {
            IExitQueue.Ticket memory t = line.queue.ticket(i);
            waiting += t.units - t.settledUnits;
        }
        for (uint256 i = 0; i < ACTORS; ++i) {
            credit += line.queue.claimable(actor(i));
        }
        assertEq(ITwabToken(line.queue.claimToken()).totalSupply(), waiting, "claims");
        assertEq(line.queue.queuedUnits(), waiting, "the pool knows");
        assertEq(unit.balanceOf(address(line.queue)), waiting, "units");
        assertEq(line.pool.owedToClaims(), credit, "credit");
    }

    /// @dev To the unit: nobody gives the pool anything here.
    function poolHoldsWhatItOwes() external view {
        IBuybackPool.State memory s = line.pool.state();
        (,,, uint256 aside) = line.pool.round();
        uint256 cash = uint256(s.cash) + s.pendingDeposits + aside + line.pool.owedToClaims();
        uint256 units = s.inventory;
        for (uint256 i = 0; i < ACTORS; ++i) {
            (uint256 q, uint256 u) = line.pool.settledOf(actor(i));
            (cash, units) = (cash + q, units + u);
        }
        assertGe(quote.balanceOf(address(line.pool)), cash, "cash");
        assertGe(unit.balanceOf(address(line.pool)), units, "units");
        assertLe(quote.balanceOf(address(line.pool)) - cash, _dust(), "no more cash than that");
    }

    /// @dev What handing a boundary out account by account may have rounded away, or not handed out yet.
    function _dust() private view returns (uint256) {
        return line.pool.backlog() == 0 ? 1000 : type(uint256).max;
    }

    function moneyIsSomewhereKnown() external view {
        uint256 sum = quote.balanceOf(address(this)) + quote.balanceOf(WATCHER);
        for (uint256 i = 0; i < 13; ++i) {
            sum += quote.balanceOf(_holders()[i]);
        }
        assertEq(sum, quote.totalSupply(), "quote");
        assertEq(quote.balanceOf(address(sys.positionMarket)), 0, "the market keeps none");
        assertEq(unit.balanceOf(address(sys.positionMarket)), 0, "nor units");
    }

    /// @dev Penalties stay in the court, as rewards and as parts of those harmed.
    function bondIsThere() external view {
        assertEq(quote.balanceOf(address(court)), 1e12, "posted and not paid out");
        assertLe(court.bond() + court.rewardOf(WATCHER), 1e12, "bond and reward");
        if (upheld != 0) assertTrue(court.rewardOf(WATCHER) != 0, "who showed it is rewarded");
    }

    function neverPaysMoreThanWasEarned() external view {
        uint32 last = sys.epochLedger.nextEpoch() - 1;
        if (last < FIRST) return;
        uint256 pots = 0;
        for (uint32 e = FIRST; e <= last; ++e) {
            pots += sys.fleetOracle.potOf(e);
        }
        (uint128 accSum, uint64 paidSum,) = sys.epochLedger.newest();
        // an account's corrections are less than a sat for each lie
        assertLe(accSum, (pots << 64) + lies * 1000, "credit");
        assertLe(paidSum, (uint256(accSum) >> 64) + lies, "paid");
        // of every pot all but a sat for each account and piece is credited
        assertGe(uint256(accSum) + ((uint256(last) - FIRST + 1) << 64) * 100, pots << 64, "nothing is kept back");
    }

    function valueStaysInItsClamp() external view {
        assertLe(largestMove, 20_000, "2 % an epoch");
        assertLe(sys.fairValue.bidBase(1), sys.fairValue.askBase(1), "bid and ask");
    }

    function machinesBackTheUnits() external view {
        ISeriesRegistry.Series memory s = sys.seriesRegistry.series(1);
        uint256 hashrate = sys.seriesRegistry.hashrateOf(1);
        assertLe(uint256(s.hashratePerUnit) * s.backedUnits, hashrate, "promised");
        assertEq(sys.seriesRegistry.rootOf(liveRoot).hashrate, hashrate, "by the live root");
        ISeriesUpgrader.Proposal memory p = sys.seriesUpgrader.proposal(1);
        uint256 here =
            sys.seriesUpgrader.hardwareCash(1) + p.arrived + p.carried + sys.seriesUpgrader.refundOf(operator);
        assertEq(quote.balanceOf(address(sys.seriesUpgrader)), here, "scrap");
    }

    /// @dev As anybody who wants out finds it now.
    function everyExitIsOpen() external {
        LpShare share = LpShare(line.pool.lpShare());
        for (uint256 i = 0; i < ACTORS; ++i) {
            vm.startPrank(actor(i));
            if (unit.balanceOf(actor(i)) != 0) {
                unit.transfer(WATCHER, 1);
                vm.stopPrank();
                vm.prank(WATCHER);
                unit.transfer(actor(i), 1);
                vm.startPrank(actor(i));
                uint256 id = line.queue.enqueue(1);
                line.queue.takeBack(id);
            }
            if (line.queue.claimable(actor(i)) != 0) line.queue.claim(actor(i));
            line.pool.withdrawSettled(actor(i));
            uint256 free = share.balanceOf(actor(i)) - share.locked(actor(i));
            if (free != 0) line.pool.requestWithdraw(free);
            sys.positionMarket.cancelAll();
            vm.stopPrank();
        }
    }
}

/// @notice Thirteen invariants of the whole, after every step of random use.
/// forge-config: default.invariant.runs = 6
contract SystemInvariants is Test {
    SystemChecks private _s;

    function setUp() public {
        _s = new SystemChecks();
        bytes4[] memory list = new bytes4[](20);
        (list[0], list[1]) = (_s.transfer.selector, _s.fill.selector);
        (list[2], list[3]) = (_s.buyUnits.selector, _s.sell.selector);
        (list[4], list[5]) = (_s.buy.selector, _s.deposit.selector);
        (list[6], list[7]) = (_s.withdraw.selector, _s.takeSettled.selector);
        (list[8], list[9]) = (_s.enqueue.selector, _s.takeBack.selector);
        (list[10], list[11]) = (_s.settle.selector, _s.claim.selector);
        (list[12], list[13]) = (_s.reportNext.selector, _s.valuation.selector);
        (list[14], list[15]) = (_s.gap.selector, _s.silence.selector);
        (list[16], list[17]) = (_s.pause.selector, _s.lie.selector);
        (list[18], list[19]) = (_s.propose.selector, _s.upgrade.selector);
        target(address(_s), list);
    }

    /// Each step does something in a story of all of them; else the invariants would hold of nothing.
    function test_theHandlerReachesEverything() public {
        _s.reportNext(3_000_000, 1);
        _s.deposit(0, 90_000e6);
        _s.fill(1, 0, 0, 1e18, 20e6, 5e17);
        _s.transfer(2, 3, 1e18);
        _s.reportNext(3_000_000, 2);
        _s.buyUnits(3, 2e18);
        _s.sell(3, 1e18);
        _s.buy(1, 5e17);
        _s.enqueue(2, 2e18);
        _s.enqueue(1, 1e18);
        _s.takeBack(1);
        _s.settle(3);
        _s.claim(2);
        _s.withdraw(0, type(uint128).max);
        _s.lie(3_000_000, 3 << 8);
        _s.takeSettled(0);
        _s.valuation(1, 1);
        _s.gap();
        _s.propose(1, 1);
        _s.upgrade();
        _s.silence(39 * EPOCH);
        _s.reportNext(3_000_000, 4);
        for (uint256 i = 0; i < 18; ++i) {
            assertTrue(_s.done(_s.names(i)) != 0, _s.names(i));
        }
    }

    function invariant_allUnitsAreHeldAndBacked() public view {
        _s.unitsAddUp();
    }

    function invariant_everyUnitEarnsOnceInEveryEpoch() public view {
        _s.weightsAddUp();
    }

    function invariant_pinnedWeightsOutliveTheRing() public view {
        _s.pinsStay();
    }

    function invariant_claimsAreQueuedUnits() public view {
        _s.claimsAreQueuedUnits();
    }

    function invariant_poolHoldsWhatItOwes() public view {
        _s.poolHoldsWhatItOwes();
    }

    function invariant_noMoneyGoesToStrangers() public view {
        _s.moneyIsSomewhereKnown();
    }

    function invariant_penaltiesTakeFromTheBondOnly() public view {
        _s.bondIsThere();
    }

    function invariant_paidIsEarned() public view {
        _s.neverPaysMoreThanWasEarned();
    }

    function invariant_everyLieIsShownAndNoTruthIs() public view {
        assertEq(_s.upheld(), _s.lies(), "upheld");
        assertEq(_s.truthsCondemned(), 0, "truths");
    }

    function invariant_valueStaysInItsClamp() public view {
        _s.valueStaysInItsClamp();
    }

    function invariant_machinesBackTheUnits() public view {
        _s.machinesBackTheUnits();
    }

    function invariant_tradesAreFairAndWriteNoPrice() public view {
        assertEq(_s.badFills(), 0, "fills");
        assertEq(_s.pricesWritten(), 0, "prices");
    }

    function invariant_everyExitIsOpen() public {
        _s.everyExitIsOpen();
    }
}
