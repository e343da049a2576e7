// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBitcoinRelay} from "./interfaces/IBitcoinRelay.sol";
import {BitcoinHeader} from "./libraries/BitcoinHeader.sol";
import {Production} from "./libraries/Production.sol";

/// @title BitcoinRelay
/// @notice Checks links, stated targets and work of a run of headers against the targets of the known periods.
contract BitcoinRelay is IBitcoinRelay {
    uint256 private constant _HEADER = BitcoinHeader.LENGTH;
    uint256 private constant _PERIOD = 2016;
    /// @dev mainnet's limit is below it; keeps target times timespan within 256 bits
    uint256 private constant _MAX_LIMIT = 1 << 232;
    uint256 private constant _MIN_SIDE = 6;
    uint256 private constant _FUTURE = 2 hours;

    /// @inheritdoc IBitcoinRelay
    uint256 public immutable limit;
    /// @inheritdoc IBitcoinRelay
    bool public immutable noRetarget;
    /// @inheritdoc IBitcoinRelay
    uint256 public immutable sideHeaders;
    /// @inheritdoc IBitcoinRelay
    uint256 public immutable anchorPeriod;
    /// @inheritdoc IBitcoinRelay
    uint256 public newestPeriod;
    mapping(uint256 period => Period) private _periods;

    /// @param limit_ the easiest target of the network; without retargets the only one
    /// @param sideHeaders_ headers needed on each side of a boundary; at least 6 on production chains
    /// @param height of `anchor`, a multiple of 2,016; `anchor` is the header of that block. Neither without retargets.
    constructor(uint256 limit_, bool noRetarget_, uint256 sideHeaders_, uint256 height, bytes memory anchor) {
        bool production = Production.isProduction(block.chainid);
        if (noRetarget_ && production) revert NoRetargetOnProduction(block.chainid);
        limit = limit_;
        noRetarget = noRetarget_;
        sideHeaders = sideHeaders_;
        anchorPeriod = height / _PERIOD;
        newestPeriod = height / _PERIOD;
        if (noRetarget_) {
            if (height != 0 || anchor.length != 0) revert BadAnchor();
            _periods[0].bits = BitcoinHeader.compactOf(limit_);
            return;
        }
        if (sideHeaders_ < (production ? _MIN_SIDE : 1)) revert BadAnchor();
        if (limit_ > _MAX_LIMIT || height % _PERIOD != 0 || anchor.length != _HEADER) revert BadAnchor();
        (bytes32 hash, uint32 time, uint32 bits) = _anchor(anchor);
        uint256 target_ = BitcoinHeader.targetOf(bits);
        if (target_ == 0 || target_ > limit_ || BitcoinHeader.reverse(hash) > target_) revert BadAnchor();
        _periods[newestPeriod] = Period(hash, time, bits, 0);
    }

    function _anchor(bytes memory header) private pure returns (bytes32 hash, uint32 time, uint32 bits) {
        hash = sha256(abi.encodePacked(sha256(header)));
        uint256 tail; // the last 32 bytes: 20 of the Merkle root, then time, bits and nonce
        assembly ("memory-safe") {
            tail := mload(add(header, 80))
        }
        uint256 reversed = BitcoinHeader.reverse(bytes32(tail));
        (time, bits) = (uint32(reversed >> 160), uint32(reversed >> 192));
    }

    /* HEADERS */

    /// @inheritdoc IBitcoinRelay
    function checkHeaders(bytes calldata headers)
        external
        view
        returns (bytes32 merkleRoot, bytes32 firstHash, uint256 count)
    {
        count = _count(headers);
        uint256 work = _walk(headers, count);
        (merkleRoot, firstHash) = (BitcoinHeader.merkleRoot(headers, 0), BitcoinHeader.hash(headers, 0));
        uint256 blocks = work / _unit();
        if (blocks < count) count = blocks;
    }

    /// @dev The work of the run, which starts in a known period and enters later ones only where they start.
    function _walk(bytes calldata headers, uint256 count) private view returns (uint256 work) {
        uint32 bits = BitcoinHeader.bits(headers, 0);
        uint256 period = _periodOf(bits);
        (uint256 index, bytes32 tip) = (0, 0);
        while (true) {
            uint256 from = index;
            (index, tip) = _run(headers, from, count, bits, tip);
            work += (index - from) * BitcoinHeader.workOf(bits);
            if (index == count) return work;
            period = _enter(headers, index, period, bits);
            bits = _periods[period].bits;
        }
    }

    /// @dev Walks to `end`, or to the first header that states another target. Returns where, and the last hash.
    function _run(bytes calldata headers, uint256 from, uint256 end, uint32 bits, bytes32 previous)
        private
        view
        returns (uint256 index, bytes32 tip)
    {
        uint256 target_ = BitcoinHeader.targetOf(bits);
        (index, tip) = BitcoinHeader.walk(headers, from, end, bits, target_, previous);
        if (index == end) return (index, tip);
        uint256 offset = index * _HEADER;
        if (index > 0 && BitcoinHeader.previous(headers, offset) != tip) revert NotLinked(index);
        if (BitcoinHeader.bits(headers, offset) == bits) {
            revert WorkTooLow(index, BitcoinHeader.reverse(BitcoinHeader.hash(headers, offset)), target_);
        }
    }

    /// @inheritdoc IBitcoinRelay
    function retarget(uint256 period, bytes calldata headers, uint256 before) external {
        if (noRetarget) revert NoRetarget();
        uint256 newest = newestPeriod;
        if (period == anchorPeriod || (period != newest && period != newest + 1)) revert WrongPeriod(newest, period);
        uint256 count = _count(headers);
        if (before < sideHeaders || before > count || count - before < sideHeaders) {
            revert TooFewHeaders(sideHeaders, before, before > count ? 0 : count - before);
        }
        Period storage old = _periods[period - 1];
        uint32 last = BitcoinHeader.time(headers, (before - 1) * _HEADER);
        uint32 bits = BitcoinHeader.nextBits(old.bits, old.startTime, last, limit);
        bytes32 tip = _side(headers, 0, before, old.bits, 0);
        _side(headers, before, count, bits, tip);

        // headers before the boundary may be real ones of a wrong height: only what follows it counts
        uint256 work = (count - before) * BitcoinHeader.workOf(bits);
        if (work <= _periods[period].work) revert NotHeavier(_periods[period].work, work);
        bytes32 start = BitcoinHeader.hash(headers, before * _HEADER);
        uint32 time = BitcoinHeader.time(headers, before * _HEADER);
        _checkTime(last);
        _checkTime(time);
        _periods[period] = Period(start, time, bits, uint192(work));
        newestPeriod = period;
        emit Retargeted(period, start, time, bits, work);
    }

    /// @dev All of the headers from `from` to `end` state `bits`. Returns the last one's hash.
    function _side(bytes calldata headers, uint256 from, uint256 end, uint32 bits, bytes32 previous)
        private
        view
        returns (bytes32 tip)
    {
        uint256 index;
        (index, tip) = _run(headers, from, end, bits, previous);
        if (index == end) return tip;
        uint32 stated = BitcoinHeader.bits(headers, index * _HEADER);
        revert WrongTarget(index, BitcoinHeader.targetOf(bits), BitcoinHeader.targetOf(stated));
    }

    /// @dev A time that the rest of the network would not have taken yet.
    function _checkTime(uint256 time) private view {
        if (time > block.timestamp + _FUTURE) revert HeaderFromTheFuture(time);
    }

    function _count(bytes calldata headers) private pure returns (uint256) {
        if (headers.length == 0 || headers.length % _HEADER != 0) revert BadHeaderLength(headers.length);
        return headers.length / _HEADER;
    }

    /// @dev The newest period with this target.
    function _periodOf(uint32 bits) private view returns (uint256 p) {
        p = newestPeriod;
        while (_periods[p].bits != bits) {
            if (p == anchorPeriod) revert WrongTarget(0, target(), BitcoinHeader.targetOf(bits));
            --p;
        }
    }

    /// @dev The later period that starts with header `index`.
    function _enter(bytes calldata headers, uint256 index, uint256 period, uint32 bits) private view returns (uint256) {
        bytes32 hash = BitcoinHeader.hash(headers, index * _HEADER);
        uint32 stated = BitcoinHeader.bits(headers, index * _HEADER);
        for (uint256 p = period + 1; p <= newestPeriod; ++p) {
            if (_periods[p].startHash == hash && _periods[p].bits == stated) return p;
        }
        revert WrongTarget(index, BitcoinHeader.targetOf(bits), BitcoinHeader.targetOf(stated));
    }

    /// @dev Work of one block of the harder of the last two periods: neither an easy old target nor one forged retarget
    /// makes a confirmation cheaper.
    function _unit() private view returns (uint256 work) {
        uint256 newest = newestPeriod;
        work = BitcoinHeader.workOf(_periods[newest].bits);
        if (newest == anchorPeriod) return work;
        uint256 before = BitcoinHeader.workOf(_periods[newest - 1].bits);
        if (before > work) work = before;
    }

    /* VIEWS */

    /// @inheritdoc IBitcoinRelay
    function target() public view returns (uint256) {
        return BitcoinHeader.targetOf(_periods[newestPeriod].bits);
    }

    /// @inheritdoc IBitcoinRelay
    function periodAt(uint256 period) external view returns (Period memory) {
        return _periods[period];
    }

    /// @notice The target that the compact form `bits` stands for; zero for a negative or overflowing one.
    function targetOf(uint32 bits) external pure returns (uint256) {
        return BitcoinHeader.targetOf(bits);
    }
}
