//! Present prices and depth of every market: scenarios, and what was taken in this instant.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    book::{self, Level, Side},
    config::{ExchangeConfig, Symbol},
    scenario::{Scenario, parse_18},
};
use crate::amount;

/// The market's moving parts.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) symbols: BTreeMap<String, Symbol>,
    pub(crate) hardware: BTreeMap<String, Scenario>,
    seed: u64,
    /// Server time of the first start: where drift begins.
    pub(crate) origin: u64,
    /// Base quantity taken at a server time; the book is whole again at the next.
    taken: BTreeMap<(String, Side), (u64, u64)>,
}

impl Market {
    pub(crate) fn new(cfg: &ExchangeConfig) -> Self {
        Self {
            symbols: cfg.symbols.clone(),
            hardware: cfg.hardware.clone(),
            seed: cfg.seed,
            origin: 0,
            taken: BTreeMap::new(),
        }
    }

    /// Middle price, 1e-8 quote per base.
    pub(crate) fn middle(&self, name: &str, now: u64) -> Option<u64> {
        let scenario = &self.symbols.get(name)?.price;
        let base = amount::parse(&scenario.base).ok()?;
        Some(scenario.price(base, name, self.seed, self.origin, now))
    }

    /// Price of one hash per second, 1e-18 USDC.
    pub(crate) fn hardware(&self, algorithm: &str, now: u64) -> Option<u64> {
        let scenario = self.hardware.get(algorithm)?;
        let base = parse_18(&scenario.base).ok()?;
        Some(scenario.price(base, algorithm, self.seed, self.origin, now))
    }

    /// What a customer on `side` would take now, best first.
    pub(crate) fn levels(&self, name: &str, side: Side, now: u64) -> Option<Vec<Level>> {
        let levels = book::levels(self.symbols.get(name)?, self.middle(name, now)?, side);
        let taken = match self.taken.get(&(name.to_owned(), side)) {
            Some((at, taken)) if *at == now => *taken,
            _ => 0,
        };
        Some(book::without(levels, taken))
    }

    /// Remembers what an order took.
    pub(crate) fn take(&mut self, name: &str, side: Side, now: u64, size: u64) {
        let entry = self.taken.entry((name.to_owned(), side)).or_default();
        if entry.0 != now {
            *entry = (now, 0);
        }
        entry.1 += size;
    }

    /// Changes a scenario: `{"symbol": "BCHBTC" | "hardware:sha256", <fields to change>}`.
    pub(crate) fn change(&mut self, body: &Value) -> Result<Value, String> {
        let name = body.get("symbol").and_then(Value::as_str).unwrap_or_default();
        let hardware = name.strip_prefix("hardware:");
        let scenario = match hardware {
            Some(algorithm) => self.hardware.get_mut(algorithm),
            None => self.symbols.get_mut(name).map(|symbol| &mut symbol.price),
        };
        let scenario = scenario.ok_or_else(|| format!("no scenario {name:?}"))?;
        let mut merged = json!(scenario);
        for (key, value) in body.as_object().into_iter().flatten().filter(|(k, _)| *k != "symbol") {
            if let Some(object) = merged.as_object_mut() {
                object.insert(key.clone(), value.clone());
            }
        }
        let next: Scenario =
            serde_json::from_value(merged.clone()).map_err(|error| error.to_string())?;
        next.check().map_err(|error| error.to_string())?;
        match hardware {
            Some(_) => parse_18(&next.base).map(|_| ()),
            None => amount::parse(&next.base).map(|_| ()),
        }
        .map_err(|error| error.to_string())?;
        *scenario = next;
        Ok(merged)
    }
}
