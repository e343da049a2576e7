// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {PositionMarket} from "../../../contracts/PositionMarket.sol";
import {IPositionMarket} from "../../../contracts/interfaces/IPositionMarket.sol";
import {Vm} from "../utils/Vm.sol";

/// @notice The least that a market needs of a token.
contract SmallToken {
    mapping(address account => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

/// @title MarketProofs
/// @notice What cancels what, and what a fill moves, over the market's own entry points. Orders are posted: signatures
/// are not what is proven here.
contract MarketProofs {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address private constant _MAKER = address(0xA1);
    address private constant _TAKER = address(0xB2);
    PositionMarket private _market;
    SmallToken private _unit;
    SmallToken private _quote;

    function setUp() public {
        vm.warp(70_000 * 28_800);
        _market = new PositionMarket(0, address(0));
        _unit = new SmallToken();
        _quote = new SmallToken();
    }

    function _order(uint64 group, uint8 side, uint96 base, uint128 quote)
        private
        view
        returns (IPositionMarket.Order memory)
    {
        return IPositionMarket.Order(
            _MAKER, address(0), address(_unit), address(_quote), side, base, quote, type(uint40).max, group, 1
        );
    }

    function _cancelled(IPositionMarket.Order memory order) private view returns (bool cancelled) {
        (, cancelled) = _market.orderState(order);
    }

    /* CANCELS */

    function check_groupCancelsItselfAndNoOther(uint32 group, uint32 other) external {
        vm.prank(_MAKER);
        _market.cancelGroup(group);
        assert(_cancelled(_order(other, 0, 1, 1)) == (group == other));
    }

    function check_groupOfAnotherMakerLives(address stranger, uint32 group) external {
        vm.assume(stranger != _MAKER);
        vm.prank(stranger);
        _market.cancelGroup(group);
        assert(!_cancelled(_order(group, 0, 1, 1)));
    }

    function check_bumpKillsEveryOlderGroup(uint32 group, uint32 before) external {
        vm.startPrank(_MAKER);
        _market.cancelGroup(before);
        _market.cancelAll();
        vm.stopPrank();
        assert(_market.makerEpoch(_MAKER) == 1);
        assert(_cancelled(_order(group, 0, 1, 1)));
        // and a new epoch starts with every group alive
        assert(!_cancelled(_order(uint64(1) << 32 | group, 0, 1, 1)));
    }

    function check_nonceCancelsItselfAndNoOther(uint64 nonce, uint64 other) external {
        vm.prank(_MAKER);
        _market.cancelRfq(nonce);
        assert(_market.rfqUsed(_MAKER, other) == (nonce == other));
    }

    function check_nonceWordCancelsItsMask(uint56 word, uint256 mask, uint64 nonce) external {
        vm.prank(_MAKER);
        _market.cancelRfqWord(word, mask);
        bool named = nonce >> 8 == word && mask >> (nonce & 255) & 1 == 1;
        assert(_market.rfqUsed(_MAKER, nonce) == named);
    }

    function check_cancelledMasksAddUp(uint56 word, uint256 first, uint256 second, uint8 bit) external {
        vm.startPrank(_MAKER);
        _market.cancelRfqWord(word, first);
        _market.cancelRfqWord(word, second);
        vm.stopPrank();
        bool named = (first | second) >> bit & 1 == 1;
        assert(_market.rfqUsed(_MAKER, uint64(word) << 8 | bit) == named);
    }

    function check_onlyTheMakerCancels(address stranger, uint64 group) external {
        vm.assume(stranger != _MAKER);
        vm.prank(stranger);
        (bool ok,) = address(_market).call(abi.encodeCall(_market.cancel, (_order(group, 0, 1, 1))));
        assert(!ok);
    }

    /* FILLS */

    function _each(uint8 x, uint256 count) private pure returns (uint256 i) {
        vm.assume(x < count);
        while (i != x) ++i;
    }

    function _fund() private {
        _unit.mint(_MAKER, 1000);
        _unit.mint(_TAKER, 1000);
        _quote.mint(_MAKER, 1000);
        _quote.mint(_TAKER, 1000);
    }

    /// @dev Every part of an order of 16 units for 37, either side: rounded against the taker by less than one, never
    /// over the order, and both tokens conserved.
    function check_fillRoundsAgainstTheTaker(uint8 amount, bool buys) external {
        uint256 units = _each(amount, 20);
        _fund();
        IPositionMarket.Order memory order = _order(0, buys ? 1 : 0, 16, 37);
        vm.prank(_MAKER);
        _market.post(order);
        vm.prank(_TAKER);
        (bool ok, bytes memory answer) = address(_market).call(abi.encodeCall(_market.fill, (order, "", units)));
        assert(ok == (units != 0 && units <= 16));
        if (!ok) return;
        uint256 paid = abi.decode(answer, (uint256));
        if (buys) assert(paid * 16 <= 37 * units && 37 * units - paid * 16 < 16);
        else assert(paid * 16 >= 37 * units && paid * 16 - 37 * units < 16);
        (uint256 filled,) = _market.orderState(order);
        assert(filled == units);
        uint256 unitsOfTaker = buys ? 1000 - units : 1000 + units;
        assert(_unit.balanceOf(_TAKER) == unitsOfTaker && _unit.balanceOf(_MAKER) == 2000 - unitsOfTaker);
        uint256 quoteOfTaker = buys ? 1000 + paid : 1000 - paid;
        assert(_quote.balanceOf(_TAKER) == quoteOfTaker && _quote.balanceOf(_MAKER) == 2000 - quoteOfTaker);
    }

    /// @dev In two parts a selling maker gets no less than at once, and never gives more units than ordered.
    function check_partsNeverPayTheTaker(uint8 one, uint8 two) external {
        (uint256 first, uint256 second) = (_each(one, 9) + 1, _each(two, 7) + 1);
        _fund();
        IPositionMarket.Order memory order = _order(0, 0, 16, 37);
        vm.prank(_MAKER);
        _market.post(order);
        vm.startPrank(_TAKER);
        uint256 paid = _market.fill(order, "", first) + _market.fill(order, "", second);
        vm.stopPrank();
        assert(paid * 16 >= 37 * (first + second));
        (uint256 filled,) = _market.orderState(order);
        assert(filled == first + second);
    }

    function check_cancelledIsNeverFilled(uint96 units) external {
        _fund();
        IPositionMarket.Order memory order = _order(0, 0, 16, 37);
        vm.startPrank(_MAKER);
        _market.post(order);
        _market.cancel(order);
        vm.stopPrank();
        vm.prank(_TAKER);
        (bool ok,) = address(_market).call(abi.encodeCall(_market.fill, (order, "", units)));
        assert(!ok);
    }
}
