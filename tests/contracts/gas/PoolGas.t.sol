// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {BuybackPool} from "../../../contracts/BuybackPool.sol";
import {DemoQuote} from "../../../contracts/DemoQuote.sol";
import {ExitQueue} from "../../../contracts/ExitQueue.sol";
import {FairValue} from "../../../contracts/FairValue.sol";
import {PoolBooks} from "../../../contracts/PoolBooks.sol";
import {PrimarySale} from "../../../contracts/PrimarySale.sol";
import {IFairValue} from "../../../contracts/interfaces/IFairValue.sol";
import {IFleetOracle} from "../../../contracts/interfaces/IFleetOracle.sol";
import {HashrateUnit} from "../../../contracts/tokens/HashrateUnit.sol";
import {FixedSeries} from "../utils/Mocks.sol";
import {GasTable} from "./GasTable.sol";

/// @notice Whole transactions on the real unit, pool, queue, sale and fair value. Unless the name says otherwise both
/// parties hold both tokens, were touched this epoch, and the epoch's boundary is behind.
/// forge-config: default.isolate = true
contract PoolGasTest is GasTable {
    BuybackPool private _pool;
    ExitQueue private _queue;
    PrimarySale private _sale;
    FairValue private _values;
    FixedSeries private _chain;
    HashrateUnit private _unit;
    DemoQuote private _quote;
    address private constant _SELLER = address(uint160(uint256(keccak256("seller"))));
    address private constant _LP = address(uint160(uint256(keccak256("lp"))));
    address private constant _NEW = address(uint160(uint256(keccak256("new"))));

    function setUp() public {
        vm.warp(70_000 * EPOCH + 100);
        AccessManager manager = new AccessManager(address(this));
        _unit = new HashrateUnit(address(this), address(0), "Unit", "UNIT");
        _quote = new DemoQuote();
        _chain = new FixedSeries(address(_unit));
        _values = new FairValue(address(manager), address(_chain), address(_chain));
        _values.setParams(1, IFairValue.Params(33_500 << 32, 100_000, 13_600, 20_000, 1));
        _pool = new BuybackPool(address(manager), _config());
        _queue = ExitQueue(_pool.queue());
        _sale = new PrimarySale(
            address(manager), address(_chain), address(_values), address(_chain), address(_quote), address(_chain)
        );
        _fund(_SELLER);
        _fund(_LP);
        _unit.mint(address(_sale), 1_000_000e18);
        _value();
        vm.prank(_LP);
        _pool.deposit(1_000_000e6);
        _next();
    }

    function _config() private view returns (PoolBooks.Config memory) {
        return PoolBooks.Config({
            seriesId: 1,
            unit: address(_unit),
            quoteToken: address(_quote),
            fairValue: address(_values),
            ledger: address(_chain),
            firstLoss: address(this),
            feePpm: 5000,
            skewPpm: 100_000,
            askSkewPpm: 2500,
            outflowPpm: 50_000,
            firstLossPpm: 0,
            name: "TST"
        });
    }

    function _fund(address account) private {
        _unit.mint(account, 10_000e18);
        _quote.mint(account, 1e13);
        vm.startPrank(account);
        _unit.approve(address(_pool), type(uint256).max);
        _unit.approve(address(_queue), type(uint256).max);
        _quote.approve(address(_pool), type(uint256).max);
        _quote.approve(address(_sale), type(uint256).max);
        vm.stopPrank();
    }

    /// @dev A report of the past epoch: all inputs near 33,500 sats.
    function _value() private {
        IFleetOracle.FleetReport memory report;
        report.epoch = epochNow() - 1;
        report.prevHash = _chain.lastReportHash();
        report.quotePerBtc = 60_000e6;
        report.observedAt = uint40(uint256(epochNow()) * EPOCH);
        report.series = new IFleetOracle.SeriesReport[](1);
        report.series[0].series = 1;
        report.series[0].hardwarePrice = 2e22;
        _chain.report(report.epoch, keccak256(abi.encode(report)));
        _values.update(abi.encode(report));
    }

    function _next() private {
        skip(EPOCH);
        _value();
        _pool.roll();
    }

    function _sell(uint256 units, address to) private {
        vm.prank(_SELLER);
        _pool.sell(units, 0, to);
    }

    function _touch() private {
        vm.prank(_SELLER);
        _unit.transfer(_LP, 1);
        vm.prank(_LP);
        _unit.transfer(_SELLER, 1);
    }

    function test_gas() public {
        _first();
        for (uint256 i = 0; i < 40; ++i) {
            _next();
            _sell(1e18, _SELLER);
            _touch();
        }
        _trades();
        _queued();
        _primary();
        _liquidity();
        check("pool");
    }

    function _first() private {
        _sell(1e18, _SELLER);
        record("poolSellFirstEver");
    }

    function _trades() private {
        skip(10);
        _sell(1e18, _SELLER);
        record("poolSell");
        vm.prank(_LP);
        _pool.buy(1e18, type(uint256).max, _LP);
        record("poolBuy");
        _sell(1e18, _NEW);
        record("poolSellToNewHolderOfQuote");
        skip(EPOCH);
        _value();
        _touch();
        _sell(1e18, _SELLER);
        record("poolSellFirstOfTheEpoch");
    }

    function _queued() private {
        vm.prank(_LP);
        _queue.enqueue(1e18);
        record("queueEnqueueFirstEver");
        vm.prank(_SELLER);
        _queue.enqueue(1e18);
        record("queueEnqueueNewHolderOfClaims");
        vm.prank(_SELLER);
        uint256 id = _queue.enqueue(1e18);
        record("queueEnqueue");
        _sell(1e18, _SELLER);
        record("poolSellBehindTheQueue");
        vm.prank(_SELLER);
        _queue.takeBack(id);
        record("queueTakeBack");
        _queue.settle(1);
        record("queueSettleOne");
        vm.prank(_LP);
        _queue.claim(_LP);
        record("queueClaim");
        for (uint256 i = 0; i < 10; ++i) {
            vm.prank(_SELLER);
            _queue.enqueue(1e18);
        }
        _queue.settle(12);
        record("queueSettleEleven");
    }

    function _primary() private {
        vm.prank(_SELLER);
        _sale.buy(1, 1e18, type(uint256).max, _SELLER);
        record("primarySaleBuyFirstOfTheEpoch");
        vm.prank(_SELLER);
        _sale.buy(1, 1e18, type(uint256).max, _SELLER);
        record("primarySaleBuy");
        vm.prank(_LP);
        _sale.buy(1, 1e18, type(uint256).max, _NEW);
        record("primarySaleBuyForNewHolder");
    }

    function _liquidity() private {
        vm.prank(_LP);
        _pool.deposit(1e6);
        record("lpDeposit");
        vm.prank(_LP);
        _pool.requestWithdraw(1e18);
        record("lpRequestWithdraw");
        skip(EPOCH);
        _value();
        _pool.roll();
        record("roll");
        vm.prank(_LP);
        _pool.withdrawSettled(_LP);
        record("lpWithdrawSettled");
    }
}
