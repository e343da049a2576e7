// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "solady/utils/ECDSA.sol";
import {ITwabToken} from "../interfaces/ITwabToken.sol";
import {Twab} from "../libraries/Twab.sol";

/// @title TwabToken
/// @notice ERC-20 with EIP-2612 whose balance slot carries a time-weighted balance.
/// @dev Storage of an account: word 0 is `last:32 | cumulative:128 | balance:96`, words 1-32 the ring (see Twab).
/// The supply is the account of address zero, so it is weighed by the same code.
abstract contract TwabToken is ITwabToken {
    using Twab for Twab.Account;

    bytes32 private constant _PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    bytes32 private constant _DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    /// @inheritdoc ITwabToken
    address public immutable minter;
    bytes32 private immutable _nameHash;

    /// @inheritdoc ITwabToken
    string public name;
    /// @inheritdoc ITwabToken
    string public symbol;
    mapping(address account => Twab.Account) private _accounts;
    /// @inheritdoc ITwabToken
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    /// @inheritdoc ITwabToken
    mapping(address owner => uint256) public nonces;
    /// @dev value + 1, so that a pinned zero is known as pinned
    mapping(address account => mapping(uint32 epoch => uint256)) private _pinned;

    modifier onlyMinter() {
        if (msg.sender != minter) revert OnlyMinter(msg.sender);
        _;
    }

    constructor(address minter_, string memory name_, string memory symbol_) {
        minter = minter_;
        name = name_;
        symbol = symbol_;
        _nameHash = keccak256(bytes(name_));
    }

    /* ERC-20 */

    /// @inheritdoc ITwabToken
    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    /// @inheritdoc ITwabToken
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) {
            if (allowed < amount) revert InsufficientAllowance(from, msg.sender, allowed, amount);
            unchecked {
                allowance[from][msg.sender] = allowed - amount;
            }
        }
        _move(from, to, amount);
        return true;
    }

    /// @inheritdoc ITwabToken
    function approve(address spender, uint256 amount) external returns (bool) {
        _approve(msg.sender, spender, amount);
        return true;
    }

    /// @inheritdoc ITwabToken
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
    {
        if (block.timestamp > deadline) revert PermitExpired(deadline);
        bytes32 structHash = keccak256(abi.encode(_PERMIT, owner, spender, value, nonces[owner]++, deadline));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", DOMAIN_SEPARATOR(), structHash));
        address signer = ECDSA.tryRecover(digest, v, r, s);
        if (signer == address(0) || signer != owner) revert InvalidPermit(owner);
        _approve(owner, spender, value);
    }

    /// @inheritdoc ITwabToken
    function mint(address to, uint256 amount) external onlyMinter {
        _checkReceiver(to);
        uint256 supply = totalSupply() + amount;
        if (supply > type(uint96).max) revert SupplyOverflow(supply);
        _set(address(0), supply);
        _set(to, balanceOf(to) + amount);
        emit Transfer(address(0), to, amount);
    }

    /// @inheritdoc ITwabToken
    function burn(address from, uint256 amount) external onlyMinter {
        uint256 held = balanceOf(from);
        if (held < amount) revert InsufficientBalance(from, held, amount);
        _beforeBurn(from, amount);
        _set(from, held - amount);
        _set(address(0), totalSupply() - amount);
        emit Transfer(from, address(0), amount);
    }

    /// @inheritdoc ITwabToken
    function balanceOf(address account) public view returns (uint256) {
        // the supply's own account is not a holder
        return account == address(0) ? 0 : _accounts[account].balance();
    }

    /// @inheritdoc ITwabToken
    function totalSupply() public view returns (uint256) {
        return _accounts[address(0)].balance();
    }

    /// @inheritdoc ITwabToken
    function decimals() external pure returns (uint8) {
        return 18;
    }

    /// @inheritdoc ITwabToken
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(abi.encode(_DOMAIN, _nameHash, keccak256("1"), block.chainid, address(this)));
    }

    /* TIME-WEIGHTED BALANCE */

    /// @inheritdoc ITwabToken
    function balanceSeconds(address account, uint32 epoch) external view returns (uint256) {
        return account == address(0) ? 0 : _weight(account, epoch);
    }

    /// @inheritdoc ITwabToken
    function totalBalanceSeconds(uint32 epoch) external view returns (uint256) {
        return _weight(address(0), epoch);
    }

    /// @inheritdoc ITwabToken
    function pin(address account, uint32 epoch) external returns (uint256 weight) {
        weight = _weight(account, epoch);
        if (_pinned[account][epoch] == 0) {
            _pinned[account][epoch] = weight + 1;
            emit Pinned(account, epoch, weight);
        }
    }

    function _weight(address account, uint32 epoch) private view returns (uint256) {
        uint256 current = block.timestamp / Twab.EPOCH;
        if (epoch >= current) revert EpochNotFinished(epoch);
        if (uint256(epoch) + Twab.RING - 1 < current) {
            // a pin of what the ring still has says the same, so it is not read before
            uint256 pinned = _pinned[account][epoch];
            if (pinned == 0) revert EpochOutOfWindow(epoch);
            return pinned - 1;
        }
        Twab.Account storage a = _accounts[account];
        return a.cumulativeAt(uint256(epoch) + 1) - a.cumulativeAt(epoch);
    }

    /* INTERNAL */

    /// @dev Refuses a transfer that the token's own rules do not allow.
    function _beforeMove(address from, address to, uint256 amount) internal view virtual;

    /// @dev Called before `amount` of `from` is burnt.
    function _beforeBurn(address from, uint256 amount) internal virtual {}

    function _move(address from, address to, uint256 amount) private {
        _checkReceiver(to);
        _beforeMove(from, to, amount);
        // the supply's own account sends nothing, and not even zero units: that would write the supply
        if (from == address(0)) revert InsufficientBalance(from, 0, amount);
        Twab.Account storage source = _accounts[from];
        uint256 word = source.word;
        uint256 held = word & Twab.BALANCE_MASK;
        if (held < amount) revert InsufficientBalance(from, held, amount);
        if (from != to) {
            unchecked {
                source.set(word, held - amount);
                Twab.Account storage target = _accounts[to];
                word = target.word;
                // the supply fits 96 bits, so no balance can overflow them
                target.set(word, (word & Twab.BALANCE_MASK) + amount);
            }
        }
        emit Transfer(from, to, amount);
    }

    function _set(address account, uint256 newBalance) private {
        Twab.Account storage a = _accounts[account];
        a.set(a.word, newBalance);
    }

    function _approve(address owner, address spender, uint256 amount) private {
        allowance[owner][spender] = amount;
        emit Approval(owner, spender, amount);
    }

    function _checkReceiver(address to) private view {
        if (to == address(0) || to == address(this)) revert InvalidReceiver(to);
    }
}
