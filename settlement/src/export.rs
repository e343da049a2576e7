//! PSBTs of a planned epoch as files, for signers that are not on a socket. Read from the database; nothing is sent.

use domain::EpochId;
use serde::Serialize;

use crate::{
    config::Config, engine::unsigned, error::Error, psbt, state::State, store::Store,
    treasury::Treasury,
};

/// One PSBT, as a signer is asked with it.
#[derive(Debug, Serialize)]
pub struct Unsigned {
    /// Epoch.
    pub epoch: u32,
    /// Batch; 65535 for a root transaction.
    pub batch: u16,
    /// Hex.
    pub psbt: String,
}

/// The PSBTs of an epoch, the one that spends the baton first.
///
/// # Errors
/// When the epoch is not planned, or the database cannot be read.
pub async fn psbts(config: &Config, epoch: EpochId) -> Result<Vec<Unsigned>, Error> {
    let (store, vault) = (Store::read(&config.database).await?, config.vault()?);
    let (lookahead, birthday) = (config.vault.lookahead, config.bitcoin.birthday_height);
    let treasury = Treasury::load(&vault, store.wallet().await?, lookahead, birthday)?;
    let planned = match store.state(epoch).await? {
        Some(State::Planned(planned)) => planned,
        Some(State::Signed(signed) | State::Sent(signed)) => signed.planned,
        Some(State::Confirmed(confirmed) | State::Proven(confirmed)) => confirmed.signed.planned,
        _ => return Err(Error::waiting(epoch, "it is not planned yet")),
    };
    let each = planned.plan.txs.iter().map(|each| {
        let psbt = psbt::to_hex(&unsigned(&vault, &treasury, &planned, each)?);
        Ok(Unsigned { epoch: epoch.0, batch: each.batch, psbt })
    });
    each.collect()
}
