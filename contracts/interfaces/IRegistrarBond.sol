// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IRegistrarBond
/// @notice The operator's deposit that every serial is registered once, ever, over all series and generations. A serial
/// under two registered roots, or twice under one, is shown by anyone with two Merkle branches: mint stops in the series
/// of both, and the deposit pays. DESIGN section 4.1.
/// @dev The penalty is `minimum`, or what is there if less, for every fault that names a root not named before: 5 % to
/// who showed it, the rest to the hardware cash of the series (half to each of two). Faults of the same root pair cost
/// once. Warning: a proof in the public mempool can be copied; who copies it takes the 5 %.
interface IRegistrarBond {
    /// @notice Where a serial is: a registered root, and the siblings from the leaf up. Pairs are sorted before they are
    /// hashed; an odd node moves up unchanged.
    struct Place {
        bytes32 root;
        bytes32[] branch;
    }

    error UnknownRoot(bytes32 root);
    /// @notice The branch does not lead from the machine to the root.
    error NotUnder(bytes32 root);
    /// @notice Both places are the same one.
    error SamePlace();
    error AlreadyShown(bytes32 a, bytes32 b);
    /// @notice The root is not faulty, or its machines have not been replaced by an upgrade.
    error StillLive(bytes32 root);
    error TooEarly(uint256 from);
    error NothingToTake();
    /// @notice Where money is real, something is deposited.
    error NoMinimum();

    event Bonded(address indexed from, uint256 amount);
    event WithdrawalAnnounced(uint256 amount, uint256 from);
    event Withdrawn(address indexed to, uint256 amount);
    event DuplicateShown(
        bytes32 indexed rootA, bytes32 indexed rootB, address indexed challenger, bytes machine, uint256 penalty
    );
    event FaultCleared(uint16 indexed series, bytes32 indexed root);
    event Forwarded(uint16 indexed series, uint256 amount);

    /// @notice Deposits quote tokens; anyone may.
    function post(uint256 amount) external;
    /// @notice From then on `amount` does not count, and can be taken after 7 days, less penalties. Restricted.
    function announceWithdrawal(uint256 amount) external;
    /// @notice Restricted.
    function withdraw(address to) external;
    /// @notice Shows that `machine` (vendor || serial, as bytes) is registered in two places.
    function duplicateSerial(bytes calldata machine, Place calldata a, Place calldata b) external;
    /// @notice Lets the series mint again once the machines under a faulty root have been replaced by an upgrade. Anyone.
    function clearFault(bytes32 root) external;
    /// @notice Sends the series' part of penalties to its hardware cash. Anyone.
    function forward(uint16 series) external;
    /// @notice Pays `challenger` its part of penalties. Anyone.
    function claimReward(address challenger) external;
    /// @notice No open fault, and a deposit of at least `minimum`.
    function mayMint(uint16 series) external view returns (bool);

    function bond() external view returns (uint256);
    function minimum() external view returns (uint256);
    function openFaults(uint16 series) external view returns (uint32);
    function rewardOf(address challenger) external view returns (uint256);
    /// @notice The series' part of penalties that was not forwarded yet.
    function owedTo(uint16 series) external view returns (uint256);
}
