//! Watches the other signers: who signs two reports of one epoch and round loses its stake.
//!
//! A signer sees signatures as answers to what it leads, and in its peers' lists of those that they saw. The first one of
//! each signer, epoch and round is kept; a second over another report is proof, and goes to the contract.

use alloy::primitives::{Address, B256, Signature};
use futures::future::join_all;

use crate::{
    peers::{Peers, get, others},
    report::ChainView,
    signer::{Refusal, Signer},
    store::Seen,
};

/// Asks the peers, once per round, for the signatures they saw of the epoch at hand and of the one before.
pub(crate) async fn look(
    signer: &Signer,
    peers: &Peers,
    watched: &mut Option<(u32, u16)>,
) -> Result<(), Refusal> {
    let epoch = signer.chain.next_epoch().await?;
    let place = (epoch.0, signer.round(epoch));
    if *watched == Some(place) {
        return Ok(());
    }
    let signers = signer.chain.signers().await?;
    let counts = signer.chain.counts(signer.address()).await?;
    if !counts {
        tracing::warn!(
            "this signer's signature does not count: it is not in the set, or has too little stake"
        );
    }
    signer.note(|notes| notes.counts = Some(counts));
    for epoch in [Some(epoch), epoch.previous()].into_iter().flatten() {
        let asked = others(signer)
            .map(|peer| get::<Vec<Seen>>(signer, peers, peer, format!("/seen?epoch={epoch}")));
        for seen in join_all(asked).await.into_iter().flatten().flatten() {
            if seen.epoch == epoch.0 {
                compare(signer, &signers, &seen).await?;
            }
        }
    }
    *watched = Some(place);
    Ok(())
}

/// Takes note of an answer.
pub(crate) async fn take(signer: &Signer, view: &ChainView, seen: &Seen) -> Result<(), Refusal> {
    compare(signer, &view.signers, seen).await
}

async fn compare(signer: &Signer, signers: &[Address], seen: &Seen) -> Result<(), Refusal> {
    let digest = signer.domain.quorum().digest(seen.epoch, seen.round, seen.hash);
    let Some((who, _)) = recover(digest, &seen.signature) else { return Ok(()) };
    if !signers.contains(&who) {
        return Ok(());
    }
    let first = signer.store.see(who, seen).await?;
    if first.hash == seen.hash {
        return Ok(());
    }
    let (epoch, round) = (seen.epoch, seen.round);
    tracing::error!(epoch, round, signer = %who, "signed two reports of one epoch and round");
    match signer.chain.slash(&first, seen).await {
        Ok(txid) => {
            tracing::warn!(epoch, round, signer = %who, %txid, "its stake is taken");
            signer.note(|notes| notes.slashed.push(who));
            Ok(())
        }
        // somebody was faster, or nothing was staked
        Err(error) if !error.retryable() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Who made a signature, 65 bytes hex.
pub(crate) fn recover(digest: B256, text: &str) -> Option<(Address, Signature)> {
    let signature = Signature::from_raw(&hex::decode(text).ok()?).ok()?;
    let who = signature.recover_address_from_prehash(&digest).ok()?;
    Some((who, signature))
}
