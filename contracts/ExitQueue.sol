// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IBuybackPool} from "./interfaces/IBuybackPool.sol";
import {IEpochLedger} from "./interfaces/IEpochLedger.sol";
import {IExitQueue} from "./interfaces/IExitQueue.sol";
import {QueueClaim} from "./tokens/QueueClaim.sol";

/// @title ExitQueue
/// @notice Units waiting for a pool, first in, first out. A settled ticket is credited, never sent: no receiver can stop
/// those behind it.
contract ExitQueue is IExitQueue, ReentrancyGuardTransient {
    using SafeTransferLib for address;

    /// @inheritdoc IExitQueue
    address public immutable pool;
    /// @inheritdoc IExitQueue
    address public immutable claimToken;
    address public immutable unit;
    IEpochLedger public immutable ledger;
    /// @inheritdoc IExitQueue
    uint256 public head;
    /// @inheritdoc IExitQueue
    mapping(address account => uint256) public claimable;
    Ticket[] private _tickets;

    constructor(address pool_, address unit_, address ledger_, string memory name) {
        pool = pool_;
        unit = unit_;
        ledger = IEpochLedger(ledger_);
        claimToken = address(new QueueClaim(string.concat(name, " queue claim"), string.concat("q", name)));
    }

    /// @inheritdoc IExitQueue
    function enqueue(uint256 units) external nonReentrant returns (uint256 id) {
        if (units == 0) revert ZeroUnits();
        if (ledger.isWrapper(msg.sender)) revert WrapperRefused(msg.sender);
        // a unit's supply has 96 bits; the transfer below fails for more
        uint32 round = IBuybackPool(pool).queueAdd(units);
        id = _tickets.length;
        _tickets.push(Ticket(msg.sender, uint96(units), 0, round));
        emit Queued(id, msg.sender, units);
        unit.safeTransferFrom(msg.sender, address(this), units);
        QueueClaim(claimToken).mint(msg.sender, units);
    }

    /// @inheritdoc IExitQueue
    function takeBack(uint256 id) external nonReentrant returns (uint256 units) {
        Ticket storage t = _tickets[id];
        if (t.owner != msg.sender) revert NotTheOwner(id);
        units = t.units - t.settledUnits;
        if (units == 0) revert ZeroUnits();
        t.units = t.settledUnits;
        IBuybackPool(pool).queueRemove(units, t.round);
        emit TakenBack(id, msg.sender, units);
        QueueClaim(claimToken).burn(msg.sender, units);
        unit.safeTransfer(msg.sender, units);
    }

    /// @inheritdoc IExitQueue
    function settle(uint256 maxTickets) external nonReentrant returns (uint256 units, uint256 quote) {
        uint256 id = head;
        uint256 count = _tickets.length;
        bool more = true;
        for (uint256 i = 0; i < maxTickets && id < count && more; ++i) {
            uint256 taken;
            uint256 paid;
            (taken, paid, more) = _settleTicket(id);
            units += taken;
            quote += paid;
            if (more) ++id;
        }
        if (units == 0 && id == head) revert NothingToSettle();
        head = id;
        if (units != 0) unit.safeTransfer(pool, units);
    }

    /// @dev Sells what is left of a ticket to the pool. `done`: nothing is left of it.
    function _settleTicket(uint256 id) private returns (uint256 taken, uint256 paid, bool done) {
        Ticket storage t = _tickets[id];
        uint256 left = t.units - t.settledUnits;
        if (left == 0) return (0, 0, true);
        (taken, paid) = IBuybackPool(pool).queueSettle(left, t.round);
        if (taken == 0) return (0, 0, false);
        t.settledUnits += uint96(taken);
        claimable[t.owner] += paid;
        emit Settled(id, t.owner, taken, paid);
        QueueClaim(claimToken).burn(t.owner, taken);
        done = taken == left;
    }

    /// @inheritdoc IExitQueue
    function claim(address to) external nonReentrant returns (uint256 quote) {
        quote = claimable[msg.sender];
        if (quote == 0) revert NothingToClaim(msg.sender);
        claimable[msg.sender] = 0;
        emit Claimed(msg.sender, to, quote);
        IBuybackPool(pool).queuePay(to, quote);
    }

    /// @inheritdoc IExitQueue
    function queuedUnits() external view returns (uint256) {
        return IBuybackPool(pool).queuedUnits();
    }

    /// @inheritdoc IExitQueue
    function ticketCount() external view returns (uint256) {
        return _tickets.length;
    }

    /// @inheritdoc IExitQueue
    function ticket(uint256 id) external view returns (Ticket memory) {
        return _tickets[id];
    }

    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }
}
