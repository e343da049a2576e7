// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Deploy} from "../../../scripts/deploy/Deploy.s.sol";

/// @notice Every contract of a deployment that has a function which changes anything, by name; of the demo's money none.
function deployedContracts(Deploy.System memory sys, Deploy.Line memory line)
    view
    returns (string[19] memory names, address[19] memory list)
{
    names = [
        "SeriesRegistry",
        "PrimarySale",
        "PositionMarket",
        "FairValue",
        "FleetOracle",
        "PayoutRegistry",
        "EpochLedger",
        "BitcoinRelay",
        "LedgerCourt",
        "CreditRule",
        "SeriesUpgrader",
        "RegistrarBond",
        "HashProof",
        "Repositioner",
        "BuybackPool",
        "ExitQueue",
        "HashrateUnit",
        "LpShare",
        "QueueClaim"
    ];
    list = [
        address(sys.seriesRegistry),
        address(sys.primarySale),
        address(sys.positionMarket),
        address(sys.fairValue),
        address(sys.fleetOracle),
        address(sys.payoutRegistry),
        address(sys.epochLedger),
        address(sys.bitcoinRelay),
        address(sys.ledgerCourt),
        address(sys.creditRule),
        address(sys.seriesUpgrader),
        address(sys.registrarBond),
        address(sys.hashProof),
        address(sys.repositioner),
        address(line.pool),
        address(line.queue),
        line.unit,
        line.pool.lpShare(),
        line.queue.claimToken()
    ];
}
