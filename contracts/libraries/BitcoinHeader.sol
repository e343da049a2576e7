// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title BitcoinHeader
/// @notice Fields and hash of an 80-byte header, its target, and the rule that sets the next one.
library BitcoinHeader {
    uint256 internal constant LENGTH = 80;
    uint256 private constant _TIMESPAN = 2 weeks;

    /// @notice Double SHA-256 of the header at `offset`, internal byte order. The caller has checked the length.
    function hash(bytes calldata headers, uint256 offset) internal view returns (bytes32 digest) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, add(headers.offset, offset), 80)
            // SHA-256 is precompile 2; it fails only for lack of gas
            if iszero(staticcall(gas(), 2, free, 80, 0, 32)) { revert(0, 0) }
            if iszero(staticcall(gas(), 2, 0, 32, 0, 32)) { revert(0, 0) }
            digest := mload(0)
        }
    }

    function previous(bytes calldata headers, uint256 offset) internal pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := calldataload(add(headers.offset, add(offset, 4)))
        }
    }

    function merkleRoot(bytes calldata headers, uint256 offset) internal pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := calldataload(add(headers.offset, add(offset, 36)))
        }
    }

    function time(bytes calldata headers, uint256 offset) internal pure returns (uint32) {
        return uint32(_littleEndian4(headers, offset + 68));
    }

    function bits(bytes calldata headers, uint256 offset) internal pure returns (uint32) {
        return uint32(_littleEndian4(headers, offset + 72));
    }

    function _littleEndian4(bytes calldata headers, uint256 offset) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(224, calldataload(add(headers.offset, offset)))
        }
        return _swap4(value);
    }

    function _swap4(uint256 value) private pure returns (uint256) {
        value = (value & 0xff00ff) << 8 | value >> 8 & 0xff00ff;
        return (value & 0xffff) << 16 | value >> 16;
    }

    /// @notice Walks headers from `index` to before `end` while they state `compact`, are linked and meet `target`.
    /// @dev In assembly because ten lines of Solidity cost twice the gas: a header must stay below 1,000.
    /// @param last hash of the header before `index`; not looked at for index 0
    /// @return halt where it stopped: `end`, or the first header that differs in target, link or work
    /// @return tip hash of the header before `halt`
    function walk(bytes calldata headers, uint256 index, uint256 end, uint32 compact, uint256 target, bytes32 last)
        internal
        view
        returns (uint256 halt, bytes32 tip)
    {
        uint256 stated = _swap4(compact);
        uint256 mask8 = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
        uint256 mask16 = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
        assembly ("memory-safe") {
            let free := mload(0x40)
            halt := index
            tip := last
            for { let at := add(headers.offset, mul(index, 80)) } lt(halt, end) { at := add(at, 80) } {
                if xor(shr(224, calldataload(add(at, 72))), stated) { break }
                if halt { if xor(calldataload(add(at, 4)), tip) { break } }
                calldatacopy(free, at, 80)
                // SHA-256 is precompile 2; it fails only for lack of gas
                if iszero(staticcall(gas(), 2, free, 80, 0, 32)) { revert(0, 0) }
                if iszero(staticcall(gas(), 2, 0, 32, 0, 32)) { revert(0, 0) }
                let digest := mload(0)
                // reverse the bytes: pairs, then pairs of pairs, and so on
                let v := or(shl(8, and(digest, mask8)), and(shr(8, digest), mask8))
                v := or(shl(16, and(v, mask16)), and(shr(16, v), mask16))
                let mask := 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff
                v := or(shl(32, and(v, mask)), and(shr(32, v), mask))
                mask := 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff
                v := or(shl(64, and(v, mask)), and(shr(64, v), mask))
                if gt(or(shl(128, v), shr(128, v)), target) { break }
                tip := digest
                halt := add(halt, 1)
            }
        }
    }

    /// @notice The hash as the number that is compared with the target.
    function reverse(bytes32 digest) internal pure returns (uint256 v) {
        v = uint256(digest);
        uint256 mask = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
        v = (v & mask) << 8 | v >> 8 & mask;
        mask = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
        v = (v & mask) << 16 | v >> 16 & mask;
        mask = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
        v = (v & mask) << 32 | v >> 32 & mask;
        mask = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
        v = (v & mask) << 64 | v >> 64 & mask;
        v = v << 128 | v >> 128;
    }

    /// @notice The target that the compact form stands for; zero for a negative or overflowing one.
    function targetOf(uint32 compact) internal pure returns (uint256) {
        uint256 exponent = compact >> 24;
        uint256 mantissa = compact & 0x7fffff;
        if (compact & 0x800000 != 0 || exponent > 32) return 0;
        return exponent <= 3 ? mantissa >> 8 * (3 - exponent) : mantissa << 8 * (exponent - 3);
    }

    /// @notice The compact form of a target, which drops all but its leading 23 or 24 bits.
    function compactOf(uint256 target) internal pure returns (uint32) {
        uint256 size = 0;
        for (uint256 rest = target; rest != 0; rest >>= 8) {
            ++size;
        }
        uint256 mantissa = size <= 3 ? target << 8 * (3 - size) : target >> 8 * (size - 3);
        // a set top bit would mean a negative number
        if (mantissa & 0x800000 != 0) (mantissa, size) = (mantissa >> 8, size + 1);
        return uint32(size << 24 | mantissa);
    }

    /// @notice Consensus: the last block's time less the first block's (2,015 intervals, not 2,016), held within a
    /// quarter and four times of two weeks, scales the target, which is then cut to its compact form.
    /// @param limit at most 2^232, so that nothing overflows
    function nextBits(uint32 compact, uint32 first, uint32 last, uint256 limit) internal pure returns (uint32) {
        // a last block older than the first is a negative span: the lower bound holds
        uint256 span = last > first ? last - first : 0;
        if (span < _TIMESPAN / 4) span = _TIMESPAN / 4;
        if (span > _TIMESPAN * 4) span = _TIMESPAN * 4;
        uint256 next = targetOf(compact) * span / _TIMESPAN;
        return compactOf(next > limit ? limit : next);
    }

    /// @notice Expected hashes for one block: floor(2^256 / (target + 1)).
    function workOf(uint32 compact) internal pure returns (uint256) {
        uint256 target = targetOf(compact);
        return ~target / (target + 1) + 1;
    }
}
