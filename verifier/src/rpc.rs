//! JSON-RPC over HTTP, for both chains: batches, answers remembered by question, and one place where a test may lie.
//!
//! A *rewrite* sees every answer as it came over the wire, before anything of the verifier reads it. That is where
//! `--tamper` alters it.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

use crate::Error;

/// A method with its parameters.
pub type Call = (&'static str, Value);
/// A node's result, or its words of refusal.
pub type Answer = Result<Value, String>;
/// Alters an answer before it is read; says whether it did.
pub type Rewrite = Arc<dyn Fn(&str, &Value, &mut Value) -> bool + Send + Sync>;

/// Calls in one HTTP request.
const BATCH: usize = 64;
/// Longest wait for one HTTP answer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A node behind a URL. Clones share what they remember.
#[derive(Clone)]
pub struct Rpc {
    wire: Arc<Wire>,
    rewrite: Option<Rewrite>,
}

struct Wire {
    who: &'static str,
    url: String,
    login: Option<(String, String)>,
    http: reqwest::Client,
    /// Whether large answers (Bitcoin blocks) are remembered too.
    keep_all: bool,
    answers: Mutex<HashMap<String, Answer>>,
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
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build();
        let http = http.map_err(|error| Error::Node {
            who: who.into(),
            doing: "making an HTTP client".into(),
            why: error.to_string(),
        })?;
        let answers = Mutex::new(HashMap::new());
        let wire = Wire { who, url: url.into(), login, http, keep_all, answers };
        Ok(Self { wire: Arc::new(wire), rewrite: None })
    }

    /// The same node through a liar.
    #[must_use]
    pub fn tampered(&self, rewrite: Rewrite) -> Self {
        Self { wire: Arc::clone(&self.wire), rewrite: Some(rewrite) }
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
                    if self.wire.keep_all || call.0 != "getblock" {
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
            who: format!("{} at {}", self.who, self.url),
            doing: (*first).to_owned(),
            why,
        };
        let mut request = self.http.post(&self.url).json(&body);
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password));
        }
        let response = request.send().await.map_err(|error| fail(error.to_string()))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| fail(error.to_string()))?;
        let answers: Vec<Value> = serde_json::from_slice(&bytes)
            .map_err(|error| fail(format!("HTTP {status}, no JSON-RPC batch: {error}")))?;
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
