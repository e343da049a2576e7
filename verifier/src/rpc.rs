//! JSON-RPC over HTTP, for both chains: batches, answers remembered by question, and one place where a test may lie.
//!
//! Below it is a [`Transport`]: HTTP, or a chain made up in the same process by a test. A *rewrite* sees every answer as
//! it came over the wire, before anything of the verifier reads it. That is where `--tamper` alters it.

use std::{
    collections::HashMap,
    future::Future,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{Error, cache::Cache, progress::Progress};

/// A method with its parameters.
pub type Call = (&'static str, Value);
/// A node's result, or its words of refusal.
pub type Answer = Result<Value, String>;
/// Alters an answer before it is read; says whether it did.
pub type Rewrite = Arc<dyn Fn(&str, &Value, &mut Value) -> bool + Send + Sync>;

/// The bytes that a transport brings back, later; or why it could not.
pub type Posted<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>>;

/// Takes the body of a JSON-RPC batch to a node and brings back the body of its answer.
pub trait Transport: Send + Sync {
    /// Posts one body.
    fn post(&self, body: Vec<u8>) -> Posted<'_>;
}

/// Calls in one HTTP request.
const BATCH: usize = 128;
/// Methods whose answers are large and asked for once.
const LARGE: [&str; 4] = ["getblock", "getrawtransaction", "gettxoutproof", "eth_getLogs"];
/// Longest wait for one HTTP answer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A node behind a URL. Clones share what they remember.
#[derive(Clone)]
pub struct Rpc {
    wire: Arc<Wire>,
    rewrite: Option<Rewrite>,
    kept: Option<Arc<Cache>>,
    progress: Progress,
}

struct Wire {
    who: &'static str,
    place: String,
    transport: Arc<dyn Transport>,
    /// Whether large answers are remembered too.
    keep_all: bool,
    answers: Mutex<HashMap<String, Answer>>,
}

struct Http {
    url: String,
    login: Option<(String, String)>,
    client: reqwest::Client,
}

impl Transport for Http {
    fn post(&self, body: Vec<u8>) -> Posted<'_> {
        Box::pin(async move {
            let json = ("content-type", "application/json");
            let mut request = self.client.post(&self.url).header(json.0, json.1).body(body);
            if let Some((user, password)) = &self.login {
                request = request.basic_auth(user, Some(password));
            }
            let response = request.send().await.map_err(|error| error.to_string())?;
            let status = response.status();
            let bytes = response.bytes().await.map_err(|error| error.to_string())?;
            if bytes.is_empty() {
                return Err(format!("HTTP {status} without a body"));
            }
            Ok(bytes.to_vec())
        })
    }
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Rpc({}{})",
            self.wire.who,
            if self.rewrite.is_some() { ", tampered" } else { "" }
        )
    }
}

impl Rpc {
    /// A node. `who` names it in messages; `cookie` is a file with `user:password`, so that no secret is an argument.
    ///
    /// # Errors
    /// When the cookie file cannot be read or has no colon, or no HTTP client can be made.
    pub fn new(
        who: &'static str,
        url: &str,
        cookie: Option<&Path>,
        keep_all: bool,
    ) -> Result<Self, Error> {
        let login = cookie.map(read_cookie).transpose()?;
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build();
        let client = client.map_err(|error| Error::Node {
            who: who.into(),
            doing: "making an HTTP client".into(),
            why: error.to_string(),
        })?;
        let http = Http { url: url.into(), login, client };
        Ok(Self::over(who, url, Arc::new(http), keep_all))
    }

    /// A node behind any transport; `place` names it in messages.
    #[must_use]
    pub fn over(
        who: &'static str,
        place: &str,
        transport: Arc<dyn Transport>,
        keep_all: bool,
    ) -> Self {
        let answers = Mutex::new(HashMap::new());
        let wire = Wire { who, place: place.into(), transport, keep_all, answers };
        let (rewrite, kept, progress) = (None, None, Progress::default());
        Self { wire: Arc::new(wire), rewrite, kept, progress }
    }

    /// The same node through a liar.
    #[must_use]
    pub fn tampered(&self, rewrite: Rewrite) -> Self {
        Self { rewrite: Some(rewrite), kept: None, ..self.clone() }
    }

    /// The same node, with a folder for what was read of it. A liar's words are never kept.
    #[must_use]
    pub fn keeping(&self, kept: Option<Arc<Cache>>) -> Self {
        Self { kept, ..self.clone() }
    }

    /// The same node, with somewhere to say how far its readers have come.
    #[must_use]
    pub fn showing(&self, progress: Progress) -> Self {
        Self { progress, ..self.clone() }
    }

    /// What was read before.
    #[must_use]
    pub fn kept(&self) -> Option<&Cache> {
        self.kept.as_deref()
    }

    /// Where readers say how far they have come.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// One call.
    ///
    /// # Errors
    /// When the node does not answer, or refuses.
    pub async fn one(&self, method: &'static str, params: Value) -> Result<Value, Error> {
        let answer = self.all(vec![(method, params)]).await?.pop();
        let answer = answer.unwrap_or_else(|| Err("no answer".into()));
        answer.map_err(|why| Error::Refused { doing: format!("{} {method}", self.wire.who), why })
    }

    /// Many calls; answers in order of the calls.
    ///
    /// # Errors
    /// When the node does not answer. A refusal is an answer.
    pub async fn all(&self, calls: Vec<Call>) -> Result<Vec<Answer>, Error> {
        let mut answers = Vec::with_capacity(calls.len());
        for chunk in calls.chunks(BATCH) {
            for ((method, params), mut answer) in chunk.iter().zip(self.chunk(chunk).await?) {
                if let (Some(rewrite), Ok(value)) = (&self.rewrite, &mut answer)
                    && rewrite(method, params, value)
                {
                    tracing::debug!(method, "answer altered");
                }
                answers.push(answer);
            }
        }
        Ok(answers)
    }

    /// Answers to at most a batch of calls, those remembered from memory.
    async fn chunk(&self, calls: &[Call]) -> Result<Vec<Answer>, Error> {
        let known: Vec<Option<Answer>> = {
            let answers = self.wire.answers.lock().unwrap_or_else(PoisonError::into_inner);
            calls.iter().map(|call| answers.get(&key(call)).cloned()).collect()
        };
        let asked: Vec<&Call> =
            calls.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(c, _)| c).collect();
        let mut fresh = self.wire.send(&asked).await?.into_iter();
        let mut answers = self.wire.answers.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(calls
            .iter()
            .zip(known)
            .map(|(call, known)| {
                known.unwrap_or_else(|| {
                    let answer = fresh.next().unwrap_or_else(|| Err("no answer".into()));
                    if self.wire.keep_all || !LARGE.contains(&call.0) {
                        answers.insert(key(call), answer.clone());
                    }
                    answer
                })
            })
            .collect())
    }
}

impl Wire {
    async fn send(&self, calls: &[&Call]) -> Result<Vec<Answer>, Error> {
        let Some((first, _)) = calls.first() else { return Ok(Vec::new()) };
        let body: Vec<Value> = calls
            .iter()
            .enumerate()
            .map(|(id, (method, params))| {
                json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
            })
            .collect();
        let fail = |why: String| Error::Node {
            who: format!("{} at {}", self.who, self.place),
            doing: (*first).to_owned(),
            why,
        };
        let body = serde_json::to_vec(&body).map_err(|error| fail(error.to_string()))?;
        let bytes = self.transport.post(body).await.map_err(fail)?;
        let answers: Vec<Value> = serde_json::from_slice(&bytes)
            .map_err(|error| fail(format!("no JSON-RPC batch: {error}")))?;
        let mut by_id: HashMap<u64, Answer> = answers.into_iter().map(answer_of).collect();
        Ok((0_u64..)
            .zip(calls)
            .map(|(id, _)| by_id.remove(&id).unwrap_or_else(|| Err("no answer".into())))
            .collect())
    }
}

fn answer_of(mut answer: Value) -> (u64, Answer) {
    let id = answer.get("id").and_then(Value::as_u64).unwrap_or(u64::MAX);
    match answer.get("error") {
        Some(error) if !error.is_null() => (id, Err(error.to_string())),
        _ => (id, Ok(answer.get_mut("result").map(Value::take).unwrap_or_default())),
    }
}

fn key((method, params): &Call) -> String {
    format!("{method} {params}")
}

fn read_cookie(path: &Path) -> Result<(String, String), Error> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
    let (user, password) = text
        .trim()
        .split_once(':')
        .ok_or_else(|| Error::file(path, "a cookie file holds `user:password`"))?;
    Ok((user.to_owned(), password.to_owned()))
}
