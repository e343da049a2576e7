// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FairValue} from "../../contracts/FairValue.sol";
import {IFairValue} from "../../contracts/interfaces/IFairValue.sol";
import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {IPrimarySale} from "../../contracts/interfaces/IPrimarySale.sol";
import {IStoppable} from "../../contracts/interfaces/IStoppable.sol";
import {ValueMath} from "../../contracts/libraries/ValueMath.sol";
import {Fixture} from "./utils/Fixture.sol";

contract FairValueTest is Fixture {
    FairValue private _values;

    function setUp() public override {
        super.setUp();
        _values = sys.fairValue;
        registerUnits(100e18);
    }

    function _post(uint64 sats, uint64 price, uint128 hardware) private returns (IFleetOracle.FleetReport memory r) {
        r = reportOf(sats);
        r.quotePerBtc = price;
        r.series[0].hardwarePrice = hardware;
        uint256 end = (uint256(r.epoch) + 1) * EPOCH;
        if (block.timestamp < end) vm.warp(end);
        post(r);
        _values.update(abi.encode(r));
    }

    /// The demo's numbers: all three inputs near 33,000 sats, about 20 USDC a unit.
    function test_firstValuation() public {
        _post(5_000_000, 60_000e6, 2e22);
        IFairValue.Valuation memory v = _values.valuation(1);
        assertEq(v.schedule >> 32, 33_495, "H: 4,5 per mille of a month's loss");
        assertEq(v.hardware >> 32, 33_333, "q: 20 quote at 60,000");
        // (50,000 - 16,000) x 0.98 + 3,350 x 0.98
        assertEq(v.discounted >> 32, 36_603, "D");
        assertEq(v.raw, v.schedule, "median");
        assertTrue(v.published == v.raw && v.previous == v.raw, "young");
        assertEq(_values.bidBase(1) / 1e4, 2009, "bid about 20.09");
        assertLe(_values.bidBase(1), _values.askBase(1), "bid <= ask");
    }

    function test_unknownIncomeIsLeftOut() public {
        _post(0, 60_000e6, 2e22);
        IFairValue.Valuation memory v = _values.valuation(1);
        assertEq(v.discounted, 0, "not known");
        assertEq(v.raw, v.hardware, "the lower of two");
    }

    function test_noHardwarePrice() public {
        _post(0, 60_000e6, 0);
        IFairValue.Valuation memory v = _values.valuation(1);
        assertEq(v.raw, v.schedule, "only H is known");
        _post(5_000_000, 60_000e6, 0);
        v = _values.valuation(1);
        assertEq(v.raw, v.schedule < v.discounted ? v.schedule : v.discounted, "min(H, D)");
    }

    function test_hardwarePriceExpiresAfterThreeEpochs() public {
        _post(5_000_000, 60_000e6, 1e22);
        for (uint256 i = 0; i < 3; ++i) {
            _post(5_000_000, 60_000e6, 0);
            assertTrue(_values.valuation(1).hardware != 0, "still counts");
        }
        _post(5_000_000, 60_000e6, 0);
        assertEq(_values.valuation(1).hardware, 0, "too old");
    }

    /// A crash reaches the bid at once and the ask slowly; a rise reaches the ask at once and the bid slowly.
    function test_clampNeverFavoursASeller() public {
        _post(5_000_000, 60_000e6, 2e22);
        uint256 bid = _values.bidBase(1);
        uint256 ask = _values.askBase(1);
        // hardware at a tenth, income gone: raw falls to scrap's side
        for (uint256 i = 0; i < 3; ++i) {
            _post(0, 60_000e6, 2e21);
        }
        IFairValue.Valuation memory v = _values.valuation(1);
        assertLe(v.raw, uint256(v.published) * 15 / 100, "raw fell");
        assertEq(v.published, uint256(v.previous) * 98 / 100, "published moves 2 %");
        assertLe(_values.bidBase(1), bid * 15 / 100, "the bid follows raw");
        assertGe(_values.askBase(1), ask * 90 / 100, "the ask does not");
    }

    function test_lastTwoPricesOfBtc() public {
        _post(5_000_000, 60_000e6, 2e22);
        uint256 bid = _values.bidBase(1);
        _post(5_000_000, 120_000e6, 4e22);
        assertLe(_values.bidBase(1), bid, "the bid stays at the lower price");
        assertGe(_values.askBase(1), 2 * bid * 99 / 100, "the ask takes the higher");
    }

    function test_freshFor10Hours() public {
        assertTrue(!_values.fresh(1), "no value yet");
        _post(5_000_000, 60_000e6, 2e22);
        vm.warp(70_001 * EPOCH + 36_000);
        assertTrue(_values.fresh(1), "at 1.25 epochs");
        skip(1);
        assertTrue(!_values.fresh(1), "after");
    }

    function testFuzz_valuesStayOrdered(uint64[4] memory sats, uint64[4] memory prices, uint128[4] memory hardware)
        public
    {
        for (uint256 i = 0; i < 4; ++i) {
            _post(sats[i] % 1e12, uint64(bound(prices[i], 1, 1e13)), hardware[i]);
            IFairValue.Valuation memory v = _values.valuation(1);
            assertLe(_values.bidBase(1), _values.askBase(1), "bid <= ask");
            assertLe(v.published, uint256(v.previous) * 102 / 100 + 1, "up 2 %");
            if (i > 0) assertGe(v.published, uint256(v.previous) * 98 / 100, "down 2 %");
            assertTrue(v.raw != 0, "never nothing");
        }
    }

    /// H falls with age, from the initial value to scrap.
    function testFuzz_scheduleFalls(uint32 age, uint32 more) public pure {
        IFairValue.Params memory p = IFairValue.Params(33_500 << 32, 100_000, 13_600, 20_000, 1);
        uint256 older = ValueMath.schedule(p, uint256(age) + more);
        assertLe(older, ValueMath.schedule(p, age), "falls");
        assertGe(older, ValueMath.scrap(p), "not below scrap");
        // up to rounding of a fraction of 2^-32 sat
        assertGe(ValueMath.schedule(p, 0) + 2, p.initialValue, "new");
        uint256 month = ValueMath.schedule(p, 30 days);
        uint256 left = uint256(p.initialValue) / 10 + uint256(p.initialValue) * 9 / 10 * 986_400 / 1e6;
        assertLe(month > left ? month - left : left - month, 8, "one month");
    }

    /* ERRORS */

    function test_WrongReport() public {
        IFleetOracle.FleetReport memory r = reportOf(5);
        vm.warp(70_001 * EPOCH);
        vm.expectRevert(abi.encodeWithSelector(IFairValue.WrongReport.selector, 70_000));
        _values.update(abi.encode(r));
        post(r);
        r.quotePerBtc += 1;
        vm.expectRevert(abi.encodeWithSelector(IFairValue.WrongReport.selector, 70_000));
        _values.update(abi.encode(r));
    }

    function test_AlreadyValued() public {
        IFleetOracle.FleetReport memory r = _post(5, 60_000e6, 2e22);
        vm.expectRevert(abi.encodeWithSelector(IFairValue.AlreadyValued.selector, 0, 70_000));
        _values.update(abi.encode(r));
    }

    function test_NoValue() public {
        vm.expectRevert(abi.encodeWithSelector(IFairValue.NoValue.selector, 1));
        _values.bidBase(1);
        vm.expectRevert(abi.encodeWithSelector(IFairValue.NoValue.selector, 1));
        _values.askBase(1);
    }

    function test_UnknownSeriesAndBadParams() public {
        IFairValue.Params memory p = _values.params(1);
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IFairValue.UnknownSeries.selector, 2));
        _values.setParams(2, p);
        p.scrapPpm = 1_000_001;
        vm.expectRevert(abi.encodeWithSelector(IFairValue.BadParams.selector, 1));
        _values.setParams(1, p);
        p.scrapPpm = 0;
        p.initialValue = 0;
        vm.expectRevert(abi.encodeWithSelector(IFairValue.BadParams.selector, 1));
        _values.setParams(1, p);
        vm.stopPrank();
        refuses(bytes4(keccak256("AccessManagedUnauthorized(address)")));
        _values.setParams(1, p);
    }
}

contract PrimarySaleTest is Fixture {
    function setUp() public override {
        super.setUp();
        registerUnits(100e18);
        fund(actor(1), 1e12, address(sys.primarySale));
    }

    function _buy(uint256 units, uint256 limit) private returns (uint256) {
        vm.prank(actor(1));
        return sys.primarySale.buy(1, units, limit, actor(2));
    }

    function test_buyAtTheAsk() public {
        reportAndValue(5_000_000);
        uint256 expected = (sys.fairValue.askBase(1) * 37e17 + 1e18 - 1) / 1e18;
        assertEq(_buy(37e17, type(uint256).max), expected, "quote rounded up");
        assertEq(unit.balanceOf(actor(2)), 37e17, "units");
        assertEq(quote.balanceOf(address(sys.primarySale)), expected, "proceeds");
        vm.prank(operator);
        sys.primarySale.withdraw(actor(3), expected);
        assertEq(quote.balanceOf(actor(3)), expected, "withdrawn");
    }

    function test_operatorIsPaidOnUnsoldUnits() public {
        bytes memory script = abi.encodePacked(hex"0014", bytes20("operator"));
        refuses(bytes4(keccak256("AccessManagedUnauthorized(address)")));
        sys.primarySale.setPayoutScript(script, 0);
        vm.prank(operator);
        sys.primarySale.setPayoutScript(script, 0);
        bytes32 found = sys.payoutRegistry.entryAt(address(sys.primarySale), epochNow() + 1).scriptHash;
        assertEq(found, keccak256(script), "script");
    }

    function test_MaxQuoteExceeded() public {
        reportAndValue(5_000_000);
        uint256 price = sys.primarySale.quoteBuy(1, 1e18);
        vm.expectRevert(abi.encodeWithSelector(IPrimarySale.MaxQuoteExceeded.selector, price, price - 1));
        _buy(1e18, price - 1);
    }

    function test_NothingToSell() public {
        reportAndValue(5_000_000);
        vm.expectRevert(abi.encodeWithSelector(IPrimarySale.NothingToSell.selector, 1, 100e18));
        _buy(100e18 + 1, type(uint256).max);
    }

    function test_StaleValue() public {
        vm.expectRevert(abi.encodeWithSelector(IPrimarySale.StaleValue.selector, 1));
        _buy(1, 1);
        reportAndValue(5_000_000);
        skip(11 hours);
        vm.expectRevert(abi.encodeWithSelector(IPrimarySale.StaleValue.selector, 1));
        _buy(1, 1);
    }

    function test_ZeroUnits() public {
        reportAndValue(5_000_000);
        vm.expectRevert(IPrimarySale.ZeroUnits.selector);
        _buy(0, 1);
    }

    function test_Stopped() public {
        reportAndValue(5_000_000);
        vm.prank(guardian);
        sys.primarySale.setStopped(true);
        vm.expectRevert(IStoppable.Stopped.selector);
        _buy(1, 1);
    }

    function test_onlyTheOperatorWithdraws() public {
        refuses(bytes4(keccak256("AccessManagedUnauthorized(address)")));
        sys.primarySale.withdraw(actor(3), 0);
    }
}
