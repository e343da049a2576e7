// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {EIP712} from "solady/utils/EIP712.sol";
import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {SignatureCheckerLib} from "solady/utils/SignatureCheckerLib.sol";
import {IPositionMarket} from "./interfaces/IPositionMarket.sol";

/// @title PositionMarket
/// @notice Settles signed orders between two wallets. Holds nothing, charges nothing, has no owner.
contract PositionMarket is IPositionMarket, EIP712, ReentrancyGuardTransient {
    bytes32 private constant _ORDER = keccak256(
        "Order(address maker,address taker,address base,address quote,uint8 side,uint96 baseAmount,uint128 quoteAmount,"
        "uint40 expiry,uint64 group,uint64 salt)"
    );
    uint256 private constant _CANCELLED = 1 << 255;

    /// @dev one word per order: `cancelled:1 | 0:159 | filled:96`
    mapping(bytes32 hash => uint256) private _orders;
    mapping(address maker => mapping(uint64 group => bool)) private _groupCancelled;

    /// @inheritdoc IPositionMarket
    function fill(Order calldata order, bytes calldata signature, uint256 baseFill)
        external
        nonReentrant
        returns (uint256 quoteFilled)
    {
        bytes32 hash = orderHash(order);
        uint256 remaining = _checkFill(order, hash, baseFill);
        if (!SignatureCheckerLib.isValidSignatureNowCalldata(order.maker, hash, signature)) {
            revert InvalidSignature(order.maker);
        }
        quoteFilled = _quoteFor(order, baseFill);

        unchecked {
            remaining -= baseFill;
            _orders[hash] = order.baseAmount - remaining;
        }
        emit OrderFilled(
            hash, order.maker, msg.sender, order.base, order.quote, order.side, baseFill, quoteFilled, remaining
        );
        (address seller, address buyer) = order.side == 0 ? (order.maker, msg.sender) : (msg.sender, order.maker);
        _pull(order.base, seller, buyer, baseFill);
        _pull(order.quote, buyer, seller, quoteFilled);
    }

    /// @inheritdoc IPositionMarket
    function cancel(Order calldata order) external {
        if (msg.sender != order.maker) revert NotTheMaker(order.maker);
        bytes32 hash = orderHash(order);
        _orders[hash] |= _CANCELLED;
        emit OrderCancelled(hash, msg.sender);
    }

    /// @inheritdoc IPositionMarket
    function cancelGroup(uint64 group) external {
        _groupCancelled[msg.sender][group] = true;
        emit GroupCancelled(msg.sender, group);
    }

    /// @inheritdoc IPositionMarket
    function orderHash(Order calldata order) public view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(_ORDER, order)));
    }

    /// @inheritdoc IPositionMarket
    function orderState(Order calldata order) external view returns (uint256 filled, bool cancelled) {
        uint256 word = _orders[orderHash(order)];
        filled = word & type(uint96).max;
        cancelled = word & _CANCELLED != 0 || _groupCancelled[order.maker][order.group];
    }

    /// @inheritdoc IPositionMarket
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparator();
    }

    /// @dev Everything that can be wrong with a fill but the signature. Returns what is left of the order.
    function _checkFill(Order calldata order, bytes32 hash, uint256 baseFill) private view returns (uint256 remaining) {
        if (order.side > 1 || order.baseAmount == 0 || order.quoteAmount == 0 || order.base == order.quote) {
            revert BadOrder();
        }
        if (baseFill == 0) revert ZeroFill();
        if (block.timestamp >= order.expiry) revert OrderExpired(order.expiry);
        if (order.taker != address(0) && order.taker != msg.sender) revert WrongTaker(order.taker);
        uint256 word = _orders[hash];
        if (word & _CANCELLED != 0 || _groupCancelled[order.maker][order.group]) revert OrderIsCancelled(hash);
        remaining = order.baseAmount - word;
        if (baseFill > remaining) revert Overfill(hash, remaining, baseFill);
    }

    /// @dev Against the taker: a buying taker pays rounded up, a selling taker gets rounded down.
    function _quoteFor(Order calldata order, uint256 baseFill) private pure returns (uint256) {
        uint256 product = uint256(order.quoteAmount) * baseFill;
        uint256 base = order.baseAmount;
        return order.side == 0 ? (product + base - 1) / base : product / base;
    }

    function _pull(address token, address from, address to, uint256 amount) private {
        if (!SafeTransferLib.trySafeTransferFrom(token, from, to, amount)) revert TransferFailed(token);
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Liquid Hashrate PositionMarket", "1");
    }

    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }
}
