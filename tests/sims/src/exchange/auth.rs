//! Signed requests: parameters, API key, timestamp, HMAC-SHA256; errors in Binance's words.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::{
    Exchange,
    config::{Key, Scope},
};
use crate::amount;

/// An error body `{"code": .., "msg": ".."}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: i64,
    pub(crate) msg: String,
}

impl ApiError {
    /// A 400.
    pub(crate) fn bad(code: i64, msg: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, msg: msg.into() }
    }

    fn missing(name: &str) -> Self {
        let msg =
            format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed.");
        Self::bad(-1102, msg)
    }
}

impl From<eyre::Report> for ApiError {
    fn from(error: eyre::Report) -> Self {
        tracing::warn!("internal: {error:#}");
        let msg = "An unknown error occurred while processing the request.".into();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: -1000, msg }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"code": self.code, "msg": self.msg}))).into_response()
    }
}

/// Decoded parameters of query and body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// Decodes `a=1&b=2` texts; later ones win.
    pub(crate) fn decode(texts: &[&str]) -> Self {
        let pairs = texts.iter().flat_map(|text| text.split('&')).filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((percent_decode(key), percent_decode(value)))
        });
        Self(pairs.collect())
    }

    /// A parameter that is present and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A parameter that must be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::missing(name))
    }

    /// A positive decimal with 8 places at most, in 1e-8.
    pub(crate) fn units(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match amount::parse(text) {
            Ok(units) if units > 0 => Ok(Some(units)),
            _ => {
                let msg = format!("Illegal characters found in parameter '{name}'.");
                Err(ApiError::bad(-1100, msg))
            }
        }
    }

    /// An integer.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let parse = |text: &str| text.parse::<u64>().map_err(|_| ApiError::missing(name));
        self.get(name).map(parse).transpose()
    }
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let decoded = match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                hex::decode(digits).ok().and_then(|d| d.first().copied()).unwrap_or(b'?')
            }
            plain => plain,
        };
        out.push(decoded);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What is signed: query then body, without the signature itself.
fn payload(query: &str, body: &str) -> String {
    let strip = |text: &str| {
        let kept: Vec<&str> =
            text.split('&').filter(|pair| !pair.starts_with("signature=")).collect();
        kept.join("&")
    };
    strip(query) + &strip(body)
}

/// HMAC-SHA256 in lower-case hex.
pub(crate) fn sign(secret: &str, payload: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new(); // unreachable: HMAC takes keys of any length
    };
    mac.update(payload.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// A request's clock: server time and how fast it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) server_ms: u64,
    pub(crate) scale: u64,
}

/// Checks key, timestamp, signature and scope; gives the parameters and the account.
pub(crate) fn check(
    keys: &[Key],
    clock: Clock,
    api_key: Option<&str>,
    (query, body): (&str, &str),
    scope: Scope,
) -> Result<(Params, String), ApiError> {
    let denied =
        |code, msg: &str| ApiError { status: StatusCode::UNAUTHORIZED, code, msg: msg.into() };
    let wrong_key = || denied(-2015, "Invalid API-key, IP, or permissions for action.");
    let api_key = api_key.ok_or_else(|| denied(-2014, "API-key format invalid."))?;
    let key = keys.iter().find(|key| key.api_key == api_key).ok_or_else(wrong_key)?;
    let params = Params::decode(&[query, body]);
    let signature = params.need("signature")?;
    let timestamp = params.number("timestamp")?.ok_or_else(|| ApiError::missing("timestamp"))?;
    let window = params.number("recvWindow")?.unwrap_or(5000);
    if window > 60_000 {
        return Err(ApiError::bad(-1131, "recvWindow must be less than 60000"));
    }
    if timestamp >= clock.server_ms + 1000 * clock.scale {
        let msg = "Timestamp for this request was 1000ms ahead of the server's time.";
        return Err(ApiError::bad(-1021, msg));
    }
    if clock.server_ms.saturating_sub(timestamp) > window * clock.scale {
        return Err(ApiError::bad(
            -1021,
            "Timestamp for this request is outside of the recvWindow.",
        ));
    }
    if !sign(&key.secret, &payload(query, body)).eq_ignore_ascii_case(signature) {
        return Err(ApiError::bad(-1022, "Signature for this request is not valid."));
    }
    if !key.scopes.contains(&scope) {
        return Err(wrong_key());
    }
    Ok((params, key.account.clone()))
}

impl Exchange {
    /// [`check`] for a request as axum gives it.
    pub(crate) fn signed(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        body: &str,
        scope: Scope,
    ) -> Result<(Params, String), ApiError> {
        let clock = Clock { server_ms: self.server_ms(), scale: self.cfg.time_scale };
        let api_key = headers.get("x-mbx-apikey").and_then(|value| value.to_str().ok());
        check(&self.cfg.keys, clock, api_key, (query.unwrap_or_default(), body), scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, request and signature of Binance's published example of a signed endpoint.
    const KEY: &str = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
    const SECRET: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
    const REQUEST: &str = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
    const SIGNATURE: &str = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";

    fn ask(now: u64, scale: u64, key: &str, query: &str, body: &str) -> Result<String, i64> {
        let keys = [Key {
            api_key: KEY.into(),
            secret: SECRET.into(),
            account: "a".into(),
            scopes: vec![Scope::Trade],
        }];
        let clock = Clock { server_ms: now, scale };
        check(&keys, clock, Some(key), (query, body), Scope::Trade)
            .map(|(_, account)| account)
            .map_err(|error| error.code)
    }

    #[test]
    fn binances_published_example_in_query_body_and_both() {
        assert_eq!(sign(SECRET, REQUEST), SIGNATURE);
        let now = 1_499_827_319_600;
        let full = format!("{REQUEST}&signature={SIGNATURE}");
        assert_eq!(ask(now, 1, KEY, &full, ""), Ok("a".into()));
        assert_eq!(ask(now, 1, KEY, "", &full), Ok("a".into()));
        // Mixed: the payload is query and body without a separator (Binance's third example).
        let (query, body) = REQUEST.split_once("&quantity").unwrap();
        let body = format!("quantity{body}");
        let mixed = sign(SECRET, &format!("{query}{body}"));
        assert_eq!(mixed, "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77");
        assert_eq!(ask(now, 1, KEY, query, &format!("{body}&signature={mixed}")), Ok("a".into()));
    }

    #[test]
    fn wrong_requests_get_binances_codes() {
        let now = 1_499_827_319_600;
        let full = format!("{REQUEST}&signature={SIGNATURE}");
        assert_eq!(ask(now + 5000, 1, KEY, &full, ""), Err(-1021));
        assert_eq!(ask(now - 2000, 1, KEY, &full, ""), Err(-1021));
        assert_eq!(ask(now + 5000, 960, KEY, &full, ""), Ok("a".into()));
        assert_eq!(ask(now, 1, KEY, &full.replace("BUY", "SELL"), ""), Err(-1022));
        assert_eq!(ask(now, 1, "nobody", &full, ""), Err(-2015));
        assert_eq!(ask(now, 1, KEY, REQUEST, ""), Err(-1102));
    }

    #[test]
    fn parameters_are_decoded() {
        let params = Params::decode(&["a=%2Fx+y&b=", "c=0.5"]);
        assert_eq!(params.get("a"), Some("/x y"));
        assert_eq!(params.get("b"), None);
        assert_eq!(params.units("c"), Ok(Some(50_000_000)));
    }
}
