// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "solady/utils/ECDSA.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {SignatureCheckerLib} from "solady/utils/SignatureCheckerLib.sol";
import {Multicallable} from "solady/utils/Multicallable.sol";
import {IPositionMarket} from "./interfaces/IPositionMarket.sol";
import {PermitCalls} from "./PermitCalls.sol";

/// @title OrderBook
/// @notice What PositionMarket remembers of orders, how makers take them back, and who signed what.
/// @dev Storage, most significant bit first:
///   order   `cancelled:1 | posted:1 | 0:158 | filled:96`                     by order hash
///   maker   `cancelled groups 223..0:224 | maker epoch:32`                   by maker, groups of the present epoch only
///   groups  `one bit a group:256`    groups whose id is 224 or more          by maker, then by group >> 8
///   nonces  `one bit a nonce:256`                                            by maker, then by nonce >> 8
abstract contract OrderBook is IPositionMarket, EIP712, PermitCalls {
    bytes32 internal constant _ORDER = keccak256(
        "Order(address maker,address taker,address base,address quote,uint8 side,uint96 baseAmount,uint128 quoteAmount,"
        "uint40 expiry,uint64 group,uint64 salt)"
    );
    bytes32 internal constant _RFQ = keccak256(
        "RfqOrder(address maker,address taker,address base,address quote,uint8 side,uint96 baseAmount,"
        "uint128 quoteAmount,uint40 expiry,uint32 makerEpoch,uint64 nonce)"
    );
    uint256 internal constant _CANCELLED = 1 << 255;
    uint256 internal constant _POSTED = 1 << 254;
    uint256 private constant _GROUPS_IN_MAKER_WORD = 224;

    mapping(bytes32 hash => uint256) internal _orders;
    mapping(address maker => uint256) private _makers;
    mapping(address maker => mapping(uint256 word => uint256)) private _groups;
    mapping(address maker => mapping(uint256 word => uint256)) private _nonces;

    /* MAKERS */

    /// @inheritdoc IPositionMarket
    function post(Order calldata order) external {
        if (msg.sender != order.maker) revert NotTheMaker(order.maker);
        _checkTerms(order);
        bytes32 hash = orderHash(order);
        uint256 word = _orders[hash];
        if (word & _CANCELLED != 0) revert OrderIsCancelled(hash);
        _checkGroup(order.maker, order.group, hash);
        _orders[hash] = word | _POSTED;
        emit OrderPosted(hash, msg.sender, order);
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
        uint256 word = _makers[msg.sender];
        uint256 present = uint32(word);
        // orders of an earlier epoch are dead already
        if (group >> 32 > present) revert WrongMakerEpoch(msg.sender, uint32(present));
        uint256 id = uint32(group);
        if (group >> 32 == present) {
            if (id < _GROUPS_IN_MAKER_WORD) _makers[msg.sender] = word | 1 << (32 + id);
            else _groups[msg.sender][group >> 8] |= 1 << (group & 255);
        }
        emit GroupCancelled(msg.sender, group);
    }

    /// @inheritdoc IPositionMarket
    function cancelAll() external returns (uint32 epoch) {
        epoch = uint32(_makers[msg.sender]) + 1;
        // the groups cancelled in the epoch before are dead with it
        _makers[msg.sender] = epoch;
        emit MakerEpochBumped(msg.sender, epoch);
    }

    /// @inheritdoc IPositionMarket
    function cancelRfq(uint64 nonce) external {
        _nonces[msg.sender][nonce >> 8] |= 1 << (nonce & 255);
    }

    /// @inheritdoc IPositionMarket
    function cancelRfqWord(uint56 word, uint256 mask) external {
        _nonces[msg.sender][word] |= mask;
    }

    /* VIEWS */

    /// @inheritdoc IPositionMarket
    function orderHash(Order calldata order) public view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(_ORDER, order)));
    }

    /// @inheritdoc IPositionMarket
    function rfqHash(RfqOrder calldata order) public view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(_RFQ, order)));
    }

    /// @inheritdoc IPositionMarket
    function orderState(Order calldata order) external view returns (uint256 filled, bool cancelled) {
        uint256 word = _orders[orderHash(order)];
        filled = uint96(word);
        cancelled = word & _CANCELLED != 0 || order.group >> 32 < makerEpoch(order.maker)
            || _groupCancelled(order.maker, order.group, _makers[order.maker]);
    }

    /// @inheritdoc IPositionMarket
    function rfqUsed(address maker, uint64 nonce) external view returns (bool) {
        return _nonces[maker][nonce >> 8] >> (nonce & 255) & 1 != 0;
    }

    /// @inheritdoc IPositionMarket
    function makerEpoch(address maker) public view returns (uint32) {
        return uint32(_makers[maker]);
    }

    /// @inheritdoc IPositionMarket
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparator();
    }

    /* CHECKS */

    function _checkTerms(Order calldata order) internal view {
        if (order.side > 1 || order.baseAmount == 0 || order.quoteAmount == 0 || order.base == order.quote) {
            revert BadOrder();
        }
        if (block.timestamp >= order.expiry) revert OrderExpired(order.expiry);
    }

    /// @dev As `orderHash`, for callers that have read every field but `salt`: reading checks a field's unused bits, and
    /// here all are copied. Saves the 1,100 gas of encoding one by one.
    function _hashOrder(Order calldata order) internal view returns (bytes32) {
        (bytes32 typeHash, uint256 salt, bytes32 structHash) = (_ORDER, order.salt, 0);
        assembly ("memory-safe") {
            let m := mload(0x40) // scratch space beyond what is allocated
            mstore(m, typeHash)
            calldatacopy(add(m, 0x20), order, 0x120) // the nine fields before salt
            mstore(add(m, 0x140), salt) // checked when it was read above
            structHash := keccak256(m, 0x160) // type hash and ten fields
        }
        return _hashTypedData(structHash);
    }

    /// @dev As `rfqHash`, for callers that have read every field but `nonce`.
    function _hashRfq(RfqOrder calldata order) internal view returns (bytes32) {
        (bytes32 typeHash, uint256 nonce, bytes32 structHash) = (_RFQ, order.nonce, 0);
        assembly ("memory-safe") {
            let m := mload(0x40) // scratch space beyond what is allocated
            mstore(m, typeHash)
            calldatacopy(add(m, 0x20), order, 0x120) // the nine fields before nonce
            mstore(add(m, 0x140), nonce) // checked when it was read above
            structHash := keccak256(m, 0x160) // type hash and ten fields
        }
        return _hashTypedData(structHash);
    }

    function _checkGroup(address maker, uint64 group, bytes32 hash) internal view {
        uint256 word = _makers[maker];
        if (group >> 32 > uint32(word)) revert WrongMakerEpoch(maker, uint32(word));
        if (group >> 32 < uint32(word) || _groupCancelled(maker, group, word)) revert OrderIsCancelled(hash);
    }

    /// @dev Of a group of the present maker epoch.
    function _groupCancelled(address maker, uint64 group, uint256 makerWord) private view returns (bool) {
        uint256 id = uint32(group);
        if (id < _GROUPS_IN_MAKER_WORD) return makerWord >> (32 + id) & 1 != 0;
        return _groups[maker][group >> 8] >> (group & 255) & 1 != 0;
    }

    /// @dev Marks the quote's nonce as used; reverts if it was, or if the maker's epoch has moved.
    function _useNonce(RfqOrder calldata order) internal {
        uint32 present = makerEpoch(order.maker);
        if (order.makerEpoch != present) revert WrongMakerEpoch(order.maker, present);
        mapping(uint256 word => uint256) storage words = _nonces[order.maker];
        uint256 word = words[order.nonce >> 8];
        uint256 bit = 1 << (order.nonce & 255);
        if (word & bit != 0) revert NonceUsed(order.maker, order.nonce);
        words[order.nonce >> 8] = word | bit;
    }

    /// @dev The key is asked before the code: cheaper, and right for an account that has both (EIP-7702).
    function _checkSignature(address maker, bytes32 hash, bytes calldata signature) internal view {
        // recovery failed is address zero, which is no maker
        if (maker != address(0) && ECDSA.tryRecoverCalldata(hash, signature) == maker) return;
        if (maker.code.length != 0 && SignatureCheckerLib.isValidERC1271SignatureNowCalldata(maker, hash, signature)) {
            return;
        }
        revert InvalidSignature(maker);
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Liquid Hashrate PositionMarket", "1");
    }

    /* CALLS */

    /// @inheritdoc IPositionMarket
    function permit(address token, address owner, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        public
        override(IPositionMarket, PermitCalls)
    {
        super.permit(token, owner, value, deadline, v, r, s);
    }

    /// @inheritdoc IPositionMarket
    function multicall(bytes[] calldata data)
        public
        payable
        override(IPositionMarket, Multicallable)
        returns (bytes[] memory)
    {
        return super.multicall(data);
    }
}
