//! The protocol: everybody observes; the leader of the round gathers, has the report signed, and posts.
//!
//! Leader of (epoch, round) = signer (epoch + round) mod n in the contract's order; a round lasts a fixed chain time, so a
//! dead leader is passed over. Each round is signed anew: a leader who dies half-way, or who shows different observations
//! to different signers, costs that round and no more. Within its round a leader asks again, always with the request it
//! has signed itself. If no report can be made for long, the leader has the gap signed by a quorum, and after a day
//! declares it alone; the receipts stay for a later report. Beside that, each epoch's hashrate is proven.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, Signature};
use evm::quorum;
use futures::future::join_all;

use crate::{
    observation::SignedObservation,
    peers::{Peers, get, others, post, remember},
    proofs::Prover,
    report::ChainView,
    request::{SignRequest, leader},
    signer::{Refusal, Signer},
    store::Seen,
    watch,
};

/// Seconds after the end of an epoch at which anyone may declare a gap.
const GAP_AFTER: u64 = 86_400;
/// After failures the pause doubles, this often at most.
const MOST_DOUBLINGS: u32 = 4;

/// Follows the chain for ever: observes, leads when it is this signer's turn, keeps valuations up to date, and watches the
/// other signers.
pub async fn run(signer: Arc<Signer>) {
    let peers = Peers::default();
    let http = reqwest::Client::new();
    let poll = Duration::from_millis(signer.config.timing.poll_ms.max(20));
    let mut failed_value = None;
    let mut watched = None;
    let mut failures = 0_u32;
    let mut prover = Prover::default();
    loop {
        let done = step(&signer, &peers).await;
        failures = if done.is_ok() { 0 } else { failures.saturating_add(1).min(MOST_DOUBLINGS) };
        let trouble = done.err().map(|error| error.to_string());
        if let Some(trouble) = &trouble {
            tracing::warn!("{trouble}");
        }
        signer.note(|notes| notes.trouble = trouble);
        if let Err(error) = keep_valued(&signer, &mut failed_value).await {
            tracing::warn!("valuation: {error}");
        }
        if let Err(error) = prover.step(&signer, &http).await {
            tracing::warn!("proof of hashrate: {error}");
        }
        if let Err(error) = watch::look(&signer, &peers, &mut watched).await {
            tracing::warn!("watching the other signers: {error}");
        }
        // A source that says no is not asked five times a second.
        tokio::time::sleep(poll.saturating_mul(1 << failures)).await;
    }
}

async fn step(signer: &Signer, peers: &Peers) -> Result<(), Refusal> {
    let epoch = signer.chain.next_epoch().await?;
    signer.note(|notes| notes.last_posted = epoch.previous().map(|last| last.0));
    if signer.clock.now() < signer.due(epoch) {
        return Ok(());
    }
    let own = signer.observe(epoch).await;
    let round = signer.round(epoch);
    signer.note(|notes| notes.round = Some((epoch.0, round)));
    let view = signer.chain.view().await?;
    if view.epoch != epoch || leader(epoch, round, &view.signers) != Some(signer.address()) {
        return own.map(|_| ());
    }
    tracing::info!(%epoch, round, "leading");
    let led = match own {
        Ok(own) => lead(signer, peers, &view, round, own).await,
        Err(error) => Err(error),
    };
    match led {
        Ok(()) => Ok(()),
        // Somebody else may have settled the epoch meanwhile.
        Err(_) if signer.chain.next_epoch().await? != epoch => Ok(()),
        Err(error) => declare_gap(signer, peers, &view, error).await,
    }
}

/// Declares the gap, if it is time: alone after a day, with a quorum's signatures before. Else hands `error` back.
async fn declare_gap(
    signer: &Signer,
    peers: &Peers,
    view: &ChainView,
    error: Refusal,
) -> Result<(), Refusal> {
    let (epoch, now) = (view.epoch, signer.clock.now());
    if now >= epoch.end().saturating_add(GAP_AFTER) {
        tracing::error!(%epoch, "no report can be made, a gap is declared: {error}");
        signer.chain.declare_gap(epoch).await?;
        return Ok(());
    }
    let Ok(own) = signer.sign_gap(epoch).await else { return Err(error) };
    let digest = signer.domain.quorum().gap(epoch.0, view.config_digest);
    let asked = others(signer).map(|peer| get(signer, peers, peer, format!("/gap?epoch={epoch}")));
    let answers: Vec<Result<String, String>> = join_all(asked).await;
    let mut signatures: Vec<(Address, Signature)> = Vec::new();
    for signature in std::iter::once(own).chain(answers.into_iter().flatten()) {
        take(&mut signatures, view, digest, &signature);
    }
    if signatures.len() < view.quorum {
        return Err(error);
    }
    tracing::error!(%epoch, "no report can be made, a quorum declares a gap: {error}");
    let packed = packed(view, signatures, view.quorum)?;
    signer.chain.declare_gap_by_quorum(epoch, packed).await?;
    Ok(())
}

async fn lead(
    signer: &Signer,
    peers: &Peers,
    view: &ChainView,
    round: u16,
    own: SignedObservation,
) -> Result<(), Refusal> {
    // asking again in the same round, it is bound to what it asked first
    let request = match signer.store.signed(view.epoch, round).await? {
        Some(signed) => serde_json::from_str(&signed.request)
            .map_err(|error| Refusal::Trouble(error.to_string()))?,
        None => gather(signer, peers, view, round, own).await?,
    };
    let (_, combined) = signer.combined(&request).await?;
    let hash = quorum::report_hash(&combined.report);
    let needed = signer.chain.signatures_needed(&combined.report).await?;
    let signatures = collect(signer, peers, view, &request, hash).await?;
    if signatures.len() < needed {
        let (found, epoch) = (signatures.len(), view.epoch);
        return Err(Refusal::NotNow(format!(
            "epoch {epoch}, round {round}: {found} signatures, {needed} are needed"
        )));
    }
    let packed = packed(view, signatures, needed)?;
    let txid = signer.chain.post(&combined.report, packed).await?;
    let receipts = combined.report.receipts.len();
    tracing::info!(epoch = %view.epoch, round, %txid, receipts, signatures = needed, "report posted");
    Ok(())
}

fn packed(
    view: &ChainView,
    mut signatures: Vec<(Address, Signature)>,
    needed: usize,
) -> Result<alloy::primitives::Bytes, Refusal> {
    signatures.truncate(needed);
    quorum::pack(&view.signers, &signatures)
        .ok_or_else(|| Refusal::Trouble("a signature of nobody in the set".into()))
}

async fn gather(
    signer: &Signer,
    peers: &Peers,
    view: &ChainView,
    round: u16,
    own: SignedObservation,
) -> Result<SignRequest, Refusal> {
    let epoch = view.epoch;
    let asked = others(signer).map(|peer| async move {
        let path = format!("/observation?epoch={epoch}");
        (peer, get::<SignedObservation>(signer, peers, peer, path).await)
    });
    let mut observations = vec![own];
    let mut seen = vec![signer.address()];
    for (peer, answer) in join_all(asked).await {
        let opened = answer.and_then(|signed| match signer.domain.open(&signed, &view.signers) {
            Ok((who, seen)) if seen.epoch == epoch => Ok((who, signed)),
            Ok(_) => Err("an observation of another epoch".into()),
            Err(error) => Err(error.to_string()),
        });
        match opened {
            Ok((who, signed)) if !seen.contains(&who) => {
                seen.push(who);
                observations.push(signed);
            }
            Ok((who, _)) => remember(signer, peer, &format!("gave a second observation of {who}")),
            Err(why) => remember(signer, peer, &why),
        }
    }
    if observations.len() < view.quorum {
        let (found, quorum) = (observations.len(), view.quorum);
        return Err(Refusal::NotNow(format!(
            "epoch {epoch}: {found} observations, {quorum} are needed"
        )));
    }
    observations.sort_by(|a, b| a.signature.cmp(&b.signature));
    Ok(SignRequest { epoch, round, observations })
}

/// Signatures over the report by distinct signers who count; who signed something else is noticed.
async fn collect(
    signer: &Signer,
    peers: &Peers,
    view: &ChainView,
    request: &SignRequest,
    hash: B256,
) -> Result<Vec<(Address, Signature)>, Refusal> {
    let (epoch, round) = (request.epoch, request.round);
    let digest = signer.domain.quorum().digest(epoch.0, round, hash);
    let mut signatures = Vec::new();
    match signer.sign(request).await {
        Ok(own) => take(&mut signatures, view, digest, &own.signature),
        Err(why) => {
            tracing::warn!(%epoch, round, "this signer does not sign: {why}");
            return Err(why);
        }
    };
    let led = &signer.lead(request)?;
    let asked = others(signer).map(|peer| async move {
        (peer, post::<_, Seen>(signer, peers, peer, "/sign", led).await)
    });
    for (peer, answer) in join_all(asked).await {
        let said = match answer {
            Ok(seen) => {
                watch::take(signer, view, &seen).await?;
                let useful = take(&mut signatures, view, digest, &seen.signature);
                if useful { "signed".to_owned() } else { "gave a useless signature".to_owned() }
            }
            Err(why) => {
                tracing::warn!(%epoch, round, peer = %peer.address, "does not sign: {why}");
                why
            }
        };
        remember(signer, peer, &said);
    }
    Ok(signatures)
}

/// Adds a signature, if it is another signer's who counts. Says whether it did.
fn take(
    signatures: &mut Vec<(Address, Signature)>,
    view: &ChainView,
    digest: B256,
    text: &str,
) -> bool {
    match watch::recover(digest, text) {
        Some((who, signature))
            if view.counting.contains(&who)
                && !signatures.iter().any(|(other, _)| *other == who) =>
        {
            signatures.push((who, signature));
            true
        }
        _ => false,
    }
}

/// Applies every report and valuation that is not applied yet, in order.
async fn keep_valued(signer: &Signer, failed: &mut Option<B256>) -> Result<(), evm::Error> {
    // One signer at a time, in turns, so that five do not send the same transaction.
    let turn = signer.clock.now() / signer.config.timing.attempt_seconds.max(1);
    let signers = signer.chain.signers().await?;
    let count = u64::try_from(signers.len()).unwrap_or(1).max(1);
    let place = usize::try_from(turn % count).unwrap_or_default();
    if signers.get(place) != Some(&signer.address()) {
        return Ok(());
    }
    for posted in signer.chain.pending().await? {
        if *failed == Some(posted.hash()) {
            return Ok(());
        }
        if let Err(error) = signer.chain.apply(&posted).await {
            if !error.retryable() {
                *failed = Some(posted.hash());
            }
            return Err(error);
        }
        tracing::info!(epoch = posted.epoch(), "valued");
        *failed = None;
    }
    Ok(())
}
