// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPositionMarket} from "../../contracts/interfaces/IPositionMarket.sol";
import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {LpShare} from "../../contracts/tokens/LpShare.sol";
import {Hostilities, TurncoatPolicy} from "./utils/Hostilities.sol";

/// @notice One call for each function that tests/contracts/functions.json calls an exit, under the hostilities.
contract ExitCallsTest is Hostilities {
    /* UNITS */

    /// The policy alone may restrict who receives from another holder: it is the one hostility lifted here.
    function exit_HashrateUnit_transfer() external {
        TurncoatPolicy(_POLICY).turn(false);
        vm.prank(_holder);
        unit.transfer(_CLEAN, 50e18);
        assertEq(unit.balanceOf(_CLEAN), 50e18, "received");
    }

    /// By a venue, the policy is not asked.
    function exit_HashrateUnit_transferFrom() external {
        vm.prank(address(line.queue));
        unit.transferFrom(_holder, _CLEAN, 50e18);
        assertEq(unit.balanceOf(_CLEAN), 50e18, "received");
    }

    function exit_HashrateUnit_approve() external {
        vm.prank(_holder);
        unit.approve(_CLEAN, 7);
        assertEq(unit.allowance(_holder, _CLEAN), 7, "allowed");
    }

    function exit_HashrateUnit_permit() external {
        _permit(ITwabToken(line.unit));
    }

    function _permit(ITwabToken token) private {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                _holder,
                _CLEAN,
                9,
                0,
                block.timestamp
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(_KEY, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash)));
        token.permit(_holder, _CLEAN, 9, block.timestamp, v, r, s);
        assertEq(token.allowance(_holder, _CLEAN), 9, "allowed");
    }

    /* LP SHARES */

    function _share() private view returns (LpShare) {
        return LpShare(line.pool.lpShare());
    }

    function exit_LpShare_transfer() external {
        LpShare share = _share();
        uint256 held = share.balanceOf(_lp);
        vm.prank(_lp);
        share.transfer(_CLEAN, held);
        assertTrue(held != 0 && share.balanceOf(_CLEAN) == held, "received");
    }

    function exit_LpShare_transferFrom() external {
        LpShare share = _share();
        vm.prank(_lp);
        share.approve(_buyer, 5);
        vm.prank(_buyer);
        share.transferFrom(_lp, _CLEAN, 5);
        assertEq(share.balanceOf(_CLEAN), 5, "received");
    }

    function exit_LpShare_approve() external {
        LpShare share = _share();
        vm.prank(_lp);
        share.approve(_CLEAN, 7);
        assertEq(share.allowance(_lp, _CLEAN), 7, "allowed");
    }

    function exit_LpShare_permit() external {
        _permit(ITwabToken(address(_share())));
    }

    /* POOL AND QUEUE */

    /// An instant sale is at a fresh value or not at all; without one, the queue below is the way. Paid to an account
    /// that the quote token has not listed.
    function exit_BuybackPool_sell() external {
        _refresh();
        vm.prank(_holder);
        uint256 quote = line.pool.sell(10e18, 0, _CLEAN);
        assertTrue(quote != 0 && ITwabToken(_QUOTE).balanceOf(_CLEAN) == quote, "paid");
    }

    function exit_BuybackPool_roll() external {
        line.pool.roll();
        assertEq(line.pool.state().settledEpoch, epochNow(), "rolled");
    }

    function exit_BuybackPool_requestWithdraw() external {
        uint256 shares = _share().balanceOf(_lp);
        vm.prank(_lp);
        line.pool.requestWithdraw(shares);
        assertEq(_share().locked(_lp), shares, "asked");
    }

    /// In kind and without a price; the listed LP names an account that is not, and one that does not gets the units.
    function exit_BuybackPool_withdrawSettled() external {
        this.exit_BuybackPool_requestWithdraw();
        skip(EPOCH);
        vm.startPrank(_lp);
        (uint256 none, uint256 units) = line.pool.withdrawSettled(_lp);
        (uint256 quote,) = line.pool.withdrawSettled(_CLEAN);
        vm.stopPrank();
        assertTrue(none == 0 && units != 0 && unit.balanceOf(_lp) == units, "units are not held back");
        assertTrue(quote != 0 && ITwabToken(_QUOTE).balanceOf(_CLEAN) == quote, "quote to another account");
    }

    function exit_ExitQueue_enqueue() external {
        vm.prank(_holder);
        line.queue.enqueue(20e18);
        assertEq(line.queue.queuedUnits(), 35e18, "queued");
    }

    function exit_ExitQueue_takeBack() external {
        uint256 before = unit.balanceOf(_holder);
        vm.prank(_holder);
        assertEq(line.queue.takeBack(_ticket), 10e18, "all of it");
        assertEq(unit.balanceOf(_holder), before + 10e18, "back");
    }

    /// Past the head that refuses every call: at the last bid less 2 % an epoch while the oracle is silent, and pro rata
    /// after 21 epochs of it.
    function exit_ExitQueue_settle() external {
        (uint256 units,) = line.queue.settle(2);
        assertEq(units, 15e18, "head and holder");
        assertTrue(line.queue.claimable(_holder) != 0, "credited");
        assertTrue(line.queue.claimable(_HEAD) != 0, "the head too: it stops nobody");
    }

    function exit_ExitQueue_claim() external {
        line.queue.settle(2);
        vm.prank(_holder);
        uint256 quote = line.queue.claim(_CLEAN);
        assertTrue(quote != 0 && ITwabToken(_QUOTE).balanceOf(_CLEAN) == quote, "paid");
    }

    /* MARKET */

    function exit_PositionMarket_post() external {
        IPositionMarket.Order memory order = _post(_holder, 0);
        (, bool cancelled) = _market().orderState(order);
        assertTrue(!cancelled, "posted");
    }

    /// Between two accounts that the quote token lets pay: the policy is hostile, and is not asked.
    function exit_PositionMarket_fill() external {
        _unlist();
        IPositionMarket.Order memory order = _post(_buyer, 1);
        vm.prank(_holder);
        assertEq(_market().fill(order, "", 1e18), 21e6, "sold");
        assertEq(unit.balanceOf(_buyer), 1e18, "received");
    }

    function exit_PositionMarket_fillRfq() external {
        _unlist();
        IPositionMarket.RfqOrder memory order =
            IPositionMarket.RfqOrder(_holder, address(0), line.unit, _QUOTE, 0, 2e18, 42e6, type(uint40).max, 0, 7);
        bytes memory signature = _signed(_market().rfqHash(order));
        vm.prank(_buyer);
        assertEq(_market().fillRfq(order, signature), 42e6, "sold");
    }

    function exit_PositionMarket_fillUpTo() external {
        _unlist();
        IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](1);
        orders[0] = _post(_buyer, 1);
        IPositionMarket.FillLimits memory limits =
            IPositionMarket.FillLimits(line.unit, _QUOTE, 1, 3e18, 3e18, type(uint256).max, 0);
        vm.prank(_holder);
        (uint256 base,) = _market().fillUpTo(orders, new bytes[](1), limits);
        assertEq(base, 3e18, "sold");
    }

    function exit_PositionMarket_matchOrders() external {
        _unlist();
        IPositionMarket.Order memory sell = _post(_holder, 0);
        IPositionMarket.Order memory buy = _post(_buyer, 1);
        (uint256 base,) = _market().matchOrders(sell, "", buy, "", 4e18);
        assertEq(base, 4e18, "sold");
    }

    function exit_PositionMarket_cancel() external {
        IPositionMarket.Order memory order = _post(_holder, 0);
        vm.prank(_holder);
        _market().cancel(order);
        (, bool cancelled) = _market().orderState(order);
        assertTrue(cancelled, "cancelled");
    }

    function exit_PositionMarket_cancelAll() external {
        vm.prank(_holder);
        assertEq(_market().cancelAll(), 1, "next epoch");
    }

    function exit_PositionMarket_cancelGroup() external {
        vm.prank(_holder);
        _market().cancelGroup(0);
        (, bool cancelled) = _market().orderState(_order(_holder, 0));
        assertTrue(cancelled, "cancelled");
    }

    function exit_PositionMarket_cancelRfq() external {
        vm.prank(_holder);
        _market().cancelRfq(7);
        assertTrue(_market().rfqUsed(_holder, 7), "used");
    }

    function exit_PositionMarket_cancelRfqWord() external {
        vm.prank(_holder);
        _market().cancelRfqWord(0, 1 << 9);
        assertTrue(_market().rfqUsed(_holder, 9), "used");
    }

    function exit_PositionMarket_permit() external {
        // a permit that fails harms nobody
        _market().permit(line.unit, _holder, 1, 0, 27, 0, 0);
    }

    function exit_PositionMarket_multicall() external {
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(_market().cancelRfq, (11));
        vm.prank(_holder);
        _market().multicall(calls);
        assertTrue(_market().rfqUsed(_holder, 11), "used");
    }

    /* PAYOUT ADDRESS */

    function exit_PayoutRegistry_setScript() external {
        vm.prank(_holder);
        sys.payoutRegistry.setScript(abi.encodePacked(hex"0014", bytes20("holder")), 0);
        assertTrue(sys.payoutRegistry.entryAt(_holder, epochNow() + 1).scriptHash != 0, "registered");
    }

    function exit_PayoutRegistry_cancel() external {
        this.exit_PayoutRegistry_setScript();
        vm.prank(_holder);
        sys.payoutRegistry.cancel();
        assertTrue(sys.payoutRegistry.entryAt(_holder, epochNow() + 1).scriptHash == 0, "cancelled");
    }

    /* DEPOSITS */

    /// A signer who was replaced, after the 21 epochs in which the stake answers, to an account that the quote token has not listed.
    function exit_FleetOracle_unstake() external {
        uint256 staked = sys.fleetOracle.minStake();
        skip(21 * EPOCH);
        vm.prank(_leaver);
        sys.fleetOracle.unstake(_CLEAN);
        assertEq(ITwabToken(_QUOTE).balanceOf(_CLEAN), staked, "paid");
    }

    function exit_FleetOracle_claimReward() external {
        sys.fleetOracle.claimReward(_CLEAN);
        assertEq(ITwabToken(_QUOTE).balanceOf(_CLEAN), sys.fleetOracle.minStake() / 20, "paid");
    }

    function exit_SeriesUpgrader_cancel() external {
        vm.prank(operator);
        sys.seriesUpgrader.cancel(1);
        assertEq(sys.seriesUpgrader.refundOf(operator), 1000e6, "all that was brought");
    }

    function exit_SeriesUpgrader_takeRefund() external {
        this.exit_SeriesUpgrader_cancel();
        vm.prank(operator);
        sys.seriesUpgrader.takeRefund(_CLEAN);
        assertEq(ITwabToken(_QUOTE).balanceOf(_CLEAN), 1000e6, "paid");
    }

    function exit_RegistrarBond_claimReward() external {
        sys.registrarBond.claimReward(_CLEAN);
        assertEq(ITwabToken(_QUOTE).balanceOf(_CLEAN), 50e6, "5 % of the penalty");
    }

    function exit_RegistrarBond_forward() external {
        sys.registrarBond.forward(1);
        assertEq(sys.seriesUpgrader.hardwareCash(1), 950e6, "for new hardware of the harmed series");
    }

    /* ALL OF THEM */

    function test_everyExitIsOpenUnderAllHostilities() public {
        string memory json = vm.readFile("tests/contracts/functions.json");
        string[] memory contracts_ = vm.parseJsonKeys(json, "$");
        uint256 count = 0;
        for (uint256 i = 0; i < contracts_.length; ++i) {
            string[] memory names = vm.parseJsonKeys(json, string.concat(".", contracts_[i]));
            for (uint256 j = 0; j < names.length; ++j) {
                string memory kind = vm.parseJsonString(json, string.concat(".", contracts_[i], ".", names[j]));
                if (keccak256(bytes(kind)) != keccak256("exit")) continue;
                uint256 state = vm.snapshotState();
                string memory call = string.concat("exit_", contracts_[i], "_", names[j]);
                (bool ok,) = address(this).call(abi.encodeWithSignature(string.concat(call, "()")));
                assertTrue(ok, call);
                vm.revertToState(state);
                ++count;
            }
        }
        assertEq(count, 36, "exits");
    }
}

/// @notice The same while the queue settles at a price that decays, before the wind-down.
contract ExitCallsBeforeWindDownTest is ExitCallsTest {
    function _silence() internal pure override returns (uint256) {
        return 8;
    }
}
