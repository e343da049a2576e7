//! Where our contracts are on a chain: the file that the deployment writes and every service reads.

use std::path::Path;

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
};
use domain::{EpochId, SeriesId};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Addresses of one deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Block of the first deployment transaction: no log of ours is older.
    pub block: u64,
    /// First epoch that is reported and committed.
    pub first_epoch: EpochId,
    /// OpenZeppelin AccessManager.
    pub access_manager: Address,
    /// Quote token.
    pub quote: Address,
    /// Series and machines.
    pub series_registry: Address,
    /// Holder of unsold units.
    pub primary_sale: Address,
    /// Order settlement.
    pub position_market: Address,
    /// Fair value per unit.
    pub fair_value: Address,
    /// Reports.
    pub fleet_oracle: Address,
    /// Payout scripts.
    pub payout_registry: Address,
    /// Payout roots and proofs.
    pub epoch_ledger: Address,
    /// Header checks.
    pub bitcoin_relay: Address,
    /// Bond and challenges.
    pub ledger_court: Address,
    /// What challenges compute credit with.
    pub credit_rule: Address,
    /// Generation changes and the escrow of scrap proceeds.
    pub series_upgrader: Address,
    /// Deposit for duplicate serials.
    pub registrar_bond: Address,
    /// Proofs of hashrate.
    pub hash_proof: Address,
    /// From one series into another in one transaction.
    pub repositioner: Address,
    /// Contracts of each series, by id.
    pub series: Vec<SeriesContracts>,
}

/// The contracts of one series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeriesContracts {
    /// Series id.
    pub id: SeriesId,
    /// Unit token.
    pub unit: Address,
    /// Buyback pool.
    pub pool: Address,
    /// Its LP share token.
    pub lp_share: Address,
    /// Exit queue.
    pub queue: Address,
    /// Its claim token.
    pub claim_token: Address,
}

impl Deployment {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is missing, malformed, or has an unknown key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let fail = |why: String| Error::File { path: path.display().to_string(), why };
        let text = std::fs::read_to_string(path).map_err(|error| {
            fail(format!("{error}; deploy the contracts first (scripts/deploy)"))
        })?;
        serde_json::from_str(&text).map_err(|error| fail(error.to_string()))
    }

    /// Checks that `provider` speaks for the chain of this deployment.
    ///
    /// # Errors
    /// When it does not, or does not answer.
    pub async fn check_chain(&self, provider: &impl Provider) -> Result<(), Error> {
        let found = provider.get_chain_id().await.map_err(|e| Error::rpc("chain id", e))?;
        if found == self.chain_id {
            Ok(())
        } else {
            Err(Error::WrongChain { expected: self.chain_id, found })
        }
    }

    /// Id of the fleet in proofs of hashrate: that of the registry that lists its machines.
    #[must_use]
    pub fn fleet(&self) -> B256 {
        self.series_registry.into_word()
    }

    /// The contracts of one series.
    #[must_use]
    pub fn series(&self, id: SeriesId) -> Option<&SeriesContracts> {
        self.series.iter().find(|series| series.id == id)
    }

    /// Every contract whose logs matter, each once.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        let mut all = vec![
            self.series_registry,
            self.primary_sale,
            self.position_market,
            self.fair_value,
            self.fleet_oracle,
            self.payout_registry,
            self.epoch_ledger,
            self.series_upgrader,
            self.registrar_bond,
            self.ledger_court,
        ];
        for series in &self.series {
            all.extend([
                series.unit,
                series.pool,
                series.lp_share,
                series.queue,
                series.claim_token,
            ]);
        }
        all
    }
}
