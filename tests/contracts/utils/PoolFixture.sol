// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {BuybackPool} from "../../../contracts/BuybackPool.sol";
import {DemoQuote} from "../../../contracts/DemoQuote.sol";
import {ExitQueue} from "../../../contracts/ExitQueue.sol";
import {IBuybackPool} from "../../../contracts/interfaces/IBuybackPool.sol";
import {PoolBooks} from "../../../contracts/PoolBooks.sol";
import {TwabToken} from "../../../contracts/tokens/TwabToken.sol";
import {ReferencePool} from "../reference/ReferencePool.sol";
import {FixedValue, FixedWrappers, PlainToken} from "./Mocks.sol";
import {Test} from "./Test.sol";

/// @title PoolFixture
/// @notice A pool at bid base 20 and ask base 21, and ten accounts with units and quote. Suites run on BuybackPool and
/// on its readable twin.
abstract contract PoolFixture is Test {
    IBuybackPool internal _pool;
    ExitQueue internal _queue;
    TwabToken internal _lp;
    TwabToken internal _claims;
    PlainToken internal _unit;
    DemoQuote internal _quote;
    FixedValue internal _values;
    FixedWrappers internal _wrappers;
    AccessManager internal _manager;
    uint32 internal _firstLossPpm;
    address internal constant _FIRST_LOSS = address(0xF1257);

    /// @dev The pool under test.
    function _deploy(address authority, PoolBooks.Config memory config) internal virtual returns (IBuybackPool);

    function setUp() public virtual {
        vm.warp(70_000 * EPOCH + 100);
        _manager = new AccessManager(address(this));
        _unit = new PlainToken(address(this));
        _quote = new DemoQuote();
        _values = new FixedValue();
        _wrappers = new FixedWrappers();
        _pool = _deploy(address(_manager), _config());
        _queue = ExitQueue(_pool.queue());
        _lp = TwabToken(_pool.lpShare());
        _claims = TwabToken(_queue.claimToken());
        for (uint256 i = 0; i < 10; ++i) {
            _equip(actor(i));
        }
        _equip(_FIRST_LOSS);
        _refresh();
    }

    function _config() internal view returns (PoolBooks.Config memory) {
        return PoolBooks.Config({
            seriesId: 1,
            unit: address(_unit),
            quoteToken: address(_quote),
            fairValue: address(_values),
            ledger: address(_wrappers),
            firstLoss: _FIRST_LOSS,
            feePpm: 5000,
            skewPpm: 100_000,
            askSkewPpm: 2500,
            outflowPpm: 50_000,
            firstLossPpm: _firstLossPpm,
            name: "TST"
        });
    }

    function _equip(address who) private {
        _unit.mint(who, 100_000e18);
        _quote.mint(who, 10_000_000e6);
        vm.startPrank(who);
        _unit.approve(address(_pool), type(uint256).max);
        _unit.approve(address(_queue), type(uint256).max);
        _quote.approve(address(_pool), type(uint256).max);
        vm.stopPrank();
    }

    function _refresh() internal {
        _values.set(20e6, 21e6, true, epochNow() - 1);
    }

    function _nextEpoch() internal {
        skip(EPOCH);
        _refresh();
    }

    /// @notice Deposits, and lets the boundary pass.
    function _provide(address who, uint256 amount) internal {
        vm.prank(who);
        _pool.deposit(amount);
        _nextEpoch();
        _pool.roll();
    }

    function _sell(address who, uint256 units) internal returns (uint256) {
        vm.prank(who);
        return _pool.sell(units, 0, who);
    }

    function _buy(address who, uint256 units) internal returns (uint256) {
        vm.prank(who);
        return _pool.buy(units, type(uint256).max, who);
    }
}

abstract contract OnBuybackPool is PoolFixture {
    function _deploy(address authority, PoolBooks.Config memory config) internal override returns (IBuybackPool) {
        return new BuybackPool(authority, config);
    }
}

abstract contract OnReferencePool is PoolFixture {
    function _deploy(address authority, PoolBooks.Config memory config) internal override returns (IBuybackPool) {
        return new ReferencePool(authority, config);
    }
}
