// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DemoQuote} from "../../contracts/DemoQuote.sol";
import {EpochLedger} from "../../contracts/EpochLedger.sol";
import {IBuybackPool} from "../../contracts/interfaces/IBuybackPool.sol";
import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {ISeriesRegistry} from "../../contracts/interfaces/ISeriesRegistry.sol";
import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {LpShare} from "../../contracts/tokens/LpShare.sol";
import {Fixture} from "./utils/Fixture.sol";
import {LedgerFixture} from "./utils/LedgerFixture.sol";
import {OnBuybackPool} from "./utils/PoolFixture.sol";

/// @notice A quote token that, once told to, answers a transfer with more bytes than its caller can pay to copy.
contract BombQuote is DemoQuote {
    bool private _armed;

    function arm() external {
        _armed = true;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (!_armed) return super.transfer(to, amount);
        assembly {
            let size := mul(512, 1024)
            for {} gt(gas(), 3000000) { size := add(size, 65536) } { mstore(size, 1) }
            return(0, size)
        }
    }
}

/// @notice What an audit of the pool found, each as the attack that worked.
contract FindingsPool is OnBuybackPool {
    /// The supply is the account of address zero: a transfer of nothing from it must not write it.
    function test_supplySurvivesATransferFromZero() public {
        uint256 supply = _unit.totalSupply();
        refuses(ITwabToken.InsufficientBalance.selector);
        _unit.transferFrom(address(0), actor(1), 0);
        assertEq(_unit.totalSupply(), supply, "supply");
    }

    /// The same on LP shares stopped every entry point of the pool: burning underflowed.
    function test_lpSupplySurvivesATransferFromZero() public {
        _provide(actor(9), 1_000_000e6);
        uint256 shares = _lp.balanceOf(actor(9));
        refuses(ITwabToken.InsufficientBalance.selector);
        _lp.transferFrom(address(0), actor(1), 0);
        vm.prank(actor(9));
        _pool.requestWithdraw(shares / 2);
        _nextEpoch();
        _sell(actor(1), 1e18);
        vm.prank(actor(9));
        (uint256 quote,) = _pool.withdrawSettled(actor(9));
        assertGe(quote, 499_999e6, "out");
    }

    /// A mint that comes before the burn of the same boundary must fit the 96 bits of the supply.
    function test_hugeDepositCannotStopThePool() public {
        _provide(actor(9), 1000e6);
        _quote.mint(actor(1), 2e17);
        _provide(actor(1), 7e16);
        uint256 shares = _lp.balanceOf(actor(1));
        assertGe(shares, 6e28, "nearly all of the 96 bits");
        vm.startPrank(actor(1));
        _pool.deposit(7e16);
        _pool.requestWithdraw(shares);
        vm.stopPrank();
        _nextEpoch();
        _pool.roll();
        _sell(actor(2), 1e18);
        (uint256 back,) = _pool.settledOf(actor(1));
        assertGe(back, 139e15, "withdrawal and returned deposit");
    }

    /// The queue's price stops falling after 21 missed reports: a silent oracle hands nobody units for nothing.
    function test_queuePriceStopsFalling() public {
        _provide(actor(9), 1_000_000e6);
        vm.prank(actor(1));
        _queue.enqueue(100e18);
        _values.set(20e6, 21e6, false, epochNow() - 1);
        skip(300 * EPOCH);
        (uint256 units, uint256 quote) = _queue.settle(5);
        assertEq(units, 100e18, "settled");
        assertGe(quote, 2000e6 * 58 / 100, "at no less than 0.98^21 and the widest spread");
    }
}

contract FindingsBomb is OnBuybackPool {
    /// A quote token that answers with a flood of bytes must not hold the units back.
    function test_floodOfBytesDoesNotHoldTheUnits() public {
        BombQuote bomb = new BombQuote();
        vm.etch(address(_quote), address(bomb).code);
        _provide(actor(9), 1_000_000e6);
        _sell(actor(1), 100e18);
        uint256 shares = _lp.balanceOf(actor(9));
        vm.prank(actor(9));
        _pool.requestWithdraw(shares);
        _nextEpoch();
        BombQuote(address(_quote)).arm();
        vm.prank(actor(9));
        (uint256 quote, uint256 units) = _pool.withdrawSettled{gas: 20_000_000}(actor(9));
        assertEq(quote, 0, "quote stays owed");
        assertGe(units, 99e18, "units go out");
    }
}

contract FindingsLedger is LedgerFixture {
    /// The account that earns in a wrapper's stead must not become a wrapper: it would have no leaf.
    function test_firstLossNeverBecomesAWrapper() public {
        _ledger.addWrapper(IEpochLedger.Wrapper(1, address(1), address(2), address(3)));
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.BadWrapper.selector, address(3)));
        _ledger.addWrapper(IEpochLedger.Wrapper(1, address(3), address(4), address(5)));
    }

    /// With no confirmations asked for, one header would prove any sum.
    function test_ledgerNeedsConfirmations() public {
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.TooFewConfirmations.selector, 0));
        new EpochLedger(address(_manager), address(_oracle), address(_relay), address(0), 0);
        vm.chainId(8453);
        vm.expectRevert(abi.encodeWithSelector(IEpochLedger.TooFewConfirmations.selector, 5));
        new EpochLedger(address(_manager), address(_oracle), address(_relay), address(0), 5);
        new EpochLedger(address(_manager), address(_oracle), address(_relay), address(0), 6);
    }
}

contract FindingsSystem is Fixture {
    /// A leaf has room for 16 series: an account in a 17th could be given none, and no epoch be committed.
    function test_noMoreSeriesThanALeafHolds() public {
        vm.startPrank(operator);
        for (uint256 i = 2; i <= 16; ++i) {
            sys.seriesRegistry.createSeries(_params());
        }
        vm.expectRevert(ISeriesRegistry.TooManySeries.selector);
        sys.seriesRegistry.createSeries(_params());
        vm.stopPrank();
    }

    function _params() private pure returns (ISeriesRegistry.SeriesParams memory p) {
        p.algorithm = 1;
        p.hashratePerUnit = 1;
        (p.model, p.name, p.symbol) = ("m", "n", "s");
    }

    /// All credits are shares of the supply's balance-seconds: nobody may write them.
    function test_nobodyWipesTheWeightOfAPot() public {
        registerUnits(100e18);
        refuses(ITwabToken.InsufficientBalance.selector);
        unit.transferFrom(address(0), address(0xBEEF), 0);
        skip(EPOCH);
        assertEq(unit.totalBalanceSeconds(70_000), 100e18 * (EPOCH - 100), "weight");
    }
}

/// @notice A tranche that exits last, and ways it could have left first.
contract FindingsFirstLoss is OnBuybackPool {
    function setUp() public override {
        _firstLossPpm = 250_000;
        super.setUp();
    }

    /// Twenty deposits of its own stand before the others' in line, so that the first call after the boundary hands out
    /// those alone: the others' LP shares count already and are not minted yet.
    function test_firstLossStaysWhileOthersWaitForTheirShares() public {
        _provide(_FIRST_LOSS, 500e6);
        vm.startPrank(_FIRST_LOSS);
        for (uint256 i = 0; i < 20; ++i) {
            _pool.deposit(1e6);
        }
        vm.stopPrank();
        vm.prank(actor(9));
        _pool.deposit(1000e6);
        _nextEpoch();
        vm.expectRevert(IBuybackPool.FirstLossExitsLast.selector);
        vm.prank(_FIRST_LOSS);
        _pool.requestWithdraw(500e18);
    }

    /// Shares that leave at the next boundary do not cover what enters at it.
    function test_firstLossOnItsWayOutCoversNobody() public {
        _provide(_FIRST_LOSS, 500e6);
        vm.prank(_FIRST_LOSS);
        _pool.requestWithdraw(500e18);
        refuses(IBuybackPool.FirstLossTooSmall.selector);
        vm.prank(actor(9));
        _pool.deposit(1000e6);
    }
}
