// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ITwabToken} from "../../contracts/interfaces/ITwabToken.sol";
import {LpShare} from "../../contracts/tokens/LpShare.sol";
import {PlainToken} from "./utils/Mocks.sol";
import {Test} from "./utils/Test.sol";

contract TwabTokenTest is Test {
    PlainToken private _token;
    uint256 private constant _KEY = 0xBEEF;
    address private constant _A = address(0xA11CE);
    address private constant _B = address(0xB0B);

    function setUp() public {
        vm.warp(70_000 * EPOCH);
        _token = new PlainToken(address(this));
    }

    /* WEIGHTS */

    function test_mintedMidEpochWeighsFromItsSecond() public {
        skip(EPOCH / 4);
        _token.mint(_A, 100);
        uint32 e = epochNow();
        skip(EPOCH);
        assertEq(_token.balanceSeconds(_A, e), 100 * (EPOCH - EPOCH / 4), "weight");
        assertEq(_token.totalBalanceSeconds(e), 100 * (EPOCH - EPOCH / 4), "supply weight");
        assertEq(_token.balanceSeconds(address(0), e), 0, "nobody is address zero");
        assertEq(_token.balanceOf(address(0)), 0, "balance of zero");
    }

    function test_movesWithinABlockWeighNothing() public {
        _token.mint(_A, 1000);
        skip(1000);
        vm.prank(_A);
        _token.transfer(_B, 1000);
        vm.prank(_B);
        _token.transfer(_A, 1000);
        uint32 e = epochNow();
        skip(EPOCH);
        assertEq(_token.balanceSeconds(_B, e), 0, "flash");
        assertEq(_token.balanceSeconds(_A, e), 1000 * EPOCH, "holder");
    }

    function test_saleSplitsToTheSecond() public {
        _token.mint(_A, 7);
        skip(12_345);
        vm.prank(_A);
        _token.transfer(_B, 3);
        uint32 e = epochNow();
        skip(EPOCH);
        assertEq(_token.balanceSeconds(_A, e), 7 * 12_345 + 4 * (EPOCH - 12_345), "seller");
        assertEq(_token.balanceSeconds(_B, e), 3 * (EPOCH - 12_345), "buyer");
    }

    /// The trap: an account idle for longer than the ring, then touched.
    function testFuzz_idleBeyondTheRing(uint16 idle, uint32 offset) public {
        uint256 epochs = bound(idle, 1, 2000);
        _token.mint(_A, 5);
        skip(epochs * EPOCH + bound(offset, 0, EPOCH - 1));
        vm.prank(_A);
        _token.transfer(_B, 2);
        uint32 current = epochNow();
        for (uint32 e = current - 1; e + 31 >= current && e >= 70_000; --e) {
            assertEq(_token.balanceSeconds(_A, e), 5 * EPOCH, "idle holder");
            assertEq(_token.totalBalanceSeconds(e), 5 * EPOCH, "supply");
        }
    }

    function test_selfTransferChangesNothing() public {
        _token.mint(_A, 10);
        skip(50);
        vm.prank(_A);
        _token.transfer(_A, 10);
        assertEq(_token.balanceOf(_A), 10, "balance");
        assertEq(_token.totalSupply(), 10, "supply");
    }

    function test_pinKeepsAValuePastTheRing() public {
        _token.mint(_A, 10);
        uint32 e = epochNow();
        skip(EPOCH);
        assertEq(_token.pin(_A, e), 10 * EPOCH, "pinned");
        _token.pin(address(0), e);
        _token.pin(_B, e);
        skip(100 * EPOCH);
        assertEq(_token.balanceSeconds(_A, e), 10 * EPOCH, "read back");
        assertEq(_token.totalBalanceSeconds(e), 10 * EPOCH, "supply read back");
        assertEq(_token.balanceSeconds(_B, e), 0, "a pinned zero");
        assertEq(_token.pin(_A, e), 10 * EPOCH, "again");
    }

    /* ERRORS */

    function test_EpochNotFinished() public {
        uint32 e = epochNow();
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.EpochNotFinished.selector, e));
        _token.balanceSeconds(_A, e);
        skip(EPOCH - 1);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.EpochNotFinished.selector, e));
        _token.pin(_A, e);
        skip(1);
        _token.balanceSeconds(_A, e);
    }

    function test_EpochOutOfWindow() public {
        _token.mint(_A, 1);
        uint32 e = epochNow();
        skip(31 * EPOCH);
        assertEq(_token.balanceSeconds(_A, e), EPOCH, "the 31st closed epoch");
        skip(EPOCH);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.EpochOutOfWindow.selector, e));
        _token.balanceSeconds(_A, e);
    }

    function test_InsufficientBalance() public {
        _token.mint(_A, 5);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.InsufficientBalance.selector, _A, 5, 6));
        vm.prank(_A);
        _token.transfer(_B, 6);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.InsufficientBalance.selector, _A, 5, 6));
        _token.burn(_A, 6);
        // the supply is no balance
        refuses(ITwabToken.InsufficientBalance.selector);
        vm.prank(address(0));
        _token.transfer(_B, 1);
    }

    function test_InsufficientAllowance() public {
        _token.mint(_A, 5);
        vm.prank(_A);
        _token.approve(_B, 2);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.InsufficientAllowance.selector, _A, _B, 2, 3));
        vm.prank(_B);
        _token.transferFrom(_A, _B, 3);
        vm.prank(_B);
        _token.transferFrom(_A, _B, 2);
        assertEq(_token.allowance(_A, _B), 0, "spent");
    }

    function test_InvalidReceiver() public {
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.InvalidReceiver.selector, address(0)));
        _token.mint(address(0), 1);
        _token.mint(_A, 1);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.InvalidReceiver.selector, address(_token)));
        vm.prank(_A);
        _token.transfer(address(_token), 1);
    }

    function test_SupplyOverflow() public {
        _token.mint(_A, type(uint96).max);
        refuses(ITwabToken.SupplyOverflow.selector);
        _token.mint(_A, 1);
        skip(100 * 365 days % (2 ** 31));
        vm.prank(_A);
        _token.transfer(_B, type(uint96).max);
        assertEq(_token.balanceSeconds(_A, epochNow() - 1), uint256(type(uint96).max) * EPOCH, "no overflow");
    }

    function test_OnlyMinter() public {
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.OnlyMinter.selector, _A));
        vm.prank(_A);
        _token.mint(_A, 1);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.OnlyMinter.selector, _A));
        vm.prank(_A);
        _token.burn(_A, 1);
    }

    function test_permit() public {
        address owner = vm.addr(_KEY);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_KEY, _permitDigest(owner, 9, 0, block.timestamp));
        _token.permit(owner, _B, 9, block.timestamp, v, r, s);
        assertEq(_token.allowance(owner, _B), 9, "allowance");
        assertEq(_token.nonces(owner), 1, "nonce");
        refuses(ITwabToken.InvalidPermit.selector);
        _token.permit(owner, _B, 9, block.timestamp, v, r, s);
    }

    /// As wallets compute it.
    function test_domain() public view {
        bytes32 kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 expected =
            keccak256(abi.encode(kind, keccak256("Plain"), keccak256("1"), block.chainid, address(_token)));
        assertEq(_token.DOMAIN_SEPARATOR(), expected, "domain");
    }

    /// What is burnt was locked, and is locked no longer.
    function test_burntSharesWereLocked() public {
        LpShare share = new LpShare(address(this), _B, "LP", "LP");
        share.mint(_A, 10);
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        share.burn(_A, 1);
        share.lock(_A, 7);
        share.burn(_A, 4);
        assertEq(share.locked(_A), 3, "locked");
        assertEq(share.balanceOf(_A), 6, "held");
    }

    function test_PermitExpired() public {
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.PermitExpired.selector, block.timestamp - 1));
        _token.permit(_A, _B, 1, block.timestamp - 1, 27, 0, 0);
    }

    function test_InvalidPermit() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_KEY, _permitDigest(_A, 9, 0, block.timestamp));
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.InvalidPermit.selector, _A));
        _token.permit(_A, _B, 9, block.timestamp, v, r, s);
        vm.expectRevert(abi.encodeWithSelector(ITwabToken.InvalidPermit.selector, address(0)));
        _token.permit(address(0), _B, 9, block.timestamp, 27, 0, 0);
    }

    function _permitDigest(address owner, uint256 value, uint256 nonce, uint256 deadline)
        private
        view
        returns (bytes32)
    {
        bytes32 permit = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 inner = keccak256(abi.encode(permit, owner, _B, value, nonce, deadline));
        return keccak256(abi.encodePacked(hex"1901", _token.DOMAIN_SEPARATOR(), inner));
    }
}

/// @notice Moves units at random and keeps the whole history of every balance.
contract TwabHandler is Test {
    struct Change {
        uint256 time;
        uint256 balance;
    }

    uint256 public constant ACTORS = 5;
    PlainToken public token;
    /// actor ACTORS stands for the supply
    mapping(uint256 who => Change[]) private _history;

    constructor() {
        token = new PlainToken(address(this));
    }

    function mint(uint256 to, uint256 amount, uint256 wait) external {
        _wait(wait);
        to %= ACTORS;
        token.mint(actor(to), bound(amount, 1, 1e24));
        _note(to);
        _note(ACTORS);
    }

    function burn(uint256 from, uint256 amount, uint256 wait) external {
        _wait(wait);
        from %= ACTORS;
        token.burn(actor(from), bound(amount, 0, token.balanceOf(actor(from))));
        _note(from);
        _note(ACTORS);
    }

    function move(uint256 from, uint256 to, uint256 amount, uint256 wait) external {
        _wait(wait);
        from %= ACTORS;
        to %= ACTORS;
        uint256 units = bound(amount, 0, token.balanceOf(actor(from)));
        vm.prank(actor(from));
        token.transfer(actor(to), units);
        _note(from);
        _note(to);
    }

    /// Steps from zero to beyond the ring of 32 epochs.
    function _wait(uint256 seed) private {
        uint256 kind = seed % 8;
        if (kind < 3) return;
        skip((seed >> 8) % (kind < 5 ? EPOCH : kind < 7 ? 5 * EPOCH : 70 * EPOCH));
    }

    function _note(uint256 who) private {
        _history[who].push(Change(block.timestamp, who == ACTORS ? token.totalSupply() : token.balanceOf(actor(who))));
    }

    /// Integrates the history over an epoch, second by second in effect.
    function replay(uint256 who, uint32 epoch) external view returns (uint256 sum) {
        uint256 from = epoch * EPOCH;
        uint256 to = from + EPOCH;
        Change[] storage list = _history[who];
        for (uint256 i = 0; i < list.length; ++i) {
            uint256 start = list[i].time > from ? list[i].time : from;
            uint256 end = i + 1 < list.length && list[i + 1].time < to ? list[i + 1].time : to;
            if (end > start) sum += list[i].balance * (end - start);
        }
    }
}

contract TwabInvariants is Test {
    TwabHandler private _handler;

    function setUp() public {
        vm.warp(70_000 * EPOCH + 5);
        _handler = new TwabHandler();
        bytes4[] memory selectors = new bytes4[](3);
        selectors[0] = TwabHandler.mint.selector;
        selectors[1] = TwabHandler.burn.selector;
        selectors[2] = TwabHandler.move.selector;
        target(address(_handler), selectors);
    }

    /// Every account and the supply weigh what a replay of history says, in every epoch the ring covers, and the accounts
    /// add up to the supply.
    function invariant_weightsEqualTheReplay() public view {
        PlainToken token = _handler.token();
        uint256 actors = _handler.ACTORS();
        uint32 current = epochNow();
        for (uint32 e = current - 31; e < current; e += 3) {
            uint256 sum = 0;
            for (uint256 who = 0; who < actors; ++who) {
                uint256 weight = token.balanceSeconds(actor(who), e);
                assertEq(weight, _handler.replay(who, e), "account");
                sum += weight;
            }
            assertEq(sum, token.totalBalanceSeconds(e), "sum");
            assertEq(sum, _handler.replay(actors, e), "supply");
        }
    }

    function invariant_balancesAddUp() public view {
        PlainToken token = _handler.token();
        uint256 sum = 0;
        for (uint256 who = 0; who < _handler.ACTORS(); ++who) {
            sum += token.balanceOf(actor(who));
        }
        assertEq(sum, token.totalSupply(), "balances");
    }
}
