// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IBitcoinRelay
/// @notice Says whether a run of Bitcoin headers carries the work that the network demanded. Keeps one target per
/// 2,016-block period since its anchor, not headers.
/// @dev Warning: heights are not in headers. A retarget is believed on the work of the headers around the boundary; a
/// forged one costs that work, is replaced by anyone who shows more of the real chain after the boundary, and makes no proof cheaper,
/// because confirmations are counted in blocks of the harder of the last two periods.
/// The no-retarget mode is for regtest; the constructor refuses it on production chain ids.
interface IBitcoinRelay {
    /// @notice What is kept of a period of 2,016 blocks.
    struct Period {
        /// hash of its first block, internal byte order
        bytes32 startHash;
        /// the first block's time, unix seconds
        uint32 startTime;
        /// target in compact form
        uint32 bits;
        /// work of the headers from its first one on that were shown; zero for the anchor
        uint192 work;
    }

    error BadHeaderLength(uint256 length);
    error NotLinked(uint256 index);
    error WorkTooLow(uint256 index, uint256 hash, uint256 target);
    error WrongTarget(uint256 index, uint256 expected, uint256 found);
    error NoRetargetOnProduction(uint256 chainId);
    /// @notice The anchor is no first header of a period, or the target limit or header count is out of range.
    error BadAnchor();
    /// @notice This relay's target never changes.
    error NoRetarget();
    /// @notice Neither the newest period nor the one after it.
    error WrongPeriod(uint256 newest, uint256 found);
    /// @notice Fewer headers on a side of the boundary than asked for.
    error TooFewHeaders(uint256 needed, uint256 before, uint256 afterwards);
    /// @notice A replacement must carry more work than what stands.
    error NotHeavier(uint256 stands, uint256 found);
    /// @notice More than two hours ahead of this chain's clock.
    error HeaderFromTheFuture(uint256 time);

    event Retargeted(uint256 indexed period, bytes32 startHash, uint32 startTime, uint32 bits, uint256 work);

    /// @notice Checks `headers` (80 bytes each, consecutive, oldest first) for links and work. The first one states the
    /// target of a known period; the target changes only at the first block of a later one.
    /// @return merkleRoot of the first header (internal byte order), its block hash, and the confirmations: the number of
    /// headers, or their work in blocks of the harder of the last two periods if that is less.
    function checkHeaders(bytes calldata headers)
        external
        view
        returns (bytes32 merkleRoot, bytes32 firstHash, uint256 count);
    /// @notice Starts `period`, or replaces its start by one with more work after it while it is the newest. Anyone may call.
    /// @param headers consecutive headers across the boundary, oldest first, `before` of them in the period before.
    function retarget(uint256 period, bytes calldata headers, uint256 before) external;
    /// @notice The target of the newest period.
    function target() external view returns (uint256);
    /// @notice The easiest target that the network allows.
    function limit() external view returns (uint256);
    function noRetarget() external view returns (bool);
    /// @notice Headers needed on each side of a boundary.
    function sideHeaders() external view returns (uint256);
    /// @notice Number (height / 2,016) of the newest known period, and of the anchor's.
    function newestPeriod() external view returns (uint256);
    function anchorPeriod() external view returns (uint256);
    function periodAt(uint256 period) external view returns (Period memory);
}
