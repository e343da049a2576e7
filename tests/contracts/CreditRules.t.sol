// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CreditRule} from "../../contracts/CreditRule.sol";
import {ICreditRule} from "../../contracts/interfaces/ICreditRule.sol";
import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {Test} from "./utils/Test.sol";

/// @notice A unit or a share whose weights are as told; it can refuse to answer.
contract FakeWeights {
    mapping(address account => mapping(uint32 epoch => uint256)) private _weights;
    bool private _refuses;
    bytes public pinned;

    function set(address account, uint32 epoch, uint256 weight) external {
        _weights[account][epoch] = weight;
    }

    function refuse(bool refuses) external {
        _refuses = refuses;
    }

    function balanceSeconds(address account, uint32 epoch) external view returns (uint256) {
        require(!_refuses, "refused");
        return _weights[account][epoch];
    }

    function totalBalanceSeconds(uint32 epoch) external view returns (uint256) {
        require(!_refuses, "refused");
        return _weights[address(0)][epoch];
    }

    function pin(address account, uint32 epoch) external returns (uint256) {
        require(!_refuses, "refused");
        pinned = abi.encodePacked(pinned, account, epoch);
        return _weights[account][epoch];
    }
}

/// @notice What the credit rule asks of ledger, oracle and registry.
contract FakeBooks {
    mapping(uint32 epoch => bytes32) public reportHash;
    mapping(uint16 series => address) public unitOf;
    mapping(address account => bool) public isWrapper;
    mapping(uint256 index => uint32) public wrapperFrom;
    IEpochLedger.Wrapper[] private _wrappers;

    function oracle() external view returns (address) {
        return address(this);
    }

    function registry() external view returns (address) {
        return address(this);
    }

    function setUnit(uint16 series, address unit) external {
        unitOf[series] = unit;
    }

    function report(uint32 epoch, bytes calldata encoded) external {
        reportHash[epoch] = keccak256(encoded);
    }

    function addWrapper(uint32 from, IEpochLedger.Wrapper calldata wrapper) external {
        wrapperFrom[_wrappers.length] = from;
        isWrapper[wrapper.wrapper] = true;
        _wrappers.push(wrapper);
    }

    function wrappers() external view returns (IEpochLedger.Wrapper[] memory) {
        return _wrappers;
    }

    function wrappersOf(uint16 series, uint32 epoch) external view returns (IEpochLedger.Wrapper[] memory list) {
        list = new IEpochLedger.Wrapper[](_wrappers.length);
        uint256 count = 0;
        for (uint256 i = 0; i < list.length; ++i) {
            if (_wrappers[i].series == series && wrapperFrom[i] <= epoch) list[count++] = _wrappers[i];
        }
        assembly ("memory-safe") {
            mstore(list, count)
        }
    }
}

/// @notice Credit by hand: two series, three wrappers, pieces of two epochs of work. The epoch is 100.
contract CreditRulesTest is Test {
    uint32 private constant _E = 100;
    uint256 private constant _ONE = 1 << 64;
    address private constant _ANN = address(0xA);
    address private constant _BEN = address(0xB);
    address private constant _POOL = address(0x1);
    address private constant _QUEUE = address(0x2);
    address private constant _OTHER = address(0x3);
    FakeBooks private _books;
    FakeWeights private _unit;
    FakeWeights private _second;
    FakeWeights private _share;
    FakeWeights private _claim;
    CreditRule private _rule;
    bytes private _report;

    function setUp() public {
        (_books, _unit, _second) = (new FakeBooks(), new FakeWeights(), new FakeWeights());
        (_share, _claim) = (new FakeWeights(), new FakeWeights());
        _rule = new CreditRule(address(_books));
        _books.setUnit(1, address(_unit));
        _books.setUnit(2, address(_second));
        _books.addWrapper(_E, IEpochLedger.Wrapper(1, _POOL, address(_share), _BEN));
        _books.addWrapper(_E - 1, IEpochLedger.Wrapper(1, _QUEUE, address(_claim), _BEN));
        _books.addWrapper(_E, IEpochLedger.Wrapper(2, _OTHER, address(_claim), _ANN));
        IFleetOracle.FleetReport memory r;
        r.epoch = _E;
        r.series = new IFleetOracle.SeriesReport[](2);
        (r.series[0].series, r.series[1].series) = (2, 1);
        r.series[0].pots = new IFleetOracle.Piece[](1);
        r.series[0].pots[0] = IFleetOracle.Piece(_E, 1000);
        r.series[1].pots = new IFleetOracle.Piece[](2);
        r.series[1].pots[0] = IFleetOracle.Piece(_E - 1, 50);
        r.series[1].pots[1] = IFleetOracle.Piece(_E, 700);
        _report = abi.encode(r);
        _books.report(_E, _report);
    }

    function _credit(uint16 series, address account) private view returns (uint256) {
        return _rule.creditOf(_E, series, account, _report);
    }

    function _weights(FakeWeights token, uint32 epoch, uint256 total, uint256 ann) private {
        token.set(address(0), epoch, total);
        token.set(_ANN, epoch, ann);
    }

    /// Own units, shares of the pool and claims of the queue: each part is rounded down by itself.
    function test_partsOfAPotAreRoundedDownApart() public {
        _weights(_unit, _E, 7, 2);
        _unit.set(_POOL, _E, 3);
        _unit.set(_QUEUE, _E, 1);
        _weights(_share, _E, 11, 5);
        _weights(_claim, _E, 13, 4);
        uint256 pot = 700 * _ONE;
        uint256 own = pot * 2 / 7;
        uint256 pool = pot * 3 / 7 * 5 / 11;
        uint256 queue = pot / 7 * 4 / 13;
        assertEq(_credit(1, _ANN), own + pool + queue, "three parts");
        assertEq(_credit(1, _BEN), 0, "who has none of them");
        _weights(_unit, _E - 1, 3, 1);
        assertEq(_credit(1, _ANN), own + pool + queue + 50 * _ONE / 3, "and of the work of the epoch before");
    }

    /// A series has its own pots, units and wrappers.
    function test_aSeriesIsByItself() public {
        _weights(_second, _E, 5, 1);
        _second.set(_OTHER, _E, 2);
        _second.set(_POOL, _E, 2);
        _weights(_share, _E, 1, 1);
        assertEq(_credit(2, _ANN), 600 * _ONE, "a fifth, and two of a wrapper without shares");
        assertEq(_credit(2, _BEN), 0, "the first loss is not Ben's here");
        assertEq(_credit(1, _ANN), 0, "nothing of the other series");
        assertEq(_credit(3, _ANN), 0, "nor of one that is not reported");
    }

    /// What a wrapper without shares earns is its first-loss account's; with shares it is theirs alone.
    function test_firstLossEarnsWhileThereAreNoShares() public {
        _weights(_unit, _E, 4, 0);
        _unit.set(_POOL, _E, 1);
        assertEq(_credit(1, _BEN), 175 * _ONE, "all of it");
        _weights(_share, _E, 1, 1);
        assertEq(_credit(1, _BEN), 0, "nothing any more");
        assertEq(_credit(1, _ANN), 175 * _ONE, "all of it");
    }

    /// The least there is: one 2^-64 of a sat, through a wrapper.
    function test_theLeastCredit() public {
        _weights(_unit, _E, 700 * _ONE, 1);
        _unit.set(_POOL, _E, 1);
        assertEq(_credit(1, _BEN), 1, "of the wrapper");
        assertEq(_credit(1, _ANN), 1, "of its own");
        _weights(_share, _E, 2, 1);
        assertEq(_credit(1, _ANN), 1, "half of the least is nothing");
    }

    /// Nothing was held: nobody earns, and nothing fails. A wrapper that holds nothing is not asked.
    function test_withoutWeightNobodyEarns() public {
        assertEq(_credit(1, _ANN), 0, "no units");
        _weights(_unit, _E, 7, 7);
        _share.refuse(true);
        assertEq(_credit(1, _ANN), 700 * _ONE, "all of it");
        _unit.set(_POOL, _E, 1);
        vm.expectRevert("refused");
        _credit(1, _ANN);
    }

    /// A wrapper earns nothing itself from the epoch on that it counts in; before it, it is an account like others.
    function test_aWrapperCountsFromItsEpoch() public {
        assertTrue(_rule.isWrapper(_E, _POOL) && !_rule.isWrapper(_E - 1, _POOL), "from its epoch");
        assertTrue(_rule.isWrapper(_E - 1, _QUEUE) && !_rule.isWrapper(_E - 2, _QUEUE), "each from its own");
        assertTrue(_rule.isWrapper(_E, _OTHER) && !_rule.isWrapper(_E, _ANN), "nobody else");
        for (uint32 epoch = _E - 2; epoch <= _E; ++epoch) {
            _books.report(epoch, _report);
            _weights(_unit, _E, 7, 0);
            _unit.set(_POOL, _E, 2);
            _unit.set(_QUEUE, _E, 4);
            uint256 pool = _rule.creditOf(epoch, 1, _POOL, _report);
            uint256 queue = _rule.creditOf(epoch, 1, _QUEUE, _report);
            uint256 ben = _rule.creditOf(epoch, 1, _BEN, _report);
            assertEq(pool, epoch == _E ? 0 : 200 * _ONE, "the pool");
            assertEq(queue, epoch == _E - 2 ? 400 * _ONE : 0, "the queue");
            assertEq(ben, 600 * _ONE - pool - queue, "the rest is looked through");
        }
    }

    /// The report as it was posted, or nothing for an epoch without one.
    function test_onlyThePostedReportCounts() public {
        assertEq(_rule.creditOf(_E + 1, 1, _ANN, ""), 0, "a gap earns nothing");
        bytes memory other = abi.encodePacked(_report, bytes32(0));
        vm.expectRevert(abi.encodeWithSelector(ICreditRule.WrongReport.selector, _E + 1));
        _rule.creditOf(_E + 1, 1, _ANN, _report);
        vm.expectRevert(abi.encodeWithSelector(ICreditRule.WrongReport.selector, _E));
        _rule.creditOf(_E, 1, _ANN, "");
        vm.expectRevert(abi.encodeWithSelector(ICreditRule.WrongReport.selector, _E));
        _rule.creditOf(_E, 1, _ANN, other);
    }

    /// Of every piece the account, the total and each wrapper are pinned, and of each share the account and the total.
    function test_whatIsPinned() public {
        _rule.pinAll(_E, _ANN, _report);
        bytes memory shares;
        bytes memory units;
        for (uint32 w = _E - 1; w <= _E; ++w) {
            units = abi.encodePacked(units, _ANN, w, address(0), w, _POOL, w, _QUEUE, w);
            shares = abi.encodePacked(shares, _ANN, w, address(0), w);
        }
        assertEq(_unit.pinned(), units, "units");
        assertEq(_share.pinned(), shares, "shares");
        bytes memory once = abi.encodePacked(_ANN, _E, address(0), _E);
        assertEq(_claim.pinned(), abi.encodePacked(once, shares), "claims, of the other series first");
        assertEq(_second.pinned(), abi.encodePacked(once, _OTHER, _E), "units of the other series");
    }

    function test_aRefusalStopsNoOtherPin() public {
        _unit.refuse(true);
        _share.refuse(true);
        _rule.pinAll(_E, _ANN, _report);
        assertEq(_claim.pinned().length, 3 * 48, "the others are pinned");
        assertTrue(_rule.ledger() == address(_books) && address(_rule.registry()) == address(_books), "where it asks");
    }
}
