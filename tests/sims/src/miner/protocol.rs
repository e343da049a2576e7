//! What a machine's firmware remembers of its stratum connection, and how lines change it.

use rust_decimal::Decimal;
use serde_json::Value;

use super::hasher::Task;
use crate::work::{self, Bytes32, Work};

/// What a line means to the machine.
#[derive(Debug)]
pub(crate) enum Event {
    /// A new job to work on at once.
    Job(Box<Task>),
    /// The answer to a request: its number, and the error code if it was refused.
    Answer(u64, Option<i64>),
    /// `client.reconnect`.
    Reconnect,
    /// Understood or ignored; nothing to do.
    Nothing,
    /// Not JSON, or not stratum.
    Bad,
}

/// Requests with fixed numbers.
pub(crate) const CONFIGURE: u64 = 1;
pub(crate) const SUBSCRIBE: u64 = 2;
pub(crate) const AUTHORIZE: u64 = 3;
pub(crate) const EXTRANONCE: u64 = 4;
/// Numbers from here are `mining.submit`.
pub(crate) const FIRST_SUBMIT: u64 = 10;

/// Connection state.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    /// Mask that the firmware can roll.
    pub(crate) own_mask: u32,
    pub(crate) obeys_set_extranonce: bool,
    pub(crate) mask: u32,
    extranonce1: Vec<u8>,
    extranonce2_size: usize,
    /// For the next job: `mining.set_difficulty` does not touch the present one.
    next_target: Bytes32,
    pub(crate) epoch: u64,
}

impl Protocol {
    pub(crate) fn new(own_mask: u32, obeys_set_extranonce: bool, epoch: u64) -> Self {
        let next_target = work::target_of_difficulty(Decimal::ONE).unwrap_or_default();
        Self {
            own_mask,
            obeys_set_extranonce,
            mask: 0,
            extranonce1: Vec::new(),
            extranonce2_size: 0,
            next_target,
            epoch,
        }
    }

    /// Handles one line.
    pub(crate) fn line(&mut self, line: &str) -> Event {
        let Ok(message) = serde_json::from_str::<Value>(line) else { return Event::Bad };
        let params = message.get("params").unwrap_or(&Value::Null);
        match message.get("method").and_then(Value::as_str) {
            Some("mining.notify") => match self.notify(params) {
                Some(task) => Event::Job(Box::new(task)),
                None => Event::Bad,
            },
            Some("mining.set_difficulty") => self.set_difficulty(params),
            Some("mining.set_version_mask") => {
                match params.get(0).and_then(Value::as_str).map(work::u32_hex) {
                    Some(Ok(mask)) => self.mask = mask & self.own_mask,
                    _ => return Event::Bad,
                }
                Event::Nothing
            }
            Some("mining.set_extranonce") => self.set_extranonce(params),
            Some("client.reconnect") => Event::Reconnect,
            Some(_) => Event::Nothing,
            None => self.answer(&message),
        }
    }

    fn set_difficulty(&mut self, params: &Value) -> Event {
        let Some(Value::Number(number)) = params.get(0) else { return Event::Bad };
        let text = number.to_string();
        let parsed = Decimal::from_scientific(&text).or_else(|_| text.parse());
        match parsed.map(work::target_of_difficulty) {
            Ok(Ok(target)) => {
                self.next_target = target;
                Event::Nothing
            }
            _ => Event::Bad,
        }
    }

    fn set_extranonce(&mut self, params: &Value) -> Event {
        if self.obeys_set_extranonce {
            return match extranonce(params.get(0), params.get(1)) {
                Some((one, two)) => {
                    (self.extranonce1, self.extranonce2_size) = (one, two);
                    Event::Nothing
                }
                None => Event::Bad,
            };
        }
        Event::Nothing
    }

    fn answer(&mut self, message: &Value) -> Event {
        let Some(id) = message.get("id").and_then(Value::as_u64) else { return Event::Bad };
        let result = message.get("result").unwrap_or(&Value::Null);
        let error = message.get("error").filter(|error| !error.is_null());
        if id == CONFIGURE {
            let rolling = result.get("version-rolling").and_then(Value::as_bool);
            let mask = result.get("version-rolling.mask").and_then(Value::as_str);
            if let (Some(true), Some(Ok(mask))) = (rolling, mask.map(work::u32_hex)) {
                self.mask = mask & self.own_mask;
            }
        }
        if id == SUBSCRIBE {
            match extranonce(result.get(1), result.get(2)) {
                Some((one, two)) => (self.extranonce1, self.extranonce2_size) = (one, two),
                None => return Event::Bad,
            }
        }
        let code = error.map(|error| error.get(0).and_then(Value::as_i64).unwrap_or(20));
        let refused = code.or_else(|| (*result == Value::Bool(false)).then_some(20));
        Event::Answer(id, refused)
    }

    fn notify(&mut self, params: &Value) -> Option<Task> {
        let text = |index: usize| params.get(index).and_then(Value::as_str);
        let clean = params.get(8).and_then(Value::as_bool)?;
        let branches: Option<Vec<Bytes32>> = params
            .get(4)?
            .as_array()?
            .iter()
            .map(|branch| branch.as_str().and_then(|text| work::bytes32(text).ok()))
            .collect();
        let task = Task {
            job_id: text(0)?.into(),
            work: Work {
                prev: work::swap_words(&work::bytes32(text(1)?).ok()?),
                coinb1: hex::decode(text(2)?).ok()?,
                coinb2: hex::decode(text(3)?).ok()?,
                branches: branches?,
                version: work::u32_hex(text(5)?).ok()?,
                bits: work::u32_hex(text(6)?).ok()?,
                ntime: work::u32_hex(text(7)?).ok()?,
            },
            extranonce1: self.extranonce1.clone(),
            extranonce2_size: self.extranonce2_size,
            target: self.next_target,
            mask: self.mask,
            epoch: self.epoch + u64::from(clean),
        };
        self.epoch = task.epoch;
        Some(task)
    }
}

fn extranonce(one: Option<&Value>, two: Option<&Value>) -> Option<(Vec<u8>, usize)> {
    let one = hex::decode(one?.as_str()?).ok()?;
    let two = usize::try_from(two?.as_u64()?).ok()?;
    (1..=16).contains(&two).then_some((one, two))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, clean: bool) -> String {
        let zero = "00".repeat(32);
        format!(
            r#"{{"id":null,"method":"mining.notify","params":["{id}","{zero}","01","02",[],"20000000","207fffff","64c25820",{clean}]}}"#
        )
    }

    #[test]
    fn difficulty_and_extranonce_wait_for_the_next_job() {
        let mut protocol = Protocol::new(0x1fff_e000, true, 0);
        protocol.line(r#"{"id":2,"result":[[],"0a0b",4],"error":null}"#);
        let Event::Job(first) = protocol.line(&job("a", true)) else { panic!("no job") };
        protocol.line(r#"{"id":null,"method":"mining.set_difficulty","params":[0.5]}"#);
        protocol.line(r#"{"id":null,"method":"mining.set_extranonce","params":["0c",8]}"#);
        let Event::Job(second) = protocol.line(&job("b", false)) else { panic!("no job") };
        assert_eq!((first.extranonce1.as_slice(), first.extranonce2_size), (&[10, 11][..], 4));
        assert_eq!((second.extranonce1.as_slice(), second.extranonce2_size), (&[12][..], 8));
        assert!(first.target < second.target);
        assert_eq!((first.epoch, second.epoch), (1, 1));
    }

    #[test]
    fn masks_only_narrow_and_nonsense_is_bad() {
        let mut protocol = Protocol::new(0x1fff_e000, false, 0);
        protocol.line(r#"{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"ffffffff"},"error":null}"#);
        assert_eq!(protocol.mask, 0x1fff_e000);
        protocol.line(r#"{"id":null,"method":"mining.set_version_mask","params":["00ffe000"]}"#);
        assert_eq!(protocol.mask, 0x00ff_e000);
        assert!(matches!(protocol.line("{nonsense"), Event::Bad));
        let refused = r#"{"id":11,"result":null,"error":[23,"low",null]}"#;
        assert!(matches!(protocol.line(refused), Event::Answer(11, Some(23))));
        assert!(matches!(
            protocol.line(r#"{"id":12,"result":false}"#),
            Event::Answer(12, Some(20))
        ));
        assert!(matches!(protocol.line(r#"{"id":13,"result":true}"#), Event::Answer(13, None)));
    }
}
