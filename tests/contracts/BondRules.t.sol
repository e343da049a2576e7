// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {DemoQuote} from "../../contracts/DemoQuote.sol";
import {LedgerCourt} from "../../contracts/LedgerCourt.sol";
import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {Test} from "./utils/Test.sol";

/// @notice What a court asks of credit rule, ledger and oracle for the bond: pots and prices as told.
contract FakeChain {
    uint32 public constant firstEpoch = 0;
    uint32 public lastEpoch;
    mapping(uint32 epoch => uint64) public potOf;
    mapping(uint32 epoch => uint64) public quotePerBtc;

    function ledger() external view returns (address) {
        return address(this);
    }

    function oracle() external view returns (address) {
        return address(this);
    }

    function end(uint32 epoch) external {
        lastEpoch = epoch;
    }

    function set(uint32 epoch, uint64 pot, uint64 price) external {
        (potOf[epoch], quotePerBtc[epoch]) = (pot, price);
    }
}

/// @notice Edges of the operator's bond: which pots and prices it is measured by, and what of it can leave, and when.
contract BondRulesTest is Test {
    uint32 private constant _LAST = 70_000;
    uint256 private constant _WAIT = 21 * EPOCH;
    address private constant _TO = address(0x70);
    FakeChain private _chain;
    DemoQuote private _quote;
    AccessManager private _manager;
    LedgerCourt private _court;

    function setUp() public {
        vm.warp(_LAST * EPOCH);
        (_chain, _quote, _manager) = (new FakeChain(), new DemoQuote(), new AccessManager(address(this)));
        _chain.end(_LAST);
        _court = this.deploy(3);
        _quote.approve(address(_court), type(uint256).max);
    }

    /// @dev A call of its own, so that a constructor's revert is that call's.
    function deploy(uint256 factor) external returns (LedgerCourt) {
        return new LedgerCourt(address(_manager), address(_chain), address(6), address(_quote), factor, 9);
    }

    function _post(uint256 amount) private {
        _quote.mint(address(this), amount);
        _court.post(amount);
    }

    /* WHAT IS REQUIRED */

    function test_bondFactorIsThreeWhereMoneyIsReal() public {
        assertEq(this.deploy(0).bondFactor(), 0, "nothing elsewhere");
        vm.chainId(1);
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.BondFactorTooSmall.selector, 2));
        this.deploy(2);
        LedgerCourt made = this.deploy(3);
        assertEq(made.bondFactor(), 3, "three");
        assertEq(made.demandDeposit(), 9, "deposit");
        assertEq(address(made.payouts()), address(6), "payouts");
        assertEq(made.quoteToken(), address(_quote), "quote");
        assertTrue(address(made.ledger()) == address(_chain) && address(made.oracle()) == address(_chain), "chain");
        assertEq(address(made.credits()), address(_chain), "credit rule");
    }

    /// The largest pot of 21 epochs, wherever it stands among them.
    function test_bondIsMeasuredByTheLargestPotOf21Epochs() public {
        _chain.set(_LAST, 5, 1e8);
        assertEq(_court.requiredBond(), 15, "three times the newest");
        for (uint32 i = 0; i < 24; ++i) {
            _chain.set(_LAST - i, i == 0 ? 5 : 700, i == 0 ? 1e8 : 0);
            assertEq(_court.requiredBond(), i == 0 || i > 20 ? 15 : 2100, "within the window");
            if (i != 0) _chain.set(_LAST - i, 0, 0);
        }
    }

    /// The newest price, however old within the window; rounded up.
    function test_bondIsMeasuredByTheNewestPrice() public {
        _chain.set(_LAST, 7, 0);
        assertEq(_court.requiredBond(), 0, "no price yet");
        for (uint32 i = 24; i > 0; --i) {
            _chain.set(_LAST - i + 1, i == 1 ? 7 : 0, 1e8 + i);
            // 21 sats: 21 quote units and a fraction
            assertEq(_court.requiredBond(), i > 21 ? 0 : 22, "price of the window");
        }
        _chain.set(_LAST, 7, 3e8);
        assertEq(_court.requiredBond(), 63, "the newest, exactly");
        _chain.set(_LAST, 7, 1);
        assertEq(_court.requiredBond(), 1, "even the lowest");
    }

    /// A chain younger than the window counts from its first epoch on.
    function test_bondOfAYoungChain() public {
        _chain.set(0, 11, 1e8);
        for (uint32 last = 0; last < 24; ++last) {
            _chain.end(last);
            assertEq(_court.requiredBond(), last > 20 ? 0 : 33, "epoch 0 is one of them");
        }
    }

    function test_nothingIsRequiredWithoutAFactor() public {
        _chain.set(_LAST, 5, 1e8);
        LedgerCourt free = this.deploy(0);
        assertEq(free.requiredBond(), 0, "required");
        assertTrue(free.bonded() && !_court.bonded(), "bonded without a bond");
        LedgerCourt once = this.deploy(1);
        assertTrue(once.requiredBond() == 5 && !once.bonded(), "a factor of one is one");
    }

    /// Bonded is who has what is required, not counting what is announced to leave.
    function test_bondedAtTheEdge() public {
        _chain.set(_LAST, 5, 1e8);
        _post(14);
        assertTrue(!_court.bonded(), "one short");
        _post(1);
        assertTrue(_court.bonded(), "enough");
        assertEq(_court.bond(), 15, "both");
        _court.announceWithdrawal(1);
        assertTrue(!_court.bonded(), "one is leaving");
        _post(1);
        assertTrue(_court.bonded(), "and replaced");
        _court.announceWithdrawal(100);
        assertTrue(!_court.bonded(), "more than all is leaving");
        _chain.set(_LAST, 0, 1e8);
        assertTrue(_court.bonded(), "nothing is required");
    }

    /* WHAT LEAVES */

    function test_postIsLoggedAndAddsUp() public {
        _post(40);
        _quote.mint(address(this), 2);
        vm.expectEmit(true, true, true, true, address(_court));
        emit ILedgerCourt.Bonded(address(this), 2);
        _court.post(2);
        assertEq(_court.bond(), 42, "sum");
        assertEq(_quote.balanceOf(address(_court)), 42, "held");
    }

    /// To the second, and to the last unit that is required.
    function test_withdrawalAtItsEdges() public {
        _chain.set(_LAST, 5, 1e8);
        _post(100);
        uint256 from = block.timestamp + _WAIT;
        vm.expectEmit(true, true, true, true, address(_court));
        emit ILedgerCourt.WithdrawalAnnounced(86, from);
        _court.announceWithdrawal(86);
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.TooEarly.selector, from));
        _court.withdraw(_TO);
        vm.warp(from);
        vm.expectRevert(abi.encodeWithSelector(ILedgerCourt.BondTooSmall.selector, 15, 14));
        _court.withdraw(_TO);
        _court.announceWithdrawal(85);
        vm.warp(from + _WAIT);
        vm.expectEmit(true, true, true, true, address(_court));
        emit ILedgerCourt.Withdrawn(_TO, 85);
        _court.withdraw(_TO);
        assertEq(_quote.balanceOf(_TO), 85, "paid");
        assertEq(_court.bond(), 15, "what is required stays");
        vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
        _court.withdraw(_TO);
    }

    function test_noMoreThanTheBondLeaves() public {
        _post(30);
        _quote.mint(address(_court), 5);
        _court.announceWithdrawal(1);
        skip(_WAIT);
        _court.withdraw(_TO);
        assertEq(_court.bond(), 29, "one unit is something");
        _court.announceWithdrawal(31);
        skip(_WAIT);
        _court.withdraw(_TO);
        assertEq(_quote.balanceOf(_TO), 30, "the bond, not what somebody sent");
        assertEq(_court.bond(), 0, "none left");
        _court.announceWithdrawal(1);
        skip(_WAIT);
        vm.expectRevert(ILedgerCourt.NothingToClaim.selector);
        _court.withdraw(_TO);
    }

    function test_onlyItsRoleTakesTheBond() public {
        _post(30);
        _court.announceWithdrawal(30);
        skip(_WAIT);
        bytes memory why = abi.encodeWithSelector(bytes4(keccak256("AccessManagedUnauthorized(address)")), _TO);
        vm.startPrank(_TO);
        vm.expectRevert(why);
        _court.withdraw(_TO);
        vm.expectRevert(why);
        _court.announceWithdrawal(1);
        vm.stopPrank();
    }

    /// Unpaid faults have pools of their own; all others of a batch and day share one.
    function test_poolsByBatchAndDay() public view {
        ILedgerCourt.Fault share = ILedgerCourt.Fault.WrongShare;
        bytes32 id = _court.poolId(share, 5, 6, 7);
        assertEq(id, keccak256(abi.encode(false, uint32(5), uint16(6), uint256(7))), "id");
        assertEq(_court.poolId(ILedgerCourt.Fault.Silence, 5, 6, 7), id, "shared");
        assertEq(
            _court.poolId(ILedgerCourt.Fault.Unpaid, 5, 6, 7),
            keccak256(abi.encode(true, uint32(5), uint16(6), uint256(7))),
            "its own"
        );
    }
}
