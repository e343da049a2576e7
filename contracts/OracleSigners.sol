// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ITwabToken} from "./interfaces/ITwabToken.sol";
import {Production} from "./libraries/Production.sol";

/// @title OracleSigners
/// @notice Who may sign, what they have staked, and what signing two things at once costs them.
abstract contract OracleSigners is IFleetOracle, EIP712, AccessManaged {
    using SafeTransferLib for address;

    /// @dev one word, from the low end:
    /// `lastEpoch:32 | afterGap:8 | knownSeries:8 | quorum:8 | count:8 | eligible:32 | set:160`
    struct State {
        /// last epoch with a report or a gap
        uint32 lastEpoch;
        /// whether that was a gap
        bool afterGap;
        /// series in the registry when it was last asked
        uint8 knownSeries;
        uint8 quorum;
        uint8 count;
        /// bit i: signer i has the minimum stake
        uint32 eligible;
        /// code that holds `configDigest:256 | signer 0:256 | signer 1:256 | ...`
        address set;
    }

    /// @dev one word: `leftAt:40 | amount:96`
    struct Stake {
        uint96 amount;
        uint40 leftAt;
    }

    uint256 internal constant _EPOCH = 28_800;
    uint256 private constant _MAX_SIGNERS = 31;
    uint256 private constant _SIGNATURE = 65;
    uint256 private constant _PPM = 1_000_000;
    uint256 private constant _REPORTER_PPM = 50_000;
    /// @dev the window in which epochs are challenged
    uint256 private constant _UNSTAKE_DELAY = 21 * _EPOCH;
    /// @dev half the order of secp256k1: a signature with a larger s is the mirror of another one
    uint256 private constant _HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    bytes32 internal constant _REPORT = keccak256("FleetReport(uint32 epoch,uint16 round,bytes32 reportHash)");
    bytes32 internal constant _VALUATION = keccak256("FleetValuation(uint32 epoch,uint16 round,bytes32 valuationHash)");

    /// @inheritdoc IFleetOracle
    address public immutable quoteToken;
    /// @inheritdoc IFleetOracle
    uint96 public immutable minStake;
    State internal _state;
    mapping(address signer => Stake) private _stakes;
    mapping(bytes32 fault => bool) private _slashed;
    /// @inheritdoc IFleetOracle
    mapping(address reporter => uint256) public rewardOf;
    /// @inheritdoc IFleetOracle
    uint256 public forfeited;

    constructor(address quoteToken_, uint96 minStake_) {
        if (minStake_ == 0 && Production.isProduction(block.chainid)) revert StakeTooSmall(address(0), 0);
        quoteToken = quoteToken_;
        minStake = minStake_;
    }

    /* SET */

    /// @inheritdoc IFleetOracle
    function setSigners(address[] calldata newSigners, uint8 newQuorum) external restricted {
        address[] memory old = signers();
        _setSigners(newSigners, newQuorum);
        bytes memory set = SSTORE2.read(_state.set);
        for (uint256 i = 0; i < old.length; ++i) {
            if (!_contains(set, old[i])) _stakes[old[i]].leftAt = uint40(block.timestamp);
        }
    }

    function _setSigners(address[] memory list, uint8 newQuorum) internal {
        uint256 count = list.length;
        // more than half must sign, so that two quorums share a signer
        if (count > _MAX_SIGNERS || newQuorum > count || uint256(newQuorum) * 2 <= count) revert BadSignerSet();
        uint256 eligible = 0;
        for (uint256 i = 0; i < count; ++i) {
            if (list[i] <= (i == 0 ? address(0) : list[i - 1])) revert BadSignerSet();
            if (_stakes[list[i]].amount >= minStake) eligible |= 1 << i;
        }
        bytes32 digest = keccak256(abi.encode(list, newQuorum, address(this)));
        State memory s = _state;
        (s.quorum, s.count, s.eligible) = (newQuorum, uint8(count), uint32(eligible));
        s.set = SSTORE2.write(bytes.concat(digest, abi.encodePacked(list)));
        _state = s;
        emit SignerSet(list, newQuorum, digest);
    }

    function _digestOf(bytes memory set) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            digest := mload(add(set, 32))
        }
    }

    /// @dev `index` is below the count.
    function _signerAt(bytes memory set, uint256 index) private pure returns (address signer) {
        assembly ("memory-safe") {
            signer := mload(add(add(set, 64), shl(5, index)))
        }
    }

    function _contains(bytes memory set, address account) private pure returns (bool) {
        for (uint256 i = 0; i < set.length / 32 - 1; ++i) {
            if (_signerAt(set, i) == account) return true;
        }
        return false;
    }

    /* SIGNATURES */

    /// @dev Reverts unless `count` or more eligible signers signed: `index:8 | r:256 | yParity:1 | s:255` each,
    /// indices ascending.
    function _checkPacked(bytes32 digest, bytes calldata packed, State memory s, bytes memory set, uint256 needed)
        internal
        view
    {
        uint256 count = packed.length / _SIGNATURE;
        if (packed.length != count * _SIGNATURE) revert BadSignature(count);
        if (count < needed) revert NotEnoughSignatures(needed, count);
        (uint256 eligible, uint256 next) = (s.eligible, 0);
        unchecked {
            for (uint256 i = 0; i < count; ++i) {
                (uint256 index, address found) = _recoverPacked(digest, packed, i * _SIGNATURE);
                if (index >= s.count || found == address(0)) revert BadSignature(i);
                address expected = _signerAt(set, index);
                if (index < next) revert SignersNotAscending(_signerAt(set, next - 1), expected);
                if (found != expected) revert NotASigner(found);
                if (eligible >> index & 1 == 0) revert StakeTooSmall(found, i);
                next = index + 1;
            }
        }
    }

    /// @dev The packed signature that starts at `start`, which lies within `packed`. Zero if it is none.
    function _recoverPacked(bytes32 digest, bytes calldata packed, uint256 start)
        private
        view
        returns (uint256 index, address signer)
    {
        uint256 half = _HALF_ORDER;
        assembly ("memory-safe") {
            let at_ := add(packed.offset, start)
            index := byte(0, calldataload(at_))
            let vs := calldataload(add(at_, 33))
            let s := shr(1, shl(1, vs))
            let m := mload(0x40)
            mstore(m, digest)
            mstore(add(m, 0x20), add(27, shr(255, vs)))
            mstore(add(m, 0x40), calldataload(add(at_, 1)))
            mstore(add(m, 0x60), s)
            mstore(0, 0)
            // the precompile leaves the word at zero for what is no signature
            if iszero(gt(s, half)) { pop(staticcall(gas(), 1, m, 0x80, 0, 0x20)) }
            signer := mload(0)
        }
    }

    /// @inheritdoc IFleetOracle
    function checkQuorum(bytes32 digest, bytes[] calldata signatures) external view {
        State memory s = _state;
        bytes memory set = SSTORE2.read(s.set);
        if (signatures.length < s.quorum) revert NotEnoughSignatures(s.quorum, signatures.length);
        address previous = address(0);
        uint256 index = 0;
        for (uint256 i = 0; i < signatures.length; ++i) {
            address signer = _recover(digest, signatures[i]);
            if (signer == address(0)) revert BadSignature(i);
            if (!_contains(set, signer)) revert NotASigner(signer);
            if (signer <= previous) revert SignersNotAscending(previous, signer);
            while (_signerAt(set, index) != signer) ++index;
            if (s.eligible >> index & 1 == 0) revert StakeTooSmall(signer, i);
            previous = signer;
        }
    }

    /// @dev 64 bytes by EIP-2098 or 65 bytes; each signature has one form of either length. Zero if it is none.
    function _recover(bytes32 digest, bytes calldata signature) private pure returns (address) {
        if (signature.length != 64 && signature.length != 65) return address(0);
        bytes32 r = bytes32(signature[:32]);
        uint256 s = uint256(bytes32(signature[32:64]));
        uint8 v = 27;
        if (signature.length == 65) {
            v = uint8(signature[64]);
        } else {
            v += uint8(s >> 255);
            s &= type(uint256).max >> 1;
        }
        return s > _HALF_ORDER ? address(0) : ecrecover(digest, v, r, bytes32(s));
    }

    /// @dev What is signed of a report or valuation: epoch and round stand beside its hash, so that `equivocation` needs
    /// no more than that.
    function _envelope(bytes32 kind, uint32 epoch, uint16 round, bytes32 hash) internal view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(kind, epoch, round, hash)));
    }

    /* STAKE */

    /// @inheritdoc IFleetOracle
    function stake(address signer, uint256 amount) external {
        uint256 before = ITwabToken(quoteToken).balanceOf(address(this));
        quoteToken.safeTransferFrom(msg.sender, address(this), amount);
        amount = ITwabToken(quoteToken).balanceOf(address(this)) - before;
        uint256 sum = _stakes[signer].amount + amount;
        if (sum > type(uint96).max) revert StakeTooLarge(sum);
        _stakes[signer].amount = uint96(sum);
        _weigh(signer, sum >= minStake);
        emit Staked(signer, msg.sender, amount);
    }

    /// @inheritdoc IFleetOracle
    function unstake(address to) external {
        Stake storage own = _stakes[msg.sender];
        uint256 amount = own.amount;
        if (isSigner(msg.sender)) revert StillASigner(msg.sender);
        uint256 from = own.leftAt + _UNSTAKE_DELAY;
        if (block.timestamp < from) revert UnstakeTooEarly(from);
        if (amount == 0) revert NothingStaked(msg.sender);
        own.amount = 0;
        emit Unstaked(msg.sender, to, amount);
        quoteToken.safeTransfer(to, amount);
    }

    /// @inheritdoc IFleetOracle
    function equivocation(
        bool ofValuation,
        uint32 epoch,
        uint16 round,
        bytes32 hashA,
        bytes calldata signatureA,
        bytes32 hashB,
        bytes calldata signatureB
    ) external {
        if (hashA == hashB) revert SameHash(hashA);
        bytes32 kind = ofValuation ? _VALUATION : _REPORT;
        address signer = _recover(_envelope(kind, epoch, round, hashA), signatureA);
        if (signer == address(0)) revert BadSignature(0);
        address other = _recover(_envelope(kind, epoch, round, hashB), signatureB);
        if (other != signer) revert DifferentSigners(signer, other);
        bytes32 fault = keccak256(abi.encode(kind, epoch, round, signer));
        if (_slashed[fault]) revert AlreadySlashed(signer, epoch, round);
        uint256 amount = _stakes[signer].amount;
        if (amount == 0) revert NothingStaked(signer);

        _slashed[fault] = true;
        _stakes[signer].amount = 0;
        _weigh(signer, minStake == 0);
        uint256 reward = amount * _REPORTER_PPM / _PPM;
        // not sent here: a quote token that refuses somebody must not protect the signer
        rewardOf[msg.sender] += reward;
        forfeited += amount - reward;
        emit Slashed(signer, epoch, round, msg.sender, amount, reward);
    }

    /// @inheritdoc IFleetOracle
    function claimReward(address reporter) external {
        uint256 amount = rewardOf[reporter];
        if (amount == 0) revert NothingStaked(reporter);
        rewardOf[reporter] = 0;
        emit RewardClaimed(reporter, amount);
        quoteToken.safeTransfer(reporter, amount);
    }

    /// @dev Says whether a signer counts; nothing for who is not in the set.
    function _weigh(address signer, bool enough) private {
        State memory s = _state;
        bytes memory set = SSTORE2.read(s.set);
        for (uint256 i = 0; i < s.count; ++i) {
            if (_signerAt(set, i) != signer) continue;
            uint32 bit = uint32(1 << i);
            uint32 eligible = enough ? s.eligible | bit : s.eligible & ~bit;
            if (eligible != s.eligible) _state.eligible = eligible;
            return;
        }
    }

    /* VIEWS */

    /// @inheritdoc IFleetOracle
    function signers() public view returns (address[] memory list) {
        State memory s = _state;
        bytes memory set = SSTORE2.read(s.set);
        list = new address[](s.count);
        for (uint256 i = 0; i < s.count; ++i) {
            list[i] = _signerAt(set, i);
        }
    }

    /// @inheritdoc IFleetOracle
    function isSigner(address account) public view returns (bool) {
        return _contains(SSTORE2.read(_state.set), account);
    }

    /// @inheritdoc IFleetOracle
    function counts(address signer) external view returns (bool) {
        return isSigner(signer) && _stakes[signer].amount >= minStake;
    }

    /// @inheritdoc IFleetOracle
    function stakeOf(address signer) external view returns (uint256 amount, uint256 withdrawableFrom) {
        Stake memory found = _stakes[signer];
        bool bound = isSigner(signer);
        return (found.amount, bound ? type(uint256).max : found.leftAt == 0 ? 0 : found.leftAt + _UNSTAKE_DELAY);
    }

    /// @inheritdoc IFleetOracle
    function quorum() external view returns (uint8) {
        return _state.quorum;
    }

    /// @inheritdoc IFleetOracle
    function configDigest() external view returns (bytes32) {
        return _digestOf(SSTORE2.read(_state.set));
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Liquid Hashrate FleetOracle", "1");
    }
}
