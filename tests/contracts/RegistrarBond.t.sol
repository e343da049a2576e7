// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IRegistrarBond} from "../../contracts/interfaces/IRegistrarBond.sol";
import {ISeriesRegistry} from "../../contracts/interfaces/ISeriesRegistry.sol";
import {RegistrarBond} from "../../contracts/RegistrarBond.sol";
import {UpgradeFixture} from "./utils/UpgradeFixture.sol";

/// @notice Series 1 registers a second batch of three machines, series 2 one machine that is among them.
contract RegistrarBondTest is UpgradeFixture {
    RegistrarBond private _bond;
    uint16 private _other;
    bytes32[3] private _leaves;
    bytes32 private _three;
    bytes32 private _pair;
    bytes private constant _A = "MicroBTA";
    bytes private constant _B = "MicroBTB";
    bytes private constant _C = "MicroBTC";
    address private constant _WATCHER = address(0x3A7C);

    function setUp() public override {
        vm.warp(70_000 * EPOCH + 100);
        _leaves = [keccak256(_A), keccak256(_B), keccak256(_C)];
        super.setUp();
        _bond = sys.registrarBond;
        _three = _node(_node(_leaves[0], _leaves[1]), _leaves[2]);
        _pair = _node(_leaves[2], keccak256("Bitmain1"));
        _registerRoot(_three);
        _other = secondSeries(_pair);
    }

    function configuration() internal view override returns (string memory) {
        return vm.replace(vm.readFile("scripts/deploy/dev.json"), "\"registrar\": 0", "\"registrar\": 1000000000");
    }

    /// @dev Registration needs the deposit from the first batch on.
    function registerUnits(uint96 units) internal override {
        if (sys.registrarBond.bond() == 0) {
            fund(operator, 5000e6, address(sys.registrarBond));
            vm.prank(operator);
            sys.registrarBond.post(1500e6);
        }
        super.registerUnits(units);
    }

    function _node(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    function _registerRoot(bytes32 root) private {
        ISeriesRegistry.Batch memory batch = batchOf(10e18);
        batch.machineRoot = root;
        registry.registerBatch(batch, signed(registry.batchDigest(batch), 2));
    }

    function _inThree() private view returns (IRegistrarBond.Place memory place) {
        place = IRegistrarBond.Place(_three, new bytes32[](1));
        place.branch[0] = _node(_leaves[0], _leaves[1]);
    }

    function _inPair() private view returns (IRegistrarBond.Place memory place) {
        place = IRegistrarBond.Place(_pair, new bytes32[](1));
        place.branch[0] = keccak256("Bitmain1");
    }

    function _show() private {
        vm.prank(_WATCHER);
        _bond.duplicateSerial(_C, _inThree(), _inPair());
    }

    function _mintIsStopped(uint16 id, bytes32 root) private {
        ISeriesRegistry.Batch memory batch = ISeriesRegistry.Batch(id, 1, 1e18, root, 0, registry.batchCount(id));
        bytes[] memory list = signed(registry.batchDigest(batch), 2);
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.MintStopped.selector, id));
        registry.registerBatch(batch, list);
    }

    function test_duplicateAcrossSeriesStopsBothAndCosts() public {
        _show();
        _mintIsStopped(1, keccak256("x"));
        _mintIsStopped(_other, keccak256("y"));
        assertEq(_bond.bond(), 500e6, "the minimum is taken");
        assertEq(_bond.rewardOf(_WATCHER), 50e6, "5 % to who showed it");
        assertEq(_bond.owedTo(1) + _bond.owedTo(_other), 950e6, "the rest to the two series");
        assertEq(_bond.owedTo(1), 475e6, "by halves");
        _bond.claimReward(_WATCHER);
        _bond.forward(1);
        _bond.forward(_other);
        assertEq(quote.balanceOf(_WATCHER), 50e6, "taken");
        assertEq(upgrader.hardwareCash(1), 475e6, "for new hardware");
        assertEq(upgrader.hardwareCash(_other), 475e6, "of both");
        assertEq(quote.balanceOf(address(_bond)), _bond.bond(), "nothing else is left");
        refuses(IRegistrarBond.NothingToTake.selector);
        _bond.forward(1);
        refuses(IRegistrarBond.NothingToTake.selector);
        _bond.claimReward(_WATCHER);
    }

    /// Holders go on: only new units are stopped.
    function test_aFaultStopsMintOnly() public {
        _show();
        vm.prank(address(sys.primarySale));
        unit.transfer(actor(1), 5e18);
        vm.startPrank(actor(1));
        unit.approve(address(line.queue), 5e18);
        line.queue.takeBack(line.queue.enqueue(5e18));
        vm.stopPrank();
    }

    function test_duplicateWithinOneRoot() public {
        // C is listed twice: as the odd leaf, and in the pair below
        bytes32 inner = _node(_leaves[0], _leaves[2]);
        bytes32 root = _node(inner, _leaves[2]);
        _registerRoot(root);
        IRegistrarBond.Place memory a = IRegistrarBond.Place(root, new bytes32[](1));
        a.branch[0] = inner;
        IRegistrarBond.Place memory b = IRegistrarBond.Place(root, new bytes32[](2));
        (b.branch[0], b.branch[1]) = (_leaves[0], _leaves[2]);
        refuses(IRegistrarBond.SamePlace.selector);
        _bond.duplicateSerial(_C, a, a);
        _bond.duplicateSerial(_C, a, b);
        assertEq(_bond.openFaults(1), 1, "one root, one fault");
        assertEq(_bond.owedTo(1), 950e6, "all to that series");
    }

    function test_honestRootsCannotBeAccused() public {
        IRegistrarBond.Place memory three = _inThree();
        IRegistrarBond.Place memory pair = _inPair();
        // another machine, a foreign branch, an unregistered root, an inner node, one place twice
        vm.expectRevert(abi.encodeWithSelector(IRegistrarBond.NotUnder.selector, _three));
        _bond.duplicateSerial(_B, three, pair);
        (IRegistrarBond.Place memory bad) = IRegistrarBond.Place(_pair, three.branch);
        vm.expectRevert(abi.encodeWithSelector(IRegistrarBond.NotUnder.selector, _pair));
        _bond.duplicateSerial(_C, three, bad);
        bad = IRegistrarBond.Place(keccak256(_C), new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(IRegistrarBond.UnknownRoot.selector, keccak256(_C)));
        _bond.duplicateSerial(_C, three, bad);
        // an inner node under its right branch: its preimage of 64 bytes is no machine, whatever a padded tree repeats
        bad = IRegistrarBond.Place(_three, new bytes32[](1));
        bad.branch[0] = _leaves[2];
        (bytes32 low, bytes32 high) = (_leaves[0], _leaves[1]);
        if (low > high) (low, high) = (high, low);
        vm.expectRevert(abi.encodeWithSelector(IRegistrarBond.NotUnder.selector, _three));
        _bond.duplicateSerial(abi.encode(low, high), bad, pair);
        refuses(IRegistrarBond.SamePlace.selector);
        _bond.duplicateSerial(_C, three, three);
    }

    function test_aPairCostsOnce() public {
        _show();
        refuses(IRegistrarBond.AlreadyShown.selector);
        _bond.duplicateSerial(_C, _inThree(), _inPair());
        refuses(IRegistrarBond.AlreadyShown.selector);
        _bond.duplicateSerial(_C, _inPair(), _inThree());
        assertEq(_bond.bond(), 500e6, "once");
    }

    /// New machines in place of those under the faulty root end its fault, and not the other's.
    function test_anUpgradeClearsItsFault() public {
        _show();
        vm.expectRevert(abi.encodeWithSelector(IRegistrarBond.StillLive.selector, _three));
        _bond.clearFault(_three);
        upgradeBy(upgradeOf(_three, keccak256("replacement")));
        _bond.clearFault(_three);
        refuses(IRegistrarBond.StillLive.selector);
        _bond.clearFault(_three);
        assertEq(_bond.openFaults(1), 0, "cleared");
        assertEq(_bond.openFaults(_other), 1, "not of the other");
        _mintIsStopped(1, keccak256("x")); // the deposit is below its minimum now
        vm.prank(operator);
        _bond.post(500e6);
        _registerRoot(keccak256("goes on"));
    }

    /// Across generations: a retired serial that comes back is a duplicate too.
    function test_retiredSerialsStayTaken() public {
        upgradeBy(upgradeOf(_three, _node(_leaves[1], keccak256("new"))));
        IRegistrarBond.Place memory now_ = IRegistrarBond.Place(_node(_leaves[1], keccak256("new")), new bytes32[](1));
        now_.branch[0] = keccak256("new");
        IRegistrarBond.Place memory then = IRegistrarBond.Place(_three, new bytes32[](2));
        (then.branch[0], then.branch[1]) = (_leaves[0], _leaves[2]);
        _bond.duplicateSerial(_B, then, now_);
        assertEq(_bond.openFaults(1), 1, "the live root");
        // nor does the retired root itself come back
        ISeriesRegistry.Batch memory batch = batchOf(10e18);
        batch.machineRoot = _three;
        vm.prank(operator);
        _bond.post(2000e6);
        bytes[] memory list = signed(registry.batchDigest(batch), 2);
        refuses(ISeriesRegistry.MintStopped.selector);
        registry.registerBatch(batch, list);
    }

    function test_RootTaken() public {
        ISeriesRegistry.Batch memory batch = batchOf(10e18);
        batch.machineRoot = _pair;
        bytes[] memory list = signed(registry.batchDigest(batch), 2);
        vm.expectRevert(abi.encodeWithSelector(ISeriesRegistry.RootTaken.selector, _pair, _other));
        registry.registerBatch(batch, list);
    }

    /* THE DEPOSIT */

    function test_announcedDepositStillPays() public {
        vm.startPrank(operator);
        _bond.announceWithdrawal(1500e6);
        vm.stopPrank();
        _mintIsStopped(1, keccak256("x"));
        _show();
        assertEq(_bond.bond(), 500e6, "taken from what was announced");
        vm.startPrank(operator);
        refuses(IRegistrarBond.TooEarly.selector);
        _bond.withdraw(operator);
        skip(7 days);
        _bond.withdraw(address(0xD1));
        refuses(IRegistrarBond.NothingToTake.selector);
        _bond.withdraw(operator);
        vm.stopPrank();
        assertEq(quote.balanceOf(address(0xD1)), 500e6, "what is left");
        _bond.claimReward(_WATCHER);
        _bond.forward(1);
        _bond.forward(_other);
    }

    function test_onlyTheOperatorWithdrawsTheDeposit() public {
        refuses(bytes4(keccak256("AccessManagedUnauthorized(address)")));
        _bond.announceWithdrawal(1);
        refuses(bytes4(keccak256("AccessManagedUnauthorized(address)")));
        _bond.withdraw(address(this));
    }

    /// The operator gains nothing by showing its own fault.
    function testFuzz_selfAccusationCosts(uint256 extra) public {
        extra = bound(extra, 0, 1000e6);
        vm.startPrank(operator);
        _bond.post(extra);
        uint256 before = _bond.bond() + quote.balanceOf(operator);
        _bond.duplicateSerial(_C, _inThree(), _inPair());
        _bond.claimReward(operator);
        assertEq(_bond.bond() + quote.balanceOf(operator), before - 950e6, "95 % are gone");
        vm.stopPrank();
    }

    function test_NoMinimumOnProduction() public {
        vm.chainId(1);
        address quoteToken = sys.quote;
        vm.expectRevert(IRegistrarBond.NoMinimum.selector);
        new RegistrarBond(sys.accessManager, address(registry), quoteToken, 0);
    }
}
