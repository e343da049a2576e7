// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {IPositionMarket} from "../../../contracts/interfaces/IPositionMarket.sol";

/// @title ReferenceMarket
/// @notice PositionMarket as one would explain it: no packed word, no assembly, other libraries. The suites run on both.
contract ReferenceMarket is IPositionMarket, EIP712 {
    using SafeERC20 for IERC20;

    error Reentrancy();

    string private constant _TERMS =
        "address maker,address taker,address base,address quote,uint8 side,uint96 baseAmount,uint128 quoteAmount,uint40 expiry,";

    uint32 public feePpm;
    address public feeTo;
    mapping(address maker => uint32) public makerEpoch;
    mapping(address maker => mapping(uint64 nonce => bool)) public rfqUsed;
    mapping(bytes32 hash => uint256) private _filled;
    mapping(bytes32 hash => bool) private _cancelled;
    mapping(bytes32 hash => bool) private _posted;
    mapping(address maker => mapping(uint64 group => bool)) private _groupCancelled;
    bool private _entered;

    modifier once() {
        if (_entered) revert Reentrancy();
        _entered = true;
        _;
        _entered = false;
    }

    constructor(uint32 feePpm_, address feeTo_) EIP712("Liquid Hashrate PositionMarket", "1") {
        if (feePpm_ > 10_000) revert BadFee(feePpm_, feeTo_);
        if (feePpm_ == 0 && feeTo_ != address(0)) revert BadFee(feePpm_, feeTo_);
        if (feePpm_ != 0 && feeTo_ == address(0)) revert BadFee(feePpm_, feeTo_);
        feePpm = feePpm_;
        feeTo = feeTo_;
    }

    /* TAKERS */

    function fill(Order calldata order, bytes calldata signature, uint256 baseFill) external once returns (uint256) {
        bytes32 hash = _check(order, signature, msg.sender);
        if (baseFill == 0) revert ZeroFill();
        uint256 remaining = order.baseAmount - _filled[hash];
        if (baseFill > remaining) revert Overfill(hash, remaining, baseFill);
        return _settle(order, hash, msg.sender, baseFill);
    }

    function fillRfq(RfqOrder calldata rfq, bytes calldata signature) external once returns (uint256) {
        Order memory order = Order(
            rfq.maker,
            rfq.taker,
            rfq.base,
            rfq.quote,
            rfq.side,
            rfq.baseAmount,
            rfq.quoteAmount,
            rfq.expiry,
            uint64(rfq.makerEpoch) << 32,
            rfq.nonce
        );
        _checkTerms(order);
        if (rfq.taker != address(0) && rfq.taker != msg.sender) revert WrongTaker(rfq.taker);
        uint32 present = makerEpoch[rfq.maker];
        if (rfq.makerEpoch != present) revert WrongMakerEpoch(rfq.maker, present);
        if (rfqUsed[rfq.maker][rfq.nonce]) revert NonceUsed(rfq.maker, rfq.nonce);
        rfqUsed[rfq.maker][rfq.nonce] = true;
        bytes32 hash = rfqHash(rfq);
        _checkSignature(rfq.maker, hash, signature);
        return _settle(order, hash, msg.sender, rfq.baseAmount);
    }

    function fillUpTo(Order[] calldata orders, bytes[] calldata signatures, FillLimits calldata limits)
        external
        once
        returns (uint256 base, uint256 quote)
    {
        if (orders.length != signatures.length) revert LengthMismatch(orders.length, signatures.length);
        uint256 budget = limits.quoteMax;
        for (uint256 i = 0; i < orders.length; ++i) {
            if (base >= limits.baseMax) break;
            if (!_acceptable(orders[i], limits)) continue;
            uint256 available = limits.side == 0 ? budget : type(uint256).max;
            try this.fillFor(msg.sender, orders[i], signatures[i], limits.baseMax - base, available) returns (
                uint256 units, uint256 paid
            ) {
                base += units;
                quote += paid;
                if (limits.side == 0) budget -= paid + _fee(paid);
            } catch {}
        }
        if (base < limits.baseMin) revert FilledTooLittle(base, limits.baseMin);
    }

    function fillFor(address taker, Order calldata order, bytes calldata signature, uint256 baseMax, uint256 quoteMax)
        external
        returns (uint256 base, uint256 quote)
    {
        if (msg.sender != address(this)) revert OnlySelf(msg.sender);
        bytes32 hash = _check(order, signature, taker);
        address paysWith = order.side == 0 ? order.base : order.quote;
        uint256 funds =
            Math.min(IERC20(paysWith).balanceOf(order.maker), IERC20(paysWith).allowance(order.maker, address(this)));
        base = Math.min(baseMax, order.baseAmount - _filled[hash]);
        if (order.side == 0) {
            base = Math.min(base, funds);
            uint256 reach = Math.min(quoteMax, 2 * uint256(order.quoteAmount)) * 1e6 / (1e6 + uint256(feePpm));
            base = Math.min(base, reach * order.baseAmount / order.quoteAmount);
        } else {
            base = Math.min(base, Math.mulDiv(Math.min(funds, 1e40), order.baseAmount, order.quoteAmount));
        }
        if (base == 0) revert ZeroFill();
        quote = _settle(order, hash, taker, base);
    }

    function matchOrders(
        Order calldata sell,
        bytes calldata sellSignature,
        Order calldata buy,
        bytes calldata buySignature,
        uint256 baseMax
    ) external once returns (uint256 base, uint256 quote) {
        bool pair = sell.base == buy.base && sell.quote == buy.quote && sell.maker != buy.maker;
        if (!pair || sell.side != 0 || buy.side != 1) revert BadMatch();
        bytes32[2] memory hashes;
        hashes[0] = _check(sell, sellSignature, buy.maker);
        hashes[1] = _check(buy, buySignature, sell.maker);
        base = Math.min(baseMax, sell.baseAmount - _filled[hashes[0]]);
        base = Math.min(base, buy.baseAmount - _filled[hashes[1]]);
        if (base == 0) revert ZeroFill();
        uint256 fee;
        (quote, fee) = _priceOfMatch(sell, buy, base);
        _note(sell, hashes[0], buy.maker, base, quote);
        _note(buy, hashes[1], sell.maker, base, quote);
        _move(sell.base, sell.maker, buy.maker, base);
        _payQuote(hashes[0], sell.quote, buy.maker, sell.maker, quote, fee);
    }

    function _priceOfMatch(Order calldata sell, Order calldata buy, uint256 base)
        private
        view
        returns (uint256 quote, uint256 fee)
    {
        uint256 asks = Math.mulDiv(sell.quoteAmount, base, sell.baseAmount, Math.Rounding.Ceil);
        uint256 bids = Math.mulDiv(buy.quoteAmount, base, buy.baseAmount, Math.Rounding.Floor);
        fee = _fee(bids);
        if (bids < asks + fee) revert NotCrossed(asks, bids);
        quote = asks + (bids - fee - asks) / 2;
    }

    /* MAKERS */

    function post(Order calldata order) external {
        if (msg.sender != order.maker) revert NotTheMaker(order.maker);
        _checkTerms(order);
        bytes32 hash = orderHash(order);
        _checkAlive(order, hash);
        _posted[hash] = true;
        emit OrderPosted(hash, msg.sender, order);
    }

    function cancel(Order calldata order) external {
        if (msg.sender != order.maker) revert NotTheMaker(order.maker);
        bytes32 hash = orderHash(order);
        _cancelled[hash] = true;
        emit OrderCancelled(hash, msg.sender);
    }

    function cancelGroup(uint64 group) external {
        uint32 present = makerEpoch[msg.sender];
        if (uint32(group >> 32) > present) revert WrongMakerEpoch(msg.sender, present);
        _groupCancelled[msg.sender][group] = true;
        emit GroupCancelled(msg.sender, group);
    }

    function cancelAll() external returns (uint32 epoch) {
        epoch = ++makerEpoch[msg.sender];
        emit MakerEpochBumped(msg.sender, epoch);
    }

    function cancelRfq(uint64 nonce) external {
        rfqUsed[msg.sender][nonce] = true;
    }

    function cancelRfqWord(uint56 word, uint256 mask) external {
        for (uint64 i = 0; i < 256; ++i) {
            if (mask & (1 << i) != 0) rfqUsed[msg.sender][uint64(word) * 256 + i] = true;
        }
    }

    /* CALLS */

    function permit(address token, address owner, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        once
    {
        if (token.code.length == 0) return;
        try IERC20Permit(token).permit(owner, address(this), value, deadline, v, r, s) {} catch {}
    }

    function multicall(bytes[] calldata data) external payable returns (bytes[] memory results) {
        require(msg.value == 0, "no value");
        results = new bytes[](data.length);
        for (uint256 i = 0; i < data.length; ++i) {
            results[i] = Address.functionDelegateCall(address(this), data[i]);
        }
    }

    /* VIEWS */

    function orderHash(Order memory order) public view returns (bytes32) {
        bytes32 typeHash = keccak256(abi.encodePacked("Order(", _TERMS, "uint64 group,uint64 salt)"));
        return _hashTypedDataV4(keccak256(abi.encode(typeHash, order)));
    }

    function rfqHash(RfqOrder memory order) public view returns (bytes32) {
        bytes32 typeHash = keccak256(abi.encodePacked("RfqOrder(", _TERMS, "uint32 makerEpoch,uint64 nonce)"));
        return _hashTypedDataV4(keccak256(abi.encode(typeHash, order)));
    }

    function orderState(Order calldata order) external view returns (uint256 filled, bool cancelled) {
        bytes32 hash = orderHash(order);
        filled = _filled[hash];
        cancelled = _cancelled[hash] || _groupCancelled[order.maker][order.group]
            || uint32(order.group >> 32) < makerEpoch[order.maker];
    }

    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /* CHECKS */

    function _checkTerms(Order memory order) private view {
        if (order.side != 0 && order.side != 1) revert BadOrder();
        if (order.baseAmount == 0 || order.quoteAmount == 0) revert BadOrder();
        if (order.base == order.quote) revert BadOrder();
        if (block.timestamp >= order.expiry) revert OrderExpired(order.expiry);
    }

    function _checkAlive(Order calldata order, bytes32 hash) private view {
        if (_cancelled[hash]) revert OrderIsCancelled(hash);
        uint32 present = makerEpoch[order.maker];
        if (uint32(order.group >> 32) > present) revert WrongMakerEpoch(order.maker, present);
        if (uint32(order.group >> 32) < present) revert OrderIsCancelled(hash);
        if (_groupCancelled[order.maker][order.group]) revert OrderIsCancelled(hash);
    }

    function _check(Order calldata order, bytes calldata signature, address taker) private view returns (bytes32 hash) {
        _checkTerms(order);
        if (order.taker != address(0) && order.taker != taker) revert WrongTaker(order.taker);
        hash = orderHash(order);
        _checkAlive(order, hash);
        if (_posted[hash] && signature.length == 0) return hash;
        _checkSignature(order.maker, hash, signature);
    }

    function _checkSignature(address maker, bytes32 hash, bytes calldata signature) private view {
        if (maker != address(0) && _recover(hash, signature) == maker) return;
        if (maker.code.length != 0) {
            try IERC1271(maker).isValidSignature(hash, signature) returns (bytes4 answer) {
                if (answer == IERC1271.isValidSignature.selector) return;
            } catch {}
        }
        revert InvalidSignature(maker);
    }

    function _recover(bytes32 hash, bytes calldata signature) private pure returns (address) {
        if (signature.length == 65) {
            return ecrecover(hash, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64]));
        }
        if (signature.length != 64) return address(0);
        uint256 vs = uint256(bytes32(signature[32:]));
        return ecrecover(hash, uint8(27 + vs / 2 ** 255), bytes32(signature[:32]), bytes32(vs % 2 ** 255));
    }

    function _acceptable(Order calldata order, FillLimits calldata limits) private pure returns (bool) {
        if (order.base != limits.base || order.quote != limits.quote || order.side != limits.side) return false;
        uint256 offered = uint256(order.quoteAmount) * 1e18;
        uint256 limit = uint256(limits.worstPrice) * order.baseAmount;
        return order.side == 0 ? offered <= limit : offered >= limit;
    }

    /* SETTLEMENT */

    function _settle(Order memory order, bytes32 hash, address taker, uint256 base) private returns (uint256 quote) {
        Math.Rounding rounding = order.side == 0 ? Math.Rounding.Ceil : Math.Rounding.Floor;
        quote = Math.mulDiv(order.quoteAmount, base, order.baseAmount, rounding);
        _note(order, hash, taker, base, quote);
        uint256 fee = _fee(quote);
        if (order.side == 0) {
            _move(order.base, order.maker, taker, base);
            _payQuote(hash, order.quote, taker, order.maker, quote, fee);
        } else {
            _move(order.base, taker, order.maker, base);
            _payQuote(hash, order.quote, order.maker, taker, quote - fee, fee);
        }
    }

    function _note(Order memory order, bytes32 hash, address taker, uint256 base, uint256 quote) private {
        _filled[hash] += base;
        uint256 left = order.baseAmount - _filled[hash];
        emit OrderFilled(hash, order.maker, taker, order.base, order.quote, order.side, base, quote, left);
    }

    function _fee(uint256 price) private view returns (uint256) {
        return price * feePpm / 1e6;
    }

    function _payQuote(bytes32 hash, address quote, address buyer, address seller, uint256 amount, uint256 fee)
        private
    {
        if (fee != 0 && IERC20(quote).trySafeTransferFrom(buyer, feeTo, fee)) {
            emit FeePaid(hash, quote, fee);
            fee = 0;
        }
        _move(quote, buyer, seller, amount + fee);
    }

    function _move(address token, address from, address to, uint256 amount) private {
        if (token.code.length == 0 || !IERC20(token).trySafeTransferFrom(from, to, amount)) {
            revert TransferFailed(token);
        }
    }
}
