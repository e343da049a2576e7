//! Lines of JSON-RPC as stratum writes them. Nothing a peer sends can make this panic or allocate without bound:
//! the reader of the socket limits the length of a line before it comes here.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::share::Submit;

/// A line that is not stratum, in words for its sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LineError(pub String);

/// A peer's own name for a request, echoed in the reply byte for byte.
pub type RequestId = Box<RawValue>;

/// Any line.
#[derive(Debug)]
pub enum Message {
    /// A call, or a notification if it has no id.
    Call {
        /// Id, unless null or absent.
        id: Option<RequestId>,
        /// Method.
        method: String,
        /// Positional parameters.
        params: Vec<Box<RawValue>>,
    },
    /// An answer to one of our calls.
    Answer {
        /// Our id.
        id: u64,
        /// What the peer said.
        outcome: Outcome,
    },
}

/// The answer to a call.
#[derive(Debug)]
pub enum Outcome {
    /// A result, and no error.
    Result(Box<RawValue>),
    /// An error: stratum's code (20 if none was given) and the peer's words.
    Error(i64, String),
}

/// What a machine asks for.
#[derive(Debug)]
pub enum MinerCall {
    /// `mining.configure`: the version mask it can roll, if any.
    Configure(Option<u32>),
    /// `mining.subscribe`.
    Subscribe,
    /// `mining.authorize` with its user name.
    Authorize(String),
    /// `mining.submit`.
    Submit(Submit),
    /// A request that we agree to and need nothing done for.
    Agreed,
    /// A method that we do not have.
    Unknown(String),
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl Message {
    /// Reads one line, with or without its line end.
    ///
    /// # Errors
    /// When it is neither a call nor an answer.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let wire: Wire<'_> = serde_json::from_slice(line)
            .map_err(|error| LineError(format!("malformed line: {error}")))?;
        if let Some(method) = wire.method {
            let params = wire.params.map_or("[]", RawValue::get);
            let params = serde_json::from_str(params)
                .map_err(|error| LineError(format!("{method}: params are no array: {error}")))?;
            let id = wire.id.map(ToOwned::to_owned);
            return Ok(Self::Call { id, method: method.into_owned(), params });
        }
        let id = wire.id.and_then(|id| serde_json::from_str(id.get()).ok());
        let id = id.ok_or_else(|| LineError("a line without method or numeric id".to_owned()))?;
        let outcome = match (wire.error, wire.result) {
            (Some(error), _) => peer_error(error.get()),
            (None, Some(result)) => Outcome::Result(result.to_owned()),
            (None, None) => Outcome::Error(20, "neither result nor error".to_owned()),
        };
        Ok(Self::Answer { id, outcome })
    }
}

/// Stratum's `[code, words, trace]`, or JSON-RPC's object, or anything else as words.
fn peer_error(raw: &str) -> Outcome {
    #[derive(Deserialize)]
    struct Object {
        code: i64,
        message: String,
    }
    if let Ok((code, words, _)) = serde_json::from_str::<(i64, String, serde_json::Value)>(raw) {
        return Outcome::Error(code, words);
    }
    if let Ok((code, words)) = serde_json::from_str::<(i64, String)>(raw) {
        return Outcome::Error(code, words);
    }
    if let Ok(Object { code, message }) = serde_json::from_str(raw) {
        return Outcome::Error(code, message);
    }
    Outcome::Error(20, raw.chars().take(200).collect())
}

impl MinerCall {
    /// Reads a machine's call.
    ///
    /// # Errors
    /// When a method we have is called with parameters it does not take.
    pub fn parse(method: &str, params: &[Box<RawValue>]) -> Result<Self, LineError> {
        Ok(match method {
            "mining.configure" => Self::Configure(requested_mask(params)?),
            "mining.subscribe" => Self::Subscribe,
            "mining.authorize" => Self::Authorize(text(params, 0, method, "user")?),
            "mining.submit" => Self::Submit(Submit::parse(params)?),
            "mining.extranonce.subscribe"
            | "mining.suggest_difficulty"
            | "mining.suggest_target" => Self::Agreed,
            other => Self::Unknown(other.chars().take(64).collect()),
        })
    }
}

fn requested_mask(params: &[Box<RawValue>]) -> Result<Option<u32>, LineError> {
    #[derive(Deserialize)]
    struct Options {
        #[serde(rename = "version-rolling.mask")]
        mask: Option<String>,
    }
    let wrong = |why: String| LineError(format!("mining.configure: {why}"));
    let [extensions, options, ..] = params else { return Ok(None) };
    let extensions: Vec<String> =
        serde_json::from_str(extensions.get()).map_err(|error| wrong(error.to_string()))?;
    if !extensions.iter().any(|name| name == "version-rolling") {
        return Ok(None);
    }
    let options: Options =
        serde_json::from_str(options.get()).map_err(|error| wrong(error.to_string()))?;
    let Some(mask) = options.mask else { return Ok(Some(u32::MAX)) };
    word(&mask).map(Some).ok_or_else(|| wrong(format!("mask {mask:?} is not 8 hex digits")))
}

/// A string parameter.
///
/// # Errors
/// When it is missing or no string.
pub fn text(
    params: &[Box<RawValue>],
    index: usize,
    method: &str,
    name: &str,
) -> Result<String, LineError> {
    let raw = params.get(index).ok_or_else(|| LineError(format!("{method}: {name} is missing")))?;
    serde_json::from_str(raw.get()).map_err(|error| LineError(format!("{method}: {name}: {error}")))
}

/// The number of exactly eight hex digits.
#[must_use]
pub fn word(text: &str) -> Option<u32> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// A reply with a result, given as JSON.
#[must_use]
pub fn reply(id: Option<&RequestId>, result: &str) -> String {
    format!("{{\"id\":{},\"result\":{result},\"error\":null}}\n", id.map_or("null", |id| id.get()))
}

/// A reply with stratum's error.
#[must_use]
pub fn refuse(id: Option<&RequestId>, code: i64, words: &str) -> String {
    let words = serde_json::Value::from(words);
    let id = id.map_or("null", |id| id.get());
    format!("{{\"id\":{id},\"result\":null,\"error\":[{code},{words},null]}}\n")
}

/// A call under our own id, or a notification without one; `params` is JSON.
#[must_use]
pub fn call(id: Option<u64>, method: &str, params: &str) -> String {
    let id = id.map_or_else(|| "null".to_owned(), |id| id.to_string());
    format!("{{\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_call_keeps_its_id_and_number_text() {
        let line =
            br#"{"id":"x7","method":"mining.set_difficulty","params":[9.5367431640625e-07]}"#;
        let Message::Call { id, params, .. } = Message::parse(line).unwrap() else { panic!() };
        assert_eq!(id.unwrap().get(), "\"x7\"");
        assert_eq!(params[0].get(), "9.5367431640625e-07");
    }

    #[test]
    fn errors_come_in_three_shapes() {
        for (line, code) in [
            (r#"{"id":1,"result":null,"error":[21,"stale",null]}"#, 21),
            (r#"{"id":1,"result":false,"error":{"code":23,"message":"low"}}"#, 23),
            (r#"{"id":1,"result":null,"error":"go away"}"#, 20),
        ] {
            let Message::Answer { id: 1, outcome: Outcome::Error(found, _) } =
                Message::parse(line.as_bytes()).unwrap()
            else {
                panic!("{line}")
            };
            assert_eq!(found, code);
        }
    }

    #[test]
    fn a_mask_is_read_from_configure() {
        let call = |line: &str| {
            let Message::Call { method, params, .. } = Message::parse(line.as_bytes()).unwrap()
            else {
                panic!()
            };
            MinerCall::parse(&method, &params)
        };
        let line = r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2}]}"#;
        assert!(matches!(call(line), Ok(MinerCall::Configure(Some(0x1fff_e000)))));
        let line = r#"{"id":1,"method":"mining.configure","params":[["minimum-difficulty"],{}]}"#;
        assert!(matches!(call(line), Ok(MinerCall::Configure(None))));
        let line = r#"{"id":1,"method":"mining.submit","params":["w","1","00","zz","00000000"]}"#;
        assert!(call(line).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
            let _ = Message::parse(&bytes);
            let _ = Message::parse(text.as_bytes());
            let line = serde_json::json!({"id": 1, "method": "mining.submit", "params": [text, text, text, text]});
            if let Ok(Message::Call { method, params, .. }) = Message::parse(line.to_string().as_bytes()) {
                let _ = MinerCall::parse(&method, &params);
                let _ = crate::stratum::job::PoolJob::parse(&params);
            }
        }

        #[test]
        fn words_of_a_refusal_are_escaped(words in ".{0,80}") {
            let line = refuse(None, 20, &words);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
        }
    }
}
