// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {FleetOracle} from "../../contracts/FleetOracle.sol";
import {Fixture} from "./utils/Fixture.sol";

/// @notice Stakes, and what signing two things at once costs.
contract OracleStakeTest is Fixture {
    FleetOracle private _oracle;
    uint256 private _stake;
    bytes32 private constant _A = keccak256("report A");
    bytes32 private constant _B = keccak256("report B");

    function setUp() public override {
        super.setUp();
        _oracle = sys.fleetOracle;
        _stake = _oracle.minStake();
        registerUnits(100e18);
        vm.warp(70_001 * EPOCH);
    }

    function _digest(bool ofValuation, uint32 epoch, uint16 round, bytes32 hash) private view returns (bytes32) {
        bytes32 kind = ofValuation
            ? keccak256("FleetValuation(uint32 epoch,uint16 round,bytes32 valuationHash)")
            : keccak256("FleetReport(uint32 epoch,uint16 round,bytes32 reportHash)");
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Liquid Hashrate FleetOracle"),
                keccak256("1"),
                block.chainid,
                address(_oracle)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, keccak256(abi.encode(kind, epoch, round, hash))));
    }

    function _sig(uint256 key, uint32 epoch, uint16 round, bytes32 hash) private view returns (bytes memory) {
        return signatureOf(key, _digest(false, epoch, round, hash));
    }

    function _slash(uint256 key, address reporter) private {
        bytes memory a = _sig(key, 70_000, 0, _A);
        bytes memory b = compactOf(key, _digest(false, 70_000, 0, _B));
        vm.prank(reporter);
        _oracle.equivocation(false, 70_000, 0, _A, a, _B, b);
    }

    /* EQUIVOCATION */

    /// Two reports, as signers sign them, one in 64 and one in 65 bytes.
    function test_twoReportsOfOneEpochAndRoundTakeTheStake() public {
        address signer = vm.addr(keys[1]);
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes memory a = signatureOf(keys[1], _oracle.reportDigest(report));
        bytes32 hashA = keccak256(abi.encode(report));
        report.quotePerBtc += 1;
        bytes memory b = compactOf(keys[1], _oracle.reportDigest(report));
        vm.prank(actor(9));
        _oracle.equivocation(false, report.epoch, 0, hashA, a, keccak256(abi.encode(report)), b);
        (uint256 left,) = _oracle.stakeOf(signer);
        assertEq(left, 0, "taken");
        assertTrue(_oracle.isSigner(signer) && !_oracle.counts(signer), "in the set, of no weight");
        assertEq(_oracle.rewardOf(actor(9)), _stake / 20, "5 %");
        assertEq(_oracle.forfeited(), _stake - _stake / 20, "the rest is nobody's");
        _oracle.claimReward(actor(9));
        assertEq(quote.balanceOf(actor(9)), _stake / 20, "claimed");
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NothingStaked.selector, actor(9)));
        _oracle.claimReward(actor(9));
    }

    function test_twoValuationsTakeTheStakeToo() public {
        bytes memory a = signatureOf(keys[0], _digest(true, 70_000, 0, _A));
        bytes memory b = signatureOf(keys[0], _digest(true, 70_000, 0, _B));
        vm.expectRevert();
        _oracle.equivocation(false, 70_000, 0, _A, a, _B, b);
        _oracle.equivocation(true, 70_000, 0, _A, a, _B, b);
        assertTrue(!_oracle.counts(vm.addr(keys[0])), "slashed");
    }

    function test_selfReportEarnsNothingNet() public {
        address signer = vm.addr(keys[0]);
        _slash(keys[0], signer);
        _oracle.claimReward(signer);
        assertEq(quote.balanceOf(signer), _stake / 20, "of its own stake, 95 % is gone");
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.AlreadySlashed.selector, signer, 70_000, 0));
        this.slashAgain(0);
    }

    function slashAgain(uint256 i) external {
        _slash(keys[i], address(this));
    }

    /// A new stake is not taken for an old fault, and is for a new one.
    function test_AlreadySlashed() public {
        address signer = vm.addr(keys[0]);
        _slash(keys[0], actor(9));
        address[] memory one = new address[](1);
        one[0] = signer;
        stakeFor(one);
        assertTrue(_oracle.counts(signer), "counts again");
        bytes memory a = _sig(keys[0], 70_000, 0, _A);
        bytes memory b = _sig(keys[0], 70_000, 0, _B);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.AlreadySlashed.selector, signer, 70_000, 0));
        _oracle.equivocation(false, 70_000, 0, _B, b, _A, a);
        a = _sig(keys[0], 70_000, 1, _A);
        b = _sig(keys[0], 70_000, 1, _B);
        _oracle.equivocation(false, 70_000, 1, _A, a, _B, b);
        (uint256 left,) = _oracle.stakeOf(signer);
        assertEq(left, 0, "taken again");
    }

    /// One report in two rounds or two epochs, on another chain or for another contract: no fault.
    function test_otherRoundEpochChainOrContractIsNoEquivocation() public {
        bytes memory a = _sig(keys[0], 70_000, 0, _A);
        bytes memory b = _sig(keys[0], 70_000, 1, _B);
        refuses(IFleetOracle.DifferentSigners.selector);
        _oracle.equivocation(false, 70_000, 0, _A, a, _B, b);
        b = _sig(keys[0], 70_001, 0, _B);
        refuses(IFleetOracle.DifferentSigners.selector);
        _oracle.equivocation(false, 70_000, 0, _A, a, _B, b);
        vm.chainId(5);
        b = _sig(keys[0], 70_000, 0, _B);
        vm.chainId(31_337);
        refuses(IFleetOracle.DifferentSigners.selector);
        _oracle.equivocation(false, 70_000, 0, _A, a, _B, b);
        address[] memory list = new address[](1);
        list[0] = vm.addr(keys[0]);
        FleetOracle elsewhere = new FleetOracle(address(this), address(this), address(quote), 1, list, 1, epochNow());
        b = _sig(keys[0], 70_000, 0, _B);
        refuses(IFleetOracle.DifferentSigners.selector);
        elsewhere.equivocation(false, 70_000, 0, _A, a, _B, b);
    }

    function test_DifferentSigners() public {
        bytes memory a = _sig(keys[0], 70_000, 0, _A);
        bytes memory b = _sig(keys[1], 70_000, 0, _B);
        vm.expectRevert(
            abi.encodeWithSelector(IFleetOracle.DifferentSigners.selector, vm.addr(keys[0]), vm.addr(keys[1]))
        );
        _oracle.equivocation(false, 70_000, 0, _A, a, _B, b);
    }

    /// Neither one signature twice nor its other forms are two reports.
    function test_SameHash() public {
        bytes memory a = _sig(keys[0], 70_000, 0, _A);
        bytes memory b = compactOf(keys[0], _digest(false, 70_000, 0, _A));
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.SameHash.selector, _A));
        _oracle.equivocation(false, 70_000, 0, _A, a, _A, b);
    }

    function test_badSignatureIsNoProof() public {
        bytes memory b = _sig(keys[0], 70_000, 0, _B);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.BadSignature.selector, 0));
        _oracle.equivocation(false, 70_000, 0, _A, new bytes(65), _B, b);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.DifferentSigners.selector, vm.addr(keys[0]), address(0)));
        _oracle.equivocation(false, 70_000, 0, _B, b, _A, "");
    }

    function test_NothingStaked() public {
        bytes memory a = _sig(0xBAD, 70_000, 0, _A);
        bytes memory b = _sig(0xBAD, 70_000, 0, _B);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NothingStaked.selector, vm.addr(0xBAD)));
        _oracle.equivocation(false, 70_000, 0, _A, a, _B, b);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.NothingStaked.selector, address(this)));
        _oracle.unstake(address(this));
    }

    /* STAKE */

    function test_StakeTooSmall() public {
        _slash(keys[0], actor(9));
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes32 digest = _oracle.reportDigest(report);
        bytes memory list = packed(digest, 2);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.StakeTooSmall.selector, vm.addr(keys[0]), 0));
        _oracle.post(report, list);
        bytes[] memory loose = signed(digest, 2);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.StakeTooSmall.selector, vm.addr(keys[0]), 0));
        _oracle.checkQuorum(digest, loose);
        // one less than enough is not enough
        quote.mint(address(this), _stake);
        quote.approve(address(_oracle), _stake);
        _oracle.stake(vm.addr(keys[0]), _stake - 1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.StakeTooSmall.selector, vm.addr(keys[0]), 0));
        _oracle.post(report, list);
        _oracle.stake(vm.addr(keys[0]), 1);
        _oracle.post(report, list);
    }

    function test_StakeTooLarge() public {
        quote.mint(address(this), type(uint96).max);
        quote.approve(address(_oracle), type(uint256).max);
        refuses(IFleetOracle.StakeTooLarge.selector);
        _oracle.stake(vm.addr(keys[0]), type(uint96).max);
    }

    function test_unstakeOnlyAfterLeavingAndTheWindow() public {
        address signer = vm.addr(keys[2]);
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.StillASigner.selector, signer));
        _oracle.unstake(signer);
        (, uint256 from) = _oracle.stakeOf(signer);
        assertEq(from, type(uint256).max, "bound");

        _replaceThird(vm.addr(0xC0FFEE));
        from = block.timestamp + 21 * EPOCH;
        vm.warp(from - 1);
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.UnstakeTooEarly.selector, from));
        _oracle.unstake(signer);
        // still slashable
        uint256 state = vm.snapshotState();
        _slash(keys[2], actor(9));
        vm.revertToState(state);
        skip(1);
        vm.prank(signer);
        _oracle.unstake(actor(3));
        assertEq(quote.balanceOf(actor(3)), _stake, "paid out");
    }

    /// Who left and came back is bound again, and counts at once by the stake that stayed.
    function test_comingBackBindsAgain() public {
        _replaceThird(vm.addr(0xC0FFEE));
        skip(30 * EPOCH);
        _replaceThird(vm.addr(keys[2]));
        assertTrue(_oracle.counts(vm.addr(keys[2])), "counts");
        vm.prank(vm.addr(keys[2]));
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.StillASigner.selector, vm.addr(keys[2])));
        _oracle.unstake(actor(3));
    }

    function test_anOldSetsSignaturesAreRefused() public {
        IFleetOracle.FleetReport memory report = reportOf(1);
        bytes memory list = packed(_oracle.reportDigest(report), 2);
        _replaceThird(vm.addr(0xC0FFEE));
        refuses(IFleetOracle.WrongConfig.selector);
        _oracle.post(report, list);
    }

    function _replaceThird(address other) private {
        address[] memory list = new address[](3);
        (list[0], list[1], list[2]) = (vm.addr(keys[0]), vm.addr(keys[1]), other);
        for (uint256 i = 2; i > 0 && list[i] < list[i - 1]; --i) {
            (list[i], list[i - 1]) = (list[i - 1], list[i]);
        }
        vm.prank(operator);
        _oracle.setSigners(list, 2);
    }

    /// A chain where money is real wants a stake.
    function test_productionNeedsAStake() public {
        address[] memory list = new address[](1);
        list[0] = address(1);
        vm.chainId(1);
        vm.expectRevert(abi.encodeWithSelector(IFleetOracle.StakeTooSmall.selector, address(0), 0));
        new FleetOracle(address(this), address(this), address(quote), 0, list, 1, epochNow());
    }
}

/// @notice Stakes, departures, faults and claims in any order: what the contract holds is what it owes.
contract OracleStakeInvariants is Fixture {
    uint256[] private _keys;
    uint256 private _staked;
    uint16 private _round;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 1; i <= 5; ++i) {
            _keys.push(0xF00 + i);
        }
        bytes4[] memory selectors = new bytes4[](6);
        (selectors[0], selectors[1], selectors[2]) = (this.stake.selector, this.choose.selector, this.slash.selector);
        (selectors[3], selectors[4], selectors[5]) = (this.unstake.selector, this.claim.selector, this.wait_.selector);
        target(address(this), selectors);
    }

    function stake(uint256 who, uint96 amount) external {
        uint256 sum = bound(amount, 1, 30e9);
        quote.mint(address(this), sum);
        quote.approve(address(sys.fleetOracle), sum);
        sys.fleetOracle.stake(vm.addr(_keys[who % 5]), sum);
    }

    /// @dev A set without one of the five.
    function choose(uint256 out) external {
        address[] memory list = new address[](4);
        uint256 n = 0;
        for (uint256 i = 0; i < 5; ++i) {
            if (i == out % 5) continue;
            list[n++] = vm.addr(_keys[i]);
            for (uint256 j = n - 1; j > 0 && list[j] < list[j - 1]; --j) {
                (list[j], list[j - 1]) = (list[j - 1], list[j]);
            }
        }
        vm.prank(operator);
        sys.fleetOracle.setSigners(list, 3);
    }

    function slash(uint256 who, uint256 reporter) external {
        uint256 key = _keys[who % 5];
        (uint256 amount,) = sys.fleetOracle.stakeOf(vm.addr(key));
        if (amount == 0) return;
        IFleetOracle.FleetReport memory report = reportOf(1);
        report.round = ++_round;
        bytes32 hash = keccak256(abi.encode(report));
        bytes memory a = signatureOf(key, sys.fleetOracle.reportDigest(report));
        report.quotePerBtc += 1;
        bytes memory b = signatureOf(key, sys.fleetOracle.reportDigest(report));
        vm.prank(actor(reporter % 3));
        sys.fleetOracle.equivocation(false, report.epoch, report.round, hash, a, keccak256(abi.encode(report)), b);
    }

    function unstake(uint256 who) external {
        address signer = vm.addr(_keys[who % 5]);
        (uint256 amount, uint256 from) = sys.fleetOracle.stakeOf(signer);
        if (amount == 0 || block.timestamp < from) return;
        vm.prank(signer);
        sys.fleetOracle.unstake(signer);
    }

    function claim(uint256 who) external {
        if (sys.fleetOracle.rewardOf(actor(who % 3)) != 0) sys.fleetOracle.claimReward(actor(who % 3));
    }

    function wait_(uint256 epochs) external {
        skip(bound(epochs, 1, 12) * EPOCH);
    }

    function invariant_whatIsHeldIsOwedOrForfeited() public view {
        FleetOracle oracle = sys.fleetOracle;
        uint256 sum = oracle.forfeited();
        for (uint256 i = 0; i < 5; ++i) {
            (uint256 amount,) = oracle.stakeOf(vm.addr(_keys[i]));
            sum += amount;
            bool able = amount >= oracle.minStake() && oracle.isSigner(vm.addr(_keys[i]));
            assertTrue(oracle.counts(vm.addr(_keys[i])) == able, "counts by its stake");
        }
        for (uint256 i = 0; i < 3; ++i) {
            (uint256 amount,) = oracle.stakeOf(vm.addr(keys[i]));
            sum += amount + oracle.rewardOf(actor(i));
        }
        address[] memory declared = vm.parseJsonAddressArray(configuration(), ".signers");
        for (uint256 i = 0; i < declared.length; ++i) {
            (uint256 amount,) = oracle.stakeOf(declared[i]);
            sum += amount;
        }
        assertEq(quote.balanceOf(address(oracle)), sum, "held = stakes + rewards + forfeited");
    }
}
