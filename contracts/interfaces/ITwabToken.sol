// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title ITwabToken
/// @notice An ERC-20 whose balance slot carries a time-weighted balance, so that a contract can compute what an
/// account held, and for how long, in any of the last 31 closed epochs. Hashrate units, LP shares and queue claims
/// are all such tokens.
/// @dev Account word: `last:32 | cumulative:128 | balance:96`. An epoch is `floor(timestamp / 28,800)`.
/// The balance in effect is the one after the last transaction of each block: a flash loan weighs zero.
interface ITwabToken {
    /// @notice The epoch has not ended yet, or its first second lies in the future.
    error EpochNotFinished(uint32 epoch);
    /// @notice The epoch is older than the ring of 32 entries remembers; use a pinned value.
    error EpochOutOfWindow(uint32 epoch);
    error InsufficientBalance(address account, uint256 balance, uint256 needed);
    error InsufficientAllowance(address owner, address spender, uint256 allowance, uint256 needed);
    error InvalidReceiver(address receiver);
    error SupplyOverflow(uint256 supply);
    /// @notice The token's receiving rule refuses `to` (a transfer policy, a wrapper, or a token that does not move).
    error ReceiverRefused(address to);
    /// @notice LP shares waiting to be burnt do not move.
    error SharesLocked(uint256 locked);
    error OnlyMinter(address caller);
    error PermitExpired(uint256 deadline);
    error InvalidPermit(address owner);

    event Transfer(address indexed from, address indexed to, uint256 amount);
    event Approval(address indexed owner, address indexed spender, uint256 amount);
    /// @notice The balance-seconds of `account` in `epoch` are kept past the ring.
    event Pinned(address indexed account, uint32 indexed epoch, uint256 balanceSeconds);

    function name() external view returns (string memory);
    function symbol() external view returns (string memory);
    function decimals() external view returns (uint8);
    function totalSupply() external view returns (uint256);
    function balanceOf(address account) external view returns (uint256);
    function allowance(address owner, address spender) external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
    function approve(address spender, uint256 amount) external returns (bool);
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
    function nonces(address owner) external view returns (uint256);
    function DOMAIN_SEPARATOR() external view returns (bytes32);

    /// @notice The only account that may mint and burn.
    function minter() external view returns (address);
    function mint(address to, uint256 amount) external;
    function burn(address from, uint256 amount) external;

    /// @notice Sum over the seconds of `epoch` of the balance held: token units x seconds, exact.
    /// @dev Reverts for an unfinished epoch and for one older than the ring, unless pinned.
    function balanceSeconds(address account, uint32 epoch) external view returns (uint256);
    /// @notice The same for the whole supply: the W that shares of a pot are computed against.
    function totalBalanceSeconds(uint32 epoch) external view returns (uint256);
    /// @notice Keeps `balanceSeconds(account, epoch)` for ever. `account` zero pins the supply. Anyone may call.
    function pin(address account, uint32 epoch) external returns (uint256);
}
