// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ICreditRule} from "./interfaces/ICreditRule.sol";
import {IEpochLedger} from "./interfaces/IEpochLedger.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ISeriesRegistry} from "./interfaces/ISeriesRegistry.sol";
import {ITwabToken} from "./interfaces/ITwabToken.sol";

/// @title CreditRule
/// @notice Computes credit from the chain; apart from the court because both do not fit one contract.
contract CreditRule is ICreditRule {
    /// @inheritdoc ICreditRule
    address public immutable ledger;
    IEpochLedger private immutable _ledger;
    IFleetOracle private immutable _oracle;
    ISeriesRegistry public immutable registry;

    constructor(address ledger_) {
        ledger = ledger_;
        _ledger = IEpochLedger(ledger_);
        _oracle = IFleetOracle(IEpochLedger(ledger_).oracle());
        registry = ISeriesRegistry(_oracle.registry());
    }

    /// @inheritdoc ICreditRule
    function creditOf(uint32 epoch, uint16 series, address account, bytes calldata encoded)
        external
        view
        returns (uint256 sum)
    {
        IFleetOracle.SeriesReport[] calldata lines = _lines(epoch, encoded);
        // a wrapper's own output belongs to its holders
        if (isWrapper(epoch, account)) return 0;
        for (uint256 i = 0; i < lines.length; ++i) {
            if (lines[i].series == series) sum += _ofPots(epoch, series, lines[i].pots, account);
        }
    }

    function _ofPots(uint32 epoch, uint16 series, IFleetOracle.Piece[] calldata pots, address account)
        private
        view
        returns (uint256 sum)
    {
        ITwabToken unit = _unit(series);
        IEpochLedger.Wrapper[] memory list = _ledger.wrappersOf(series, epoch);
        for (uint256 i = 0; i < pots.length; ++i) {
            sum += _ofPiece(unit, list, pots[i], account);
        }
    }

    /// @dev Own holdings and each look-through are floored apart. 128-bit credits times 111-bit weights cannot overflow.
    function _ofPiece(
        ITwabToken unit,
        IEpochLedger.Wrapper[] memory list,
        IFleetOracle.Piece calldata piece,
        address account
    ) private view returns (uint256 sum) {
        uint32 epoch = piece.workEpoch;
        uint256 total = unit.totalBalanceSeconds(epoch);
        if (total == 0) return 0;
        uint256 pot = uint256(piece.sats) << 64;
        sum = pot * unit.balanceSeconds(account, epoch) / total;
        for (uint256 i = 0; i < list.length; ++i) {
            uint256 through = pot * unit.balanceSeconds(list[i].wrapper, epoch) / total;
            if (through == 0) continue;
            ITwabToken token = ITwabToken(list[i].shareToken);
            uint256 shares = token.totalBalanceSeconds(epoch);
            if (shares != 0) sum += through * token.balanceSeconds(account, epoch) / shares;
            else if (list[i].firstLoss == account) sum += through;
        }
    }

    function _unit(uint16 series) private view returns (ITwabToken) {
        return ITwabToken(registry.unitOf(series));
    }

    /// @inheritdoc ICreditRule
    function isWrapper(uint32 epoch, address account) public view returns (bool) {
        if (!_ledger.isWrapper(account)) return false;
        IEpochLedger.Wrapper[] memory list = _ledger.wrappers();
        uint256 i = 0;
        while (list[i].wrapper != account) {
            ++i;
        }
        return _ledger.wrapperFrom(i) <= epoch;
    }

    /// @inheritdoc ICreditRule
    function pinAll(uint32 epoch, address account, bytes calldata encoded) external {
        IFleetOracle.SeriesReport[] calldata lines = _lines(epoch, encoded);
        for (uint256 i = 0; i < lines.length; ++i) {
            IFleetOracle.SeriesReport calldata line = lines[i];
            ITwabToken unit = _unit(line.series);
            IEpochLedger.Wrapper[] memory list = _ledger.wrappersOf(line.series, epoch);
            for (uint256 j = 0; j < line.pots.length; ++j) {
                uint32 work = line.pots[j].workEpoch;
                _pin(unit, account, work);
                _pin(unit, address(0), work);
                for (uint256 k = 0; k < list.length; ++k) {
                    _pin(unit, list[k].wrapper, work);
                    _pin(ITwabToken(list[k].shareToken), account, work);
                    _pin(ITwabToken(list[k].shareToken), address(0), work);
                }
            }
        }
    }

    /// @dev What has left the ring already does not stop the demand.
    function _pin(ITwabToken token, address account, uint32 epoch) private {
        try token.pin(account, epoch) {} catch {}
    }

    /// @dev Series of the report posted for the epoch; none for a gap.
    function _lines(uint32 epoch, bytes calldata encoded)
        private
        view
        returns (IFleetOracle.SeriesReport[] calldata lines)
    {
        bytes32 hash = _oracle.reportHash(epoch);
        if (hash == 0 ? encoded.length != 0 : keccak256(encoded) != hash) revert WrongReport(epoch);
        IFleetOracle.FleetReport calldata report;
        assembly ("memory-safe") {
            // the report stands after its offset, in the one encoding that the oracle hashed
            report := add(encoded.offset, 32)
            lines.length := 0
        }
        if (hash != 0) lines = report.series;
    }
}
