//! The protocol: everybody observes; the leader of the attempt gathers, has it signed, and posts.
//!
//! Leader of (epoch, attempt) = signer (epoch + attempt) mod n in the contract's order; an attempt lasts a fixed chain
//! time, so a dead leader is passed over. A signer that has signed says for which observations: the next leader takes
//! those up, so a leader that dies half-way blocks nobody. If a day has passed and no report can be made, the leader
//! declares the gap, and the receipts stay for a later report. Beside that, each epoch's hashrate is proven.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, Bytes, Signature};
use domain::EpochId;
use futures::future::join_all;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    config::Peer,
    observation::SignedObservation,
    proofs::Prover,
    report::ChainView,
    signer::{ROUND, Refusal, SignAnswer, SignRequest, Signer},
};

/// Seconds after the end of an epoch at which anyone may declare a gap.
const GAP_AFTER: u64 = 86_400;
/// After failures the pause doubles, this often at most.
const MOST_DOUBLINGS: u32 = 4;

/// Follows the chain for ever: observes, leads when it is this signer's turn, and keeps valuations up to date.
pub async fn run(signer: Arc<Signer>) {
    let http = reqwest::Client::new();
    let poll = Duration::from_millis(signer.config.timing.poll_ms.max(20));
    let mut last_attempt = None;
    let mut failed_value = None;
    let mut failures = 0_u32;
    let mut prover = Prover::default();
    loop {
        let done = step(&signer, &http, &mut last_attempt).await;
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
        // A source that says no is not asked five times a second.
        tokio::time::sleep(poll.saturating_mul(1 << failures)).await;
    }
}

async fn step(
    signer: &Signer,
    http: &reqwest::Client,
    last_attempt: &mut Option<(EpochId, u64)>,
) -> Result<(), Refusal> {
    let epoch = signer.chain.next_epoch().await?;
    signer.note(|notes| notes.last_posted = epoch.previous().map(|last| last.0));
    let now = signer.clock.now();
    if now < signer.due(epoch) {
        return Ok(());
    }
    let own = signer.observe(epoch).await;
    let passed = now.saturating_sub(signer.due(epoch));
    let attempt = passed.checked_div(signer.config.timing.attempt_seconds).unwrap_or_default();
    signer.note(|notes| notes.attempt = Some((epoch.0, attempt)));
    if *last_attempt == Some((epoch, attempt)) {
        return own.map(|_| ());
    }
    let view = signer.chain.view().await?;
    if view.epoch != epoch || leader(&view, attempt) != Some(signer.address()) {
        return own.map(|_| ());
    }
    *last_attempt = Some((epoch, attempt));
    tracing::info!(%epoch, attempt, "leading");
    let led = match own {
        Ok(own) => lead(signer, http, &view, own).await,
        Err(error) => Err(error),
    };
    match led {
        Ok(()) => Ok(()),
        Err(error) if signer.clock.now() >= epoch.end().saturating_add(GAP_AFTER) => {
            // Somebody else may have settled the epoch meanwhile.
            if signer.chain.next_epoch().await? != epoch {
                return Ok(());
            }
            tracing::error!(%epoch, "no report can be made, a gap is declared: {error}");
            signer.chain.declare_gap(epoch).await?;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn leader(view: &ChainView, attempt: u64) -> Option<Address> {
    let count = u64::try_from(view.signers.len()).ok()?;
    let place = u64::from(view.epoch.0).wrapping_add(attempt).checked_rem(count)?;
    view.signers.get(usize::try_from(place).ok()?).copied()
}

async fn lead(
    signer: &Signer,
    http: &reqwest::Client,
    view: &ChainView,
    own: SignedObservation,
) -> Result<(), Refusal> {
    let request = match taken_up(signer, http, view.epoch).await? {
        Some(request) => request,
        None => gather(signer, http, view, own).await?,
    };
    let (_, combined) = signer.combined(&request).await?;
    let digest = signer.domain.report_digest(&combined.report);
    let mut signatures = collect(signer, http, view, &request, digest).await?;
    signatures.sort_by_key(|(address, _)| *address);
    signatures.truncate(view.quorum);
    let signatures = signatures.into_iter().map(|(_, signature)| signature).collect();
    let hash = signer.chain.post(&combined.report, signatures).await?;
    let receipts = combined.report.receipts.len();
    tracing::info!(epoch = %view.epoch, txid = %hash, receipts, "report posted");
    Ok(())
}

/// The observations that most signers have signed already, if any have.
async fn taken_up(
    signer: &Signer,
    http: &reqwest::Client,
    epoch: EpochId,
) -> Result<Option<SignRequest>, Refusal> {
    let mut found: Vec<String> = Vec::new();
    found.extend(signer.store.signed(epoch, ROUND).await?.map(|signed| signed.request));
    let asked = others(signer).map(|peer| {
        get::<Option<SignRequest>>(signer, http, peer, format!("/signed?epoch={epoch}"))
    });
    for answer in join_all(asked).await {
        if let Ok(Some(request)) = answer {
            found.extend(serde_json::to_string(&request).ok());
        }
    }
    // A liar may name nonsense: what makes no report is passed over, and hides nothing that does.
    for text in by_votes(found) {
        let Ok(request) = serde_json::from_str::<SignRequest>(&text) else { continue };
        if signer.combined(&request).await.is_ok() {
            let observations = request.observations.len();
            tracing::info!(%epoch, observations, "taking up what was signed before");
            return Ok(Some(request));
        }
    }
    Ok(None)
}

/// Each text once, the most frequent first; of equally frequent ones, the first named.
fn by_votes(texts: Vec<String>) -> Vec<String> {
    let mut counted: Vec<(usize, String)> = Vec::new();
    for text in texts {
        match counted.iter_mut().find(|(_, other)| *other == text) {
            Some((count, _)) => *count = count.saturating_add(1),
            None => counted.push((1, text)),
        }
    }
    counted.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    counted.into_iter().map(|(_, text)| text).collect()
}

async fn gather(
    signer: &Signer,
    http: &reqwest::Client,
    view: &ChainView,
    own: SignedObservation,
) -> Result<SignRequest, Refusal> {
    let epoch = view.epoch;
    let asked = others(signer).map(|peer| async move {
        let path = format!("/observation?epoch={epoch}");
        (peer, get::<SignedObservation>(signer, http, peer, path).await)
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
    Ok(SignRequest { epoch, observations })
}

async fn collect(
    signer: &Signer,
    http: &reqwest::Client,
    view: &ChainView,
    request: &SignRequest,
    digest: B256,
) -> Result<Vec<(Address, Bytes)>, Refusal> {
    let own = signer.sign(request).await;
    let led = &signer.lead(request)?;
    let asked = others(signer).map(|peer| async move {
        (peer, post::<_, SignAnswer>(signer, http, peer, "/sign", led).await)
    });
    let mut signatures = Vec::new();
    match own.map_err(|error| error.to_string()).and_then(|answer| checked(&answer, digest)) {
        Ok(signed) => signatures.push(signed),
        Err(why) => tracing::warn!(epoch = %view.epoch, "this signer does not sign: {why}"),
    }
    for (peer, answer) in join_all(asked).await {
        match answer.and_then(|answer| checked(&answer, digest)) {
            Ok((who, signature))
                if view.signers.contains(&who)
                    && !signatures.iter().any(|(other, _)| *other == who) =>
            {
                remember(signer, peer, "signed");
                signatures.push((who, signature));
            }
            Ok((who, _)) => remember(signer, peer, &format!("a useless signature of {who}")),
            Err(why) => {
                tracing::warn!(epoch = %view.epoch, peer = %peer.address, "does not sign: {why}");
                remember(signer, peer, &why);
            }
        }
    }
    if signatures.len() < view.quorum {
        let (found, quorum, epoch) = (signatures.len(), view.quorum, view.epoch);
        return Err(Refusal::NotNow(format!(
            "epoch {epoch}: {found} signatures, {quorum} are needed"
        )));
    }
    Ok(signatures)
}

fn checked(answer: &SignAnswer, digest: B256) -> Result<(Address, Bytes), String> {
    if answer.digest != digest {
        return Err(format!("signed digest {}, not {digest}", answer.digest));
    }
    let bytes = hex::decode(&answer.signature).map_err(|error| error.to_string())?;
    let signature = Signature::from_raw(&bytes).map_err(|error| error.to_string())?;
    let who = signature.recover_address_from_prehash(&digest).map_err(|error| error.to_string())?;
    Ok((who, bytes.into()))
}

async fn keep_valued(signer: &Signer, failed: &mut Option<u32>) -> Result<(), evm::Error> {
    let reports = signer.chain.reports().await?;
    let Some(report) = reports.last().filter(|report| *failed != Some(report.epoch)) else {
        return Ok(());
    };
    // One signer at a time, in turns, so that five do not send the same transaction.
    let view_turn = u64::from(report.epoch)
        .wrapping_add(signer.clock.now() / signer.config.timing.attempt_seconds.max(1));
    let signers = signer.chain.signers().await?;
    let count = u64::try_from(signers.len()).unwrap_or(1).max(1);
    let place = usize::try_from(view_turn % count).unwrap_or_default();
    if signers.get(place) != Some(&signer.address()) {
        return Ok(());
    }
    match signer.chain.value(report).await {
        Ok(true) => {
            tracing::info!(epoch = report.epoch, "valued");
            *failed = None;
        }
        Ok(false) => *failed = Some(report.epoch),
        Err(error) => {
            if !error.retryable() {
                *failed = Some(report.epoch);
            }
            return Err(error);
        }
    }
    Ok(())
}

fn others(signer: &Signer) -> impl Iterator<Item = &Peer> {
    signer.config.peers.iter().filter(|peer| peer.address != signer.address())
}

fn remember(signer: &Signer, peer: &Peer, what: &str) {
    signer.note(|notes| {
        notes.peers.insert(peer.address, what.to_owned());
    });
}

async fn get<T: DeserializeOwned>(
    signer: &Signer,
    http: &reqwest::Client,
    peer: &Peer,
    path: String,
) -> Result<T, String> {
    let request = http.get(format!("{}{path}", peer.url.trim_end_matches('/')));
    answer(signer, request).await
}

async fn post<B: Serialize, T: DeserializeOwned>(
    signer: &Signer,
    http: &reqwest::Client,
    peer: &Peer,
    path: &str,
    body: &B,
) -> Result<T, String> {
    let request = http.post(format!("{}{path}", peer.url.trim_end_matches('/'))).json(body);
    answer(signer, request).await
}

async fn answer<T: DeserializeOwned>(
    signer: &Signer,
    request: reqwest::RequestBuilder,
) -> Result<T, String> {
    let wait = Duration::from_millis(signer.config.timing.answer_ms);
    let answer = request.timeout(wait).send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(text);
    }
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_liars_nonsense_hides_no_request() {
        let texts = ["own", "lie", "peer", "peer"].map(String::from).to_vec();
        assert_eq!(by_votes(texts), ["peer", "own", "lie"]);
    }
}
