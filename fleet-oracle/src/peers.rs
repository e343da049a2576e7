//! HTTP to the other signers.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{config::Peer, signer::Signer};

/// Connections to the other signers.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    http: reqwest::Client,
}

/// The other signers, as configured.
pub(crate) fn others(signer: &Signer) -> impl Iterator<Item = &Peer> {
    signer.config.peers.iter().filter(|peer| peer.address != signer.address())
}

/// Notes a peer's last answer for `/status`.
pub(crate) fn remember(signer: &Signer, peer: &Peer, what: &str) {
    signer.note(|notes| {
        notes.peers.insert(peer.address, what.to_owned());
    });
}

/// GET, decoded; the peer's words if it refuses.
pub(crate) async fn get<T: DeserializeOwned>(
    signer: &Signer,
    peers: &Peers,
    peer: &Peer,
    path: String,
) -> Result<T, String> {
    let request = peers.http.get(format!("{}{path}", peer.url.trim_end_matches('/')));
    answer(signer, request).await
}

/// POST, decoded; the peer's words if it refuses.
pub(crate) async fn post<B: Serialize, T: DeserializeOwned>(
    signer: &Signer,
    peers: &Peers,
    peer: &Peer,
    path: &str,
    body: &B,
) -> Result<T, String> {
    let url = format!("{}{path}", peer.url.trim_end_matches('/'));
    answer(signer, peers.http.post(url).json(body)).await
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
