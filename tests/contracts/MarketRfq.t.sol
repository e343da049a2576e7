// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPositionMarket} from "../../contracts/interfaces/IPositionMarket.sol";
import {MarketFixture, OnPositionMarket, OnReferenceMarket} from "./utils/MarketFixture.sol";
import {Wallet} from "./utils/Mocks.sol";

/// @notice Quotes that fill once, ways to cancel many orders at once, posting, permits and kinds of makers.
abstract contract MarketRfqSuite is MarketFixture {
    function _fillRfq(IPositionMarket.RfqOrder memory order) private returns (uint256) {
        bytes memory signature = _signRfq(order);
        vm.prank(_taker);
        return _market.fillRfq(order, signature);
    }

    /* QUOTES */

    function test_rfqSells() public {
        assertEq(_fillRfq(_rfq(0, 5)), 200e6, "quote");
        assertEq(_unit.balanceOf(_taker), 1010e18, "taker units");
        assertEq(_quote.balanceOf(_maker), 1e12 + 200e6, "maker quote");
        assertTrue(_market.rfqUsed(_maker, 5) && !_market.rfqUsed(_maker, 6), "one nonce");
    }

    function test_rfqBuys() public {
        _fillRfq(_rfq(1, 5));
        assertEq(_unit.balanceOf(_maker), 1010e18, "maker units");
        assertEq(_quote.balanceOf(_taker), 1e12 + 200e6, "taker quote");
    }

    function test_NonceUsed() public {
        IPositionMarket.RfqOrder memory order = _rfq(0, 300);
        _fillRfq(order);
        bytes memory used = abi.encodeWithSelector(IPositionMarket.NonceUsed.selector, _maker, 300);
        _refusesRfq(order, used);
        // another quote with the same nonce is an alternative to the first, not a second sale
        order.quoteAmount = 1e6;
        _refusesRfq(order, used);
        _fillRfq(_rfq(0, 301));
    }

    function testFuzz_cancelRfq(uint64 nonce, uint64 other) public {
        vm.prank(_maker);
        _market.cancelRfq(nonce);
        assertTrue(_market.rfqUsed(_maker, nonce), "used");
        _refusesRfq(_rfq(0, nonce), abi.encodeWithSelector(IPositionMarket.NonceUsed.selector, _maker, nonce));
        if (other != nonce) _fillRfq(_rfq(0, other));
        assertTrue(!_market.rfqUsed(_taker, nonce), "the caller's own alone");
    }

    function testFuzz_cancelRfqWord(uint56 word, uint256 mask, uint8 bit) public {
        vm.prank(_maker);
        _market.cancelRfqWord(word, mask);
        uint64 nonce = uint64(word) << 8 | bit;
        bool cancelled = mask >> bit & 1 == 1;
        assertTrue(_market.rfqUsed(_maker, nonce) == cancelled, "bit by bit");
        if (!cancelled) _fillRfq(_rfq(0, nonce));
        else _refusesRfq(_rfq(0, nonce), abi.encodeWithSelector(IPositionMarket.NonceUsed.selector, _maker, nonce));
    }

    function test_rfqRefusals() public {
        bytes memory bad = _error(IPositionMarket.BadOrder.selector);
        _refusesRfq(_rfq(2, 1), bad);
        IPositionMarket.RfqOrder memory order = _rfq(0, 1);
        order.baseAmount = 0;
        _refusesRfq(order, bad);
        order = _rfq(0, 1);
        order.quoteAmount = 0;
        _refusesRfq(order, bad);
        order = _rfq(0, 1);
        order.quote = order.base;
        _refusesRfq(order, bad);
        order = _rfq(0, 1);
        order.taker = _maker2;
        _refusesRfq(order, abi.encodeWithSelector(IPositionMarket.WrongTaker.selector, _maker2));
        order = _rfq(0, 1);
        order.expiry = uint40(block.timestamp);
        _refusesRfq(order, abi.encodeWithSelector(IPositionMarket.OrderExpired.selector, order.expiry));
        order = _rfq(0, 1);
        order.maker = _maker2;
        _refusesRfq(order, abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, _maker2));
        order.maker = address(0);
        _refusesRfq(order, abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, address(0)));
        order = _rfq(0, 1);
        order.base = address(0x1234);
        _refusesRfq(order, abi.encodeWithSelector(IPositionMarket.TransferFailed.selector, address(0x1234)));
        assertTrue(!_market.rfqUsed(_maker, 1), "a refused fill uses no nonce");
    }

    /* CANCEL MANY */

    function test_cancelAllKillsEveryKindOfOrder() public {
        IPositionMarket.Order memory limit = _order(0);
        IPositionMarket.Order memory posted = _order(0);
        posted.salt = 2;
        IPositionMarket.RfqOrder memory rfq = _rfq(0, 9);
        vm.startPrank(_maker);
        _market.post(posted);
        assertEq(_market.cancelAll(), 1, "next epoch");
        vm.stopPrank();
        bytes4 dead = IPositionMarket.OrderIsCancelled.selector;
        _refusesFill(limit, 1, abi.encodeWithSelector(dead, _market.orderHash(limit)));
        _refusesFill(posted, 1, abi.encodeWithSelector(dead, _market.orderHash(posted)));
        _refusesRfq(rfq, abi.encodeWithSelector(IPositionMarket.WrongMakerEpoch.selector, _maker, 1));
        (, bool cancelled) = _market.orderState(limit);
        assertTrue(cancelled, "shown as cancelled");
        limit.group = 1 << 32 | 7;
        assertEq(_fill(limit, 1e18), 20e6, "orders of the new epoch fill");
        _fillRfq(_rfq(0, 9));
    }

    function test_WrongMakerEpoch() public {
        bytes memory wrong = abi.encodeWithSelector(IPositionMarket.WrongMakerEpoch.selector, _maker, 0);
        IPositionMarket.Order memory order = _order(0);
        order.group = 1 << 32;
        _refusesFill(order, 1, wrong);
        IPositionMarket.RfqOrder memory rfq = _rfq(0, 1);
        rfq.makerEpoch = 1;
        _refusesRfq(rfq, wrong);
        vm.startPrank(_maker);
        vm.expectRevert(wrong);
        _market.post(order);
        vm.expectRevert(wrong);
        _market.cancelGroup(1 << 32);
        // one order of an epoch ahead can be cancelled all the same
        _market.cancel(order);
        _market.cancelAll();
        vm.stopPrank();
        bytes memory dead = abi.encodeWithSelector(IPositionMarket.OrderIsCancelled.selector, _market.orderHash(order));
        _refusesFill(order, 1, dead);
    }

    function testFuzz_groupsDieAloneAndForEver(uint32 group, uint32 other, uint8 bumps) public {
        bumps %= 4;
        vm.startPrank(_maker);
        for (uint256 i = 0; i < bumps; ++i) {
            _market.cancelAll();
        }
        uint64 base = uint64(bumps) << 32;
        _market.cancelGroup(base | group);
        vm.stopPrank();
        IPositionMarket.Order memory order = _order(0);
        order.group = base | group;
        bytes32 hash = _market.orderHash(order);
        _refusesFill(order, 1, abi.encodeWithSelector(IPositionMarket.OrderIsCancelled.selector, hash));
        (, bool cancelled) = _market.orderState(order);
        assertTrue(cancelled, "shown");
        order.group = base | other;
        (, cancelled) = _market.orderState(order);
        assertTrue(cancelled == (other == group), "no other");
        if (other != group) _fill(order, 1e18);
        vm.startPrank(_maker);
        _market.cancelAll();
        if (bumps != 0) _market.cancelGroup(group);
        vm.stopPrank();
        (, cancelled) = _market.orderState(order);
        assertTrue(cancelled, "the epoch's end ends it");
    }

    /* POSTED */

    function test_postedOrderFillsWithoutSignature() public {
        IPositionMarket.Order memory order = _order(0);
        bytes32 hash = _market.orderHash(order);
        vm.expectEmit(true, true, false, true, address(_market));
        emit IPositionMarket.OrderPosted(hash, _maker, order);
        vm.prank(_maker);
        _market.post(order);
        assertEq(_fillWith(order, "", 4e18), 80e6, "quote");
        assertEq(_fill(order, 1e18), 20e6, "its signature still counts");
        (uint256 filled, bool cancelled) = _market.orderState(order);
        assertTrue(filled == 5e18 && !cancelled, "state");
        vm.prank(_maker);
        _market.cancel(order);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.OrderIsCancelled.selector, hash));
        _fillWith(order, "", 1);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.OrderIsCancelled.selector, hash));
        vm.prank(_maker);
        _market.post(order);
    }

    function test_postRefusals() public {
        IPositionMarket.Order memory order = _order(0);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.NotTheMaker.selector, _maker));
        vm.prank(_taker);
        _market.post(order);
        vm.startPrank(_maker);
        order.side = 2;
        vm.expectRevert(IPositionMarket.BadOrder.selector);
        _market.post(order);
        order = _order(0);
        order.expiry = uint40(block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.OrderExpired.selector, order.expiry));
        _market.post(order);
        _market.cancelGroup(7);
        order = _order(0);
        bytes32 hash = _market.orderHash(order);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.OrderIsCancelled.selector, hash));
        _market.post(order);
        vm.stopPrank();
    }

    /* MAKERS AND SIGNATURES */

    function test_compactSignature() public {
        IPositionMarket.Order memory order = _order(0);
        assertEq(_fillWith(order, _compact(_sign(order)), 1e18), 20e6, "64 bytes");
        IPositionMarket.RfqOrder memory rfq = _rfq(0, 3);
        bytes memory signature = _compact(_signRfq(rfq));
        vm.prank(_taker);
        _market.fillRfq(rfq, signature);
        bytes memory long = abi.encodePacked(_sign(order), uint8(0));
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, _maker));
        _fillWith(order, long, 1);
    }

    /// EIP-7702: the account's key signs, whatever its code says; and code that answers EIP-1271 signs too.
    function test_delegatedAccountMaker() public {
        Wallet implementation = new Wallet(_maker2);
        vm.etch(_maker, abi.encodePacked(hex"ef0100", address(implementation)));
        assertEq(_fill(_order(0), 1e18), 20e6, "its key");
        vm.etch(_maker, hex"00");
        assertEq(_fill(_order(0), 1e18), 20e6, "its key beside code that answers nothing");
        vm.etch(_maker, address(implementation).code);
        bytes memory signature = signatureOf(_KEY2, _market.orderHash(_order(0)));
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, _maker));
        _fillWith(_order(0), signature, 1);
    }

    function test_contractMakerPostsAndQuotes() public {
        Wallet wallet = new Wallet(_maker);
        _unit.mint(address(wallet), 30e18);
        wallet.call(address(_unit), abi.encodeCall(_unit.approve, (address(_market), 30e18)));
        IPositionMarket.RfqOrder memory rfq = _rfq(0, 1);
        rfq.maker = address(wallet);
        _fillRfq(rfq);
        IPositionMarket.Order memory order = _order(0);
        order.maker = address(wallet);
        wallet.call(address(_market), abi.encodeCall(_market.post, (order)));
        assertEq(_fillWith(order, "", 10e18), 200e6, "posted");
        assertEq(_quote.balanceOf(address(wallet)), 400e6, "paid");
    }

    /* PERMITS */

    function _permitCall(uint256 key, address token) private view returns (bytes memory) {
        address owner = vm.addr(key);
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 data =
            keccak256(abi.encode(typeHash, owner, address(_market), 10e18, _unit.nonces(owner), block.timestamp));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", _unit.DOMAIN_SEPARATOR(), data));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodeCall(IPositionMarket.permit, (token, owner, 10e18, block.timestamp, v, r, s));
    }

    function test_permitAndFillInOneCall() public {
        vm.prank(_taker);
        _unit.approve(address(_market), 0);
        IPositionMarket.Order memory order = _order(1);
        bytes[] memory calls = new bytes[](2);
        calls[0] = _permitCall(_TAKER_KEY, address(_unit));
        calls[1] = abi.encodeCall(IPositionMarket.fill, (order, _sign(order), 10e18));
        vm.prank(_taker);
        bytes[] memory results = _market.multicall(calls);
        assertEq(abi.decode(results[1], (uint256)), 200e6, "quote");
        assertEq(_unit.allowance(_taker, address(_market)), 0, "exactly used");
    }

    function test_makersPermitTravelsWithItsOrder() public {
        vm.prank(_maker);
        _unit.approve(address(_market), 0);
        IPositionMarket.Order memory order = _order(0);
        bytes[] memory calls = new bytes[](2);
        calls[0] = _permitCall(_KEY, address(_unit));
        calls[1] = abi.encodeCall(IPositionMarket.fill, (order, _sign(order), 10e18));
        vm.prank(_taker);
        _market.multicall(calls);
        assertEq(_unit.balanceOf(_taker), 1010e18, "bought");
    }

    function test_permitFrontRunDoesNotStopTheFill() public {
        vm.prank(_taker);
        _unit.approve(address(_market), 0);
        IPositionMarket.Order memory order = _order(1);
        bytes[] memory calls = new bytes[](2);
        calls[0] = _permitCall(_TAKER_KEY, address(_unit));
        calls[1] = abi.encodeCall(IPositionMarket.fill, (order, _sign(order), 10e18));
        // someone takes the permit out of the mempool and sends it first
        (bool ok,) = address(_market).call(calls[0]);
        assertTrue(ok, "front-run");
        vm.prank(_taker);
        _market.multicall(calls);
        assertEq(_unit.balanceOf(_maker), 1010e18, "filled all the same");
    }

    function test_permitOfWhatIsNoTokenIsIgnored() public {
        _market.permit(address(0x1234), _taker, 1, block.timestamp, 27, 0, 0);
        _market.permit(address(_market), _taker, 1, block.timestamp, 27, 0, 0);
        assertEq(_unit.allowance(_taker, address(_market)), type(uint256).max, "nothing changed");
    }

    function test_multicallIsAllOrNothing() public {
        IPositionMarket.Order memory order = _order(0);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IPositionMarket.fill, (order, _sign(order), 6e18));
        calls[1] = calls[0];
        bytes32 hash = _market.orderHash(order);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.Overfill.selector, hash, 4e18, 6e18));
        vm.prank(_taker);
        _market.multicall(calls);
        assertEq(_unit.balanceOf(_taker), 1000e18, "nothing moved");
    }
}

contract MarketRfqTest is MarketRfqSuite, OnPositionMarket {}

contract MarketRfqReferenceTest is MarketRfqSuite, OnReferenceMarket {}
