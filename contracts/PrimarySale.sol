// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {FixedPointMathLib as Math} from "solady/utils/FixedPointMathLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IFairValue} from "./interfaces/IFairValue.sol";
import {ILedgerCourt} from "./interfaces/ILedgerCourt.sol";
import {IPayoutRegistry} from "./interfaces/IPayoutRegistry.sol";
import {IPrimarySale} from "./interfaces/IPrimarySale.sol";
import {ISeriesRegistry} from "./interfaces/ISeriesRegistry.sol";
import {ITwabToken} from "./interfaces/ITwabToken.sol";
import {Stoppable} from "./Stoppable.sol";

/// @title PrimarySale
/// @notice Account of all unsold units. Keeps no books: what it holds is what it can sell.
contract PrimarySale is IPrimarySale, Stoppable {
    using SafeTransferLib for address;

    /// @inheritdoc IPrimarySale
    address public immutable quoteToken;
    ISeriesRegistry public immutable registry;
    IFairValue public immutable fairValue;
    IPayoutRegistry public immutable payouts;
    ILedgerCourt public immutable court;

    constructor(
        address authority,
        address registry_,
        address fairValue_,
        address payouts_,
        address quoteToken_,
        address court_
    ) AccessManaged(authority) {
        court = ILedgerCourt(court_);
        registry = ISeriesRegistry(registry_);
        fairValue = IFairValue(fairValue_);
        payouts = IPayoutRegistry(payouts_);
        quoteToken = quoteToken_;
    }

    /// @inheritdoc IPrimarySale
    function quoteBuy(uint16 series, uint256 units) public view returns (uint256 quote) {
        (, uint256 ask, uint256 freshUntil) = fairValue.quotes(series);
        if (block.timestamp > freshUntil) revert StaleValue(series);
        return Math.fullMulDivUp(ask, units, 1e18);
    }

    /// @inheritdoc IPrimarySale
    function buy(uint16 series, uint256 units, uint256 maxQuote, address to)
        external
        whenRunning
        returns (uint256 quote)
    {
        if (units == 0) revert ZeroUnits();
        if (!court.bonded()) revert Underbonded();
        (bool unbacked,,) = fairValue.backing(series);
        if (unbacked) revert Unbacked(series);
        quote = quoteBuy(series, units);
        if (quote > maxQuote) revert MaxQuoteExceeded(quote, maxQuote);
        ITwabToken unit = ITwabToken(registry.unitOf(series));
        uint256 available = unit.balanceOf(address(this));
        if (units > available) revert NothingToSell(series, available);
        emit Bought(series, msg.sender, to, units, quote);
        quoteToken.safeTransferFrom(msg.sender, address(this), quote);
        unit.transfer(to, units);
    }

    /// @inheritdoc IPrimarySale
    function setPayoutScript(bytes calldata script, uint64 minimum) external restricted {
        payouts.setScript(script, minimum);
    }

    /// @inheritdoc IPrimarySale
    function withdraw(address to, uint256 quote) external restricted {
        emit Withdrawn(to, quote);
        quoteToken.safeTransfer(to, quote);
    }
}
