//! Bindings generated from the Solidity interfaces themselves: there is no second copy of an ABI to drift.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::all,
    clippy::as_conversions,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::float_arithmetic,
    clippy::too_many_lines,
    reason = "generated code; the documentation is in contracts/interfaces"
)]

use alloy::sol;

sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/ITwabToken.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/ISeriesRegistry.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IFleetOracle.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IFairValue.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IPrimarySale.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IPositionMarket.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IBuybackPool.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IExitQueue.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IPayoutRegistry.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IBitcoinRelay.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IEpochLedger.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/ILedgerCourt.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/ISeriesUpgrader.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IRegistrarBond.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IHashProof.sol"
);
sol!(
    #[sol(rpc, all_derives)]
    "../contracts/interfaces/IDemoQuote.sol"
);

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::sol_types::{SolEvent, SolStruct};

    #[test]
    fn structs_keep_their_eip712_names() {
        assert!(IFleetOracle::FleetReport::eip712_encode_type().starts_with(
            "FleetReport(uint32 epoch,uint16 round,bytes32 prevHash,bytes32 configDigest,uint64 quotePerBtc,"
        ));
        assert_eq!(ITwabToken::Transfer::SIGNATURE, "Transfer(address,address,uint256)");
    }
}
