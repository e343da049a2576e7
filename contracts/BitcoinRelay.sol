// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBitcoinRelay} from "./interfaces/IBitcoinRelay.sol";
import {BitcoinTx} from "./libraries/BitcoinTx.sol";
import {Production} from "./libraries/Production.sol";

/// @title BitcoinRelay
/// @notice Checks links, stated target and work of a run of headers against one target.
contract BitcoinRelay is IBitcoinRelay {
    uint256 private constant _HEADER = 80;

    /// @inheritdoc IBitcoinRelay
    uint256 public immutable target;
    /// @inheritdoc IBitcoinRelay
    bool public immutable noRetarget;

    constructor(uint256 target_, bool noRetarget_) {
        if (noRetarget_ && Production.isProduction(block.chainid)) revert NoRetargetOnProduction(block.chainid);
        target = target_;
        noRetarget = noRetarget_;
    }

    /// @inheritdoc IBitcoinRelay
    function checkHeaders(bytes calldata headers)
        external
        view
        returns (bytes32 merkleRoot, bytes32 firstHash, uint256 count)
    {
        if (headers.length == 0 || headers.length % _HEADER != 0) revert BadHeaderLength(headers.length);
        count = headers.length / _HEADER;
        bytes32 previous;
        for (uint256 i = 0; i < count; ++i) {
            bytes calldata header = headers[i * _HEADER:(i + 1) * _HEADER];
            if (i > 0 && bytes32(header[4:36]) != previous) revert NotLinked(i);
            previous = _checkWork(header, i);
            if (i == 0) (merkleRoot, firstHash) = (bytes32(header[36:68]), previous);
        }
    }

    /// @dev The header states the target and meets it. Returns its hash in internal byte order.
    function _checkWork(bytes calldata header, uint256 index) private view returns (bytes32 hash) {
        uint256 stated = targetOf(uint32(BitcoinTx.littleEndian(header[72:76])));
        if (stated != target) revert WrongTarget(index, target, stated);
        hash = BitcoinTx.hash256(header);
        uint256 value = _reverse(uint256(hash));
        if (value > target) revert WorkTooLow(index, value, target);
    }

    /// @notice The target that the compact form `bits` stands for; zero for a negative or overflowing one.
    function targetOf(uint32 bits) public pure returns (uint256) {
        uint256 exponent = bits >> 24;
        uint256 mantissa = bits & 0x7fffff;
        if (bits & 0x800000 != 0 || exponent > 32) return 0;
        return exponent <= 3 ? mantissa >> 8 * (3 - exponent) : mantissa << 8 * (exponent - 3);
    }

    function _reverse(uint256 value) private pure returns (uint256 reversed) {
        for (uint256 i = 0; i < 32; ++i) {
            reversed = reversed << 8 | value & 0xff;
            value >>= 8;
        }
    }
}
