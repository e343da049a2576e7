// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IHashProof} from "./interfaces/IHashProof.sol";
import {EvmHeader} from "./libraries/EvmHeader.sol";
import {ShareHash} from "./libraries/ShareHash.sol";

/// @title HashProof
/// @notice Bottom-k estimate of a fleet's SHA-256 work per epoch. No roles, no parameters, nobody to trust.
contract HashProof is IHashProof {
    uint256 private constant _EPOCH = 28_800;
    /// @notice Seconds after an epoch in which it can still be proven.
    uint256 public constant WINDOW = 2 hours;
    /// @dev EIP-2935
    address private constant _HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;

    /// @inheritdoc IHashProof
    uint256 public immutable k;
    /// @inheritdoc IHashProof
    mapping(uint32 epoch => bytes32) public seedOf;
    /// @inheritdoc IHashProof
    mapping(bytes32 fleetId => uint32) public since;
    mapping(bytes32 fleetId => mapping(uint32 epoch => Claim)) private _claims;

    constructor(uint256 k_) {
        if (k_ < 3 || k_ > 255) revert BadCount(k_);
        k = k_;
    }

    /// @inheritdoc IHashProof
    function register(bytes32 fleetId) external {
        if (since[fleetId] != 0) return;
        uint32 next = uint32(block.timestamp / _EPOCH) + 1;
        since[fleetId] = next;
        emit FleetRegistered(fleetId, next);
    }

    /* SEED */

    /// @inheritdoc IHashProof
    function openEpoch(bytes calldata parent, bytes calldata first) external {
        bytes32 hash = keccak256(first);
        bytes32 stated = EvmHeader.parent(first);
        if (keccak256(parent) != stated) revert NotParent(stated, keccak256(parent));
        (uint256 number, uint256 time) = EvmHeader.numberAndTime(first);
        (, uint256 timeBefore) = EvmHeader.numberAndTime(parent);
        uint32 epoch = uint32(time / _EPOCH);
        if (timeBefore / _EPOCH >= epoch) revert NotFirstOfEpoch(timeBefore, time);
        if (_hashAt(number) != hash) revert UnknownBlock(number, hash);
        if (seedOf[epoch] != 0) return;
        seedOf[epoch] = hash;
        emit EpochOpened(epoch, hash, number);
    }

    /// @dev Hash of a recent block of this chain; zero if it is not known.
    function _hashAt(uint256 number) private view returns (bytes32 hash) {
        hash = blockhash(number);
        if (hash != 0) return hash;
        (bool known, bytes memory answer) = _HISTORY.staticcall(abi.encode(number));
        if (known && answer.length == 32) hash = abi.decode(answer, (bytes32));
    }

    /* PROOF */

    /// @inheritdoc IHashProof
    function prove(bytes32 fleetId, uint32 epoch, uint256 bound, bytes[] calldata shares) external {
        _checkWhen(fleetId, epoch);
        if (shares.length != k) revert WrongCount(k, shares.length);
        bytes4 tag = tagOf(fleetId, epoch);
        uint256 highest;
        for (uint256 i = 0; i < shares.length; ++i) {
            uint256 found = ShareHash.hash(shares[i], tag, i);
            if (found <= highest) revert NotAscending(i);
            highest = found;
        }
        if (highest > bound) revert AboveBound(highest, bound);

        uint96 hashes = estimate(highest);
        Claim storage claim = _claims[fleetId][epoch];
        if (hashes <= claim.hashes) revert NotMore(claim.hashes, hashes);
        (claim.hashes, claim.provenAt) = (hashes, uint40(block.timestamp));
        emit Proven(fleetId, epoch, hashes, highest, bound, msg.sender);
    }

    function _checkWhen(bytes32 fleetId, uint32 epoch) private view {
        uint32 first = since[fleetId];
        if (first == 0 || epoch < first) revert NotRegistered(fleetId, epoch, first);
        uint256 deadline = (uint256(epoch) + 1) * _EPOCH + WINDOW;
        if (block.timestamp > deadline) revert TooLate(deadline);
    }

    /* VIEWS */

    /// @inheritdoc IHashProof
    function tagOf(bytes32 fleetId, uint32 epoch) public view returns (bytes4) {
        bytes32 seed = seedOf[epoch];
        if (seed == 0) revert NotOpen(epoch);
        return bytes4(keccak256(abi.encode(block.chainid, fleetId, epoch, seed)));
    }

    /// @inheritdoc IHashProof
    function claimOf(bytes32 fleetId, uint32 epoch) external view returns (Claim memory) {
        return _claims[fleetId][epoch];
    }

    /// @inheritdoc IHashProof
    function claimedOver(bytes32 fleetId, uint32 last, uint32 count)
        external
        view
        returns (uint256 hashes, uint256 proven, uint256 errorPpm)
    {
        uint256 squares; // of 96-bit numbers, 2^32 of them at most: 224 bits
        for (uint32 i = 0; i < count && i <= last; ++i) {
            uint256 claimed = _claims[fleetId][last - i].hashes;
            if (claimed == 0) continue;
            hashes += claimed;
            squares += claimed * claimed;
            ++proven;
        }
        // each claim's own error is its value / sqrt(k - 2), and they are independent
        if (proven > 0) errorPpm = FixedPointMathLib.sqrt(squares / (k - 2)) * 1e6 / hashes;
    }

    /// @inheritdoc IHashProof
    function estimate(uint256 highest) public view returns (uint96) {
        // 2^256 = quotient * highest + rest, so that nothing has to be wider than a word
        uint256 quotient = type(uint256).max / highest;
        uint256 rest = type(uint256).max % highest + 1;
        if (quotient > type(uint96).max) return type(uint96).max;
        uint256 hashes = (k - 1) * quotient + FixedPointMathLib.fullMulDiv(k - 1, rest, highest);
        return hashes > type(uint96).max ? type(uint96).max : uint96(hashes);
    }

    /// @inheritdoc IHashProof
    function hashOf(bytes calldata share, bytes4 tag) external view returns (uint256) {
        return ShareHash.hash(share, tag, 0);
    }
}
