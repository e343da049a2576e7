// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPositionMarket} from "../../contracts/interfaces/IPositionMarket.sol";
import {GasBurner, HostileQuote} from "./utils/HostileQuote.sol";
import {MarketFixture, OnPositionMarket, OnReferenceMarket} from "./utils/MarketFixture.sol";

/// @notice What attackers try, each by name.
abstract contract MarketAttackSuite is MarketFixture {
    HostileQuote private _hostile;

    function _prepare() internal virtual override {
        _hostile = new HostileQuote();
        address[2] memory all = [_maker, _taker];
        for (uint256 i = 0; i < 2; ++i) {
            _hostile.mint(all[i], 1000e6);
            vm.prank(all[i]);
            _hostile.approve(address(_market), type(uint256).max);
        }
    }

    function _hostileOrder(uint8 side) private view returns (IPositionMarket.Order memory order) {
        order = _order(side);
        order.quote = address(_hostile);
    }

    /* SIGNATURES */

    function test_attack_signatureMalleabilityFillsNothingTwice() public {
        IPositionMarket.Order memory order = _order(0);
        bytes memory signature = _sign(order);
        (bytes32 r, uint256 s, uint8 v) = _parts(signature);
        uint256 n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        bytes memory mirrored = abi.encodePacked(r, n - s, v == 27 ? uint8(28) : uint8(27));
        _fillWith(order, signature, 10e18);
        bytes32 hash = _market.orderHash(order);
        bytes[3] memory forms = [signature, mirrored, _compact(signature)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IPositionMarket.Overfill.selector, hash, 0, 1));
            _fillWith(order, forms[i], 1);
        }
        IPositionMarket.RfqOrder memory rfq = _rfq(0, 1);
        bytes memory signed = _signRfq(rfq);
        bytes memory short = _compact(signed);
        vm.startPrank(_taker);
        _market.fillRfq(rfq, signed);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.NonceUsed.selector, _maker, 1));
        _market.fillRfq(rfq, short);
        vm.stopPrank();
    }

    function test_attack_crossChainReplay() public {
        IPositionMarket.Order memory order = _order(0);
        bytes memory signature = _sign(order);
        IPositionMarket.RfqOrder memory rfq = _rfq(0, 1);
        bytes memory signed = _signRfq(rfq);
        vm.chainId(block.chainid + 1);
        bytes memory why = abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, _maker);
        vm.expectRevert(why);
        _fillWith(order, signature, 1e18);
        vm.expectRevert(why);
        vm.prank(_taker);
        _market.fillRfq(rfq, signed);
    }

    function test_attack_crossContractReplay() public {
        IPositionMarket.Order memory order = _order(0);
        bytes memory signature = _sign(order);
        _market = _deploy(0, address(0));
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, _maker));
        _fillWith(order, signature, 1e18);
    }

    /// The two kinds have the same number of fields: their type hashes keep them apart.
    function test_attack_limitOrderSignatureIsNoQuote() public {
        IPositionMarket.Order memory order = _order(0);
        order.group = 0;
        bytes memory signature = _sign(order);
        IPositionMarket.RfqOrder memory rfq = _rfq(0, 1);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, _maker));
        vm.prank(_taker);
        _market.fillRfq(rfq, signature);
    }

    function test_attack_zeroMakerWithABrokenSignature() public {
        IPositionMarket.Order memory order = _order(0);
        order.maker = address(0);
        vm.expectRevert(abi.encodeWithSelector(IPositionMarket.InvalidSignature.selector, address(0)));
        _fillWith(order, new bytes(65), 1e18);
    }

    /// Unused bits of a field are refused, not hashed: two encodings of one order would be two orders.
    function test_attack_dirtyBitsInAnyField() public {
        uint8[10] memory used = [160, 160, 160, 160, 8, 96, 128, 40, 64, 64];
        IPositionMarket.Order memory order = _order(0);
        bytes memory call = abi.encodeCall(IPositionMarket.fill, (order, _sign(order), 1e18));
        IPositionMarket.RfqOrder memory rfq = _rfq(0, 1);
        bytes memory rfqCall = abi.encodeCall(IPositionMarket.fillRfq, (rfq, _signRfq(rfq)));
        for (uint256 i = 0; i < 10; ++i) {
            _refusesDirty(call, i, used[i]);
            _refusesDirty(rfqCall, i, i == 8 ? 32 : used[i]);
        }
        vm.startPrank(_taker);
        (bool ok,) = address(_market).call(call);
        (bool rfqOk,) = address(_market).call(rfqCall);
        vm.stopPrank();
        assertTrue(ok && rfqOk, "the clean ones pass");
    }

    function _refusesDirty(bytes memory call, uint256 field, uint256 bits) private {
        bytes memory dirty = bytes.concat(call);
        assembly ("memory-safe") {
            let at := add(add(dirty, 0x24), mul(field, 0x20))
            mstore(at, or(mload(at), shl(bits, 1)))
        }
        vm.prank(_taker);
        (bool ok, bytes memory why) = address(_market).call(dirty);
        assertTrue(!ok && why.length == 0, "refused by the decoder");
    }

    /* HOSTILE QUOTE TOKENS */

    function test_attack_feeOnTransferTouchesItsTwoPartiesAlone() public {
        _hostile.set(HostileQuote.Way.FeeOnTransfer);
        assertEq(_fill(_hostileOrder(0), 10e18), 200e6, "price");
        assertEq(_hostile.balanceOf(_taker), 800e6, "the buyer pays no more than the price");
        assertEq(_hostile.balanceOf(_maker), 1180e6, "the token takes its fee from who accepted the token");
        assertEq(_hostile.balanceOf(address(_market)), 0, "nothing passes through the market");
    }

    function test_attack_callbackReentersEveryEntry() public {
        IPositionMarket.Order memory order = _hostileOrder(0);
        IPositionMarket.Order memory other = _order(0);
        other.taker = address(_hostile);
        bytes memory signature = _sign(other);
        IPositionMarket.RfqOrder memory rfq = _rfq(0, 1);
        bytes[] memory nested = new bytes[](1);
        nested[0] = abi.encodeCall(IPositionMarket.fill, (other, signature, 1e18));
        bytes[6] memory calls = [
            nested[0],
            abi.encodeCall(IPositionMarket.fillRfq, (rfq, _signRfq(rfq))),
            abi.encodeCall(
                IPositionMarket.fillUpTo, (new IPositionMarket.Order[](0), new bytes[](0), _limits(0, 1e18))
            ),
            abi.encodeCall(IPositionMarket.matchOrders, (other, signature, other, signature, 1)),
            abi.encodeCall(IPositionMarket.multicall, (nested)),
            abi.encodeCall(IPositionMarket.permit, (address(_unit), _maker, 1, block.timestamp, 27, 0, 0))
        ];
        for (uint256 i = 0; i < 6; ++i) {
            _hostile.onTransfer(address(_market), calls[i]);
            _fill(order, 1e18);
            assertTrue(!_hostile.calledBack(), "refused");
            assertEq(bytes32(bytes4(_hostile.answer())), bytes32(bytes4(keccak256("Reentrancy()"))), "by the lock");
        }
        (uint256 filled,) = _market.orderState(order);
        assertEq(filled, 6e18, "six fills, none twice");
    }

    function test_attack_callbackCannotUseAnothersFillFor() public {
        IPositionMarket.Order memory order = _order(0);
        _hostile.onTransfer(
            address(_market), abi.encodeCall(IPositionMarket.fillFor, (_taker, order, _sign(order), 1e18, 1e18))
        );
        _fill(_hostileOrder(0), 1e18);
        assertTrue(!_hostile.calledBack(), "only the market itself");
    }

    function test_attack_returnsFalse() public {
        _hostile.set(HostileQuote.Way.ReturnsFalse);
        _refusesFill(
            _hostileOrder(0), 1, abi.encodeWithSelector(IPositionMarket.TransferFailed.selector, address(_hostile))
        );
        assertEq(_unit.balanceOf(_taker), 1000e18, "no units for nothing");
    }

    function test_attack_returnsNothingIsAccepted() public {
        _hostile.set(HostileQuote.Way.ReturnsNothing);
        assertEq(_fill(_hostileOrder(0), 1e18), 20e6, "like the older tokens");
    }

    function test_attack_blockedMakerStopsNoOther() public {
        _hostile.block_(_maker, true);
        IPositionMarket.Order memory order = _hostileOrder(0);
        _refusesFill(order, 1, abi.encodeWithSelector(IPositionMarket.TransferFailed.selector, address(_hostile)));
        IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](2);
        orders[0] = order;
        orders[1] = _hostileOrder(0);
        orders[1].maker = _maker2;
        IPositionMarket.FillLimits memory limits = _limits(0, 20e18);
        limits.quote = address(_hostile);
        (uint256 base,) = _fillUpTo(orders, limits);
        assertEq(base, 10e18, "the batch goes on");
        assertEq(_unit.balanceOf(_maker), 1000e18, "and leaves nothing half done");
        vm.startPrank(_maker);
        _market.cancel(order);
        _market.cancelGroup(7);
        _market.cancelAll();
        vm.stopPrank();
        (, bool cancelled) = _market.orderState(order);
        assertTrue(cancelled, "the blocked maker cancels");
    }

    function test_attack_blockedFeeRecipientStopsNoExit() public {
        _useMarket(5000, _FEE_TO);
        vm.prank(_maker);
        _hostile.approve(address(_market), type(uint256).max);
        _hostile.block_(_FEE_TO, true);
        _fill(_hostileOrder(1), 10e18);
        assertEq(_hostile.balanceOf(_taker), 1200e6, "the seller gets the fee that nobody takes");
        assertEq(_hostile.balanceOf(_maker), 800e6, "the buyer pays the same");
    }

    function test_attack_floodOfReturnDataAndBurntGasSkipOneOrder() public {
        IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](2);
        orders[0] = _order(0);
        orders[0].maker = address(new GasBurner());
        orders[1] = _order(0);
        bytes[] memory signatures = new bytes[](2);
        signatures[0] = new bytes(1000);
        signatures[1] = _sign(orders[1]);
        _unit.mint(orders[0].maker, 10e18);
        vm.prank(orders[0].maker);
        _unit.approve(address(_market), 10e18);
        vm.prank(_taker);
        (uint256 base,) = _gasFill(orders, signatures);
        assertEq(base, 10e18, "the second order is filled");
        _hostile.set(HostileQuote.Way.Floods);
        assertEq(_fill(_hostileOrder(0), 1e18), 20e6, "a flood of answers is not read");
    }

    function _gasFill(IPositionMarket.Order[] memory orders, bytes[] memory signatures)
        internal
        virtual
        returns (uint256, uint256);

    /* DUST */

    /// Fills of one wei cost the filler the rounding every time, and the order still ends exactly.
    function test_attack_dustFillsNeverHurtTheMaker() public {
        IPositionMarket.Order memory sell = _order(0);
        IPositionMarket.Order memory buy = _order(1);
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(_fill(sell, 1), 1, "a buyer of dust pays a whole quote unit");
            assertEq(_fill(buy, 1), 0, "a seller of dust gets none");
        }
        assertEq(_fill(sell, 10e18 - 5), 200e6, "the rest at its price");
        assertEq(_fill(buy, 10e18 - 5), 200e6 - 1, "rounded down");
    }

    /// A dust fill in front makes an exact fill revert; `fillUpTo` and `matchOrders` take what is left.
    function test_attack_dustInFrontStopsNoBatchAndNoMatch() public {
        IPositionMarket.Order memory sell = _order(0);
        _fill(sell, 1);
        bytes32 hash = _market.orderHash(sell);
        _refusesFill(
            sell, 10e18, abi.encodeWithSelector(IPositionMarket.Overfill.selector, hash, uint256(10e18 - 1), 10e18)
        );
        IPositionMarket.Order memory buy = _order(1);
        buy.maker = _maker2;
        buy.quoteAmount = 201e6;
        (uint256 base,) = _market.matchOrders(sell, _sign(sell), buy, _sign(buy), 4e18);
        assertEq(base, 4e18, "matched");
        IPositionMarket.Order[] memory orders = new IPositionMarket.Order[](1);
        orders[0] = sell;
        (base,) = _fillUpTo(orders, _limits(0, 10e18));
        assertEq(base, 6e18 - 1, "the rest");
    }
}

contract MarketAttackTest is MarketAttackSuite, OnPositionMarket {
    function _prepare() internal override(MarketFixture, MarketAttackSuite) {
        super._prepare();
    }

    function _gasFill(IPositionMarket.Order[] memory orders, bytes[] memory signatures)
        internal
        override
        returns (uint256, uint256)
    {
        return _market.fillUpTo{gas: 2_000_000}(orders, signatures, _limits(0, 20e18));
    }
}

contract MarketAttackReferenceTest is MarketAttackSuite, OnReferenceMarket {
    function _prepare() internal override(MarketFixture, MarketAttackSuite) {
        super._prepare();
    }

    /// @dev The twin does not share out gas: it gets enough for 1/64 to do.
    function _gasFill(IPositionMarket.Order[] memory orders, bytes[] memory signatures)
        internal
        override
        returns (uint256, uint256)
    {
        return _market.fillUpTo{gas: 40_000_000}(orders, signatures, _limits(0, 20e18));
    }
}
