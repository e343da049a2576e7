// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IBitcoinRelay
/// @notice Says whether a run of Bitcoin headers carries the work that the network demanded. Keeps targets per
/// 2,016-block period, not headers.
/// @dev The no-retarget mode is for regtest; the constructor refuses it on production chain ids.
interface IBitcoinRelay {
    error BadHeaderLength(uint256 length);
    error NotLinked(uint256 index);
    error WorkTooLow(uint256 index, uint256 hash, uint256 target);
    error WrongTarget(uint256 index, uint256 expected, uint256 found);
    error NoRetargetOnProduction(uint256 chainId);

    /// @notice Checks `headers` (80 bytes each, consecutive, oldest first) for links and work.
    /// @return merkleRoot of the first header (internal byte order), its block hash, and the number of headers.
    function checkHeaders(bytes calldata headers)
        external
        view
        returns (bytes32 merkleRoot, bytes32 firstHash, uint256 count);
    /// @notice The target that headers must state and meet.
    function target() external view returns (uint256);
    function noRetarget() external view returns (bool);
}
