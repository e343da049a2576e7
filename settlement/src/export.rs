//! PSBTs of a planned epoch as files, for signers that are not on a socket. Read from the database; nothing is sent.

use domain::EpochId;

use crate::{
    config::Config, engine::unsigned, error::Error, protocol::Request, state::State, store::Store,
    treasury::Treasury,
};

/// The PSBTs of an epoch as a signer is asked with them, the one that spends the baton first; then those of dearer
/// variants that were fixed and not signed.
///
/// # Errors
/// When the epoch is not planned, or the database cannot be read.
pub async fn psbts(config: &Config, epoch: EpochId) -> Result<Vec<Request>, Error> {
    let (store, vault) = (Store::read(&config.database).await?, config.vault()?);
    let (lookahead, birthday) = (config.vault.lookahead, config.bitcoin.birthday_height);
    let treasury = Treasury::load(&vault, store.wallet().await?, lookahead, birthday)?;
    let planned = match store.state(epoch).await? {
        Some(State::Planned(planned)) => planned,
        Some(State::Signed(signed) | State::Sent(signed)) => signed.planned,
        Some(State::Confirmed(confirmed) | State::Proven(confirmed)) => confirmed.signed.planned,
        _ => return Err(Error::waiting(epoch, "it is not planned yet")),
    };
    let mut requests = Vec::new();
    let others = planned.others.iter().filter(|other| other.txs.is_empty());
    let others = others.map(|other| planned.clone().exchanged(Vec::new(), other.clone()).0);
    for planned in std::iter::once(planned.clone()).chain(others) {
        for each in &planned.plan.txs {
            let psbt = unsigned(&vault, |place| treasury.coin(place), &planned, each)?;
            requests.push(Request::new(epoch.0, each.batch, &psbt, &planned.intent.batches));
        }
    }
    Ok(requests)
}
