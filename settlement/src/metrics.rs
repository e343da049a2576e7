//! What a monitor reads: gauges in Prometheus' text form, and the alerts that are raised on them. Every alert has a
//! runbook of its name.

use std::fmt::Write;

use serde::Serialize;

use crate::{
    court::Bond,
    engine::Engine,
    error::Error,
    ledger::{Account, Balance},
    orders::Action,
    plan::Plan,
    state::State,
    store::answers::Answered,
};

/// Blocks after which a payout that is in none is called stuck.
pub const STUCK_BLOCKS: u32 = 12;

/// Something that a person must look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "their runbooks say it")]
pub enum Alert {
    StuckTransaction,
    LowReserve,
    SignerRefusal,
    ChainSplit,
    Conservation,
    LostDatabase,
    LostHost,
    Paused,
    Underbonded,
    Court,
}

impl Alert {
    /// Every alert.
    pub const ALL: [Self; 10] = [
        Self::StuckTransaction,
        Self::LowReserve,
        Self::SignerRefusal,
        Self::ChainSplit,
        Self::Conservation,
        Self::LostDatabase,
        Self::LostHost,
        Self::Paused,
        Self::Underbonded,
        Self::Court,
    ];

    /// Its name; the runbook is `docs/runbooks/NAME.md`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StuckTransaction => "stuck-transaction",
            Self::LowReserve => "low-reserve",
            Self::SignerRefusal => "signer-refusal",
            Self::ChainSplit => "chain-split",
            Self::Conservation => "conservation",
            Self::LostDatabase => "lost-database",
            Self::LostHost => "lost-host",
            Self::Paused => "paused",
            Self::Underbonded => "underbonded",
            Self::Court => "court",
        }
    }

    /// The expression that raises it. A service that has stopped says nothing more, so the last ones ask for silence.
    #[must_use]
    pub const fn expression(self) -> &'static str {
        match self {
            Self::StuckTransaction => "settlement_blocks_waiting >= 12",
            Self::LowReserve => {
                "settlement_account_sats{account=\"reserve\"} < 20 * settlement_largest_fee_sats or settlement_trouble{kind=\"reserve\"} > 0"
            }
            Self::SignerRefusal => "settlement_trouble{kind=\"signers\"} > 0",
            Self::ChainSplit => "settlement_trouble{kind=\"mismatch\"} > 0",
            Self::Conservation => {
                "settlement_account_sats{account=\"residue\"} < 0 or up{job=\"settlement\"} == 0"
            }
            Self::LostDatabase => "up{job=\"settlement\"} == 0",
            Self::LostHost => "up{job=\"settlement\"} == 0 and on(instance) up{job=\"node\"} == 0",
            Self::Paused => "settlement_paused > 0",
            Self::Underbonded => "settlement_bonded == 0",
            Self::Court => {
                "settlement_demands_waiting > 0 or increase(settlement_demands_missed_total[1d]) > 0"
            }
        }
    }
}

/// The alerts as a Prometheus rule file.
#[must_use]
pub fn rules() -> String {
    let mut text = String::from("groups:\n- name: settlement\n  rules:\n");
    for alert in Alert::ALL {
        let (name, expression) = (alert.name(), alert.expression());
        let _ = write!(
            text,
            "  - alert: {name}\n    expr: '{expression}'\n    for: 5m\n    annotations:\n      runbook: docs/runbooks/{name}.md\n"
        );
    }
    text
}

/// The kind of trouble that a gauge shows, of the last round's error.
#[must_use]
pub const fn kind(error: &Error) -> &'static str {
    match error {
        Error::Reserve { .. } => "reserve",
        Error::Signers { .. } => "signers",
        Error::Mismatch { .. } => "mismatch",
        Error::Node { .. } => "bitcoin",
        Error::Evm(_) => "evm",
        _ => "other",
    }
}

/// The gauges.
///
/// # Errors
/// Those of the database.
pub async fn text(engine: &Engine) -> Result<String, Error> {
    let store = engine.store();
    let mut text = String::new();
    let mut gauge = |name: &str, labels: &str, value: i64| {
        let _ = writeln!(text, "settlement_{name}{labels} {value}");
    };
    let (_, order) = store.last_order().await?;
    gauge("paused", "", i64::from(order == Action::Pause));
    let balances = store.balances().await?;
    for account in Account::ALL {
        let balance = balances.get(&account).map_or(0, Balance::credit);
        gauge("account_sats", &format!("{{account=\"{}\"}}", account.name()), balance);
    }
    let trouble = engine.trouble_kind().await;
    for kind in ["reserve", "signers", "mismatch", "bitcoin", "evm", "other"] {
        gauge("trouble", &format!("{{kind=\"{kind}\"}}"), i64::from(trouble == Some(kind)));
    }
    let (mut waiting, mut fee, unfinished) = (0_u32, 0_u64, store.unfinished().await?);
    let (mut rate, mut variants) = (0_u64, 0_usize);
    gauge("epochs_unfinished", "", i64::try_from(unfinished.len()).unwrap_or(i64::MAX));
    for epoch in unfinished {
        let Some(state) = store.state(epoch).await? else { continue };
        let txs = state.plan().map(|plan| plan.txs.as_slice()).unwrap_or_default();
        fee = txs.iter().filter_map(crate::plan::PlannedTx::fee).fold(fee, u64::max);
        if let State::Signed(signed) | State::Sent(signed) = &state {
            rate = rate.max(engine.rate_of(&signed.planned.plan)?);
            variants = variants.max(signed.planned.plans().count());
            for txid in signed.planned.plans().filter_map(Plan::first_txid) {
                waiting = waiting.max(engine.blocks_waiting(txid).await);
            }
        }
    }
    gauge("fee_rate", "", i64::try_from(rate).unwrap_or(i64::MAX));
    gauge("variants", "", i64::try_from(variants).unwrap_or(i64::MAX));
    gauge("bumps_total", "", i64::try_from(engine.bumps()).unwrap_or(i64::MAX));
    gauge("blocks_waiting", "", i64::from(waiting));
    gauge("largest_fee_sats", "", i64::try_from(fee).unwrap_or(i64::MAX));
    let watch = engine.court().await;
    let until = watch.waiting.iter().map(|(_, _, until)| *until).min().unwrap_or_default();
    gauge("demands_waiting", "", i64::try_from(watch.waiting.len()).unwrap_or(i64::MAX));
    gauge("demand_answer_until_seconds", "", i64::try_from(until).unwrap_or(i64::MAX));
    for (name, state) in [("answered", Answered::Answered), ("missed", Answered::Missed)] {
        let count = store.count_answers(state).await?;
        gauge(&format!("demands_{name}_total"), "", i64::try_from(count).unwrap_or(i64::MAX));
    }
    let unproven = engine.unproven().await?.len();
    gauge("scripts_unproven", "", i64::try_from(unproven).unwrap_or(i64::MAX));
    // unknown is no alarm: an EVM node that does not answer is another alert
    let bond = watch.bond.unwrap_or_else(|| Bond { sufficient: true, ..Bond::default() });
    gauge("bonded", "", i64::from(bond.sufficient));
    let _ = writeln!(text, "settlement_bond_quote {}", bond.held);
    let _ = writeln!(text, "settlement_bond_required_quote {}", bond.required);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    /// What to do that no alert asks for.
    const OTHERS: [&str; 4] = ["README", "deploy", "restart", "upgrade"];

    #[test]
    fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks");
        let files = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path());
        let files: BTreeSet<String> =
            files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        let alerts = Alert::ALL.map(|alert| alert.name().to_owned());
        let named: BTreeSet<String> =
            alerts.iter().cloned().chain(OTHERS.map(str::to_owned)).collect();
        assert_eq!(files, named);
        let index = std::fs::read_to_string(dir.join("README.md")).unwrap();
        for name in alerts {
            assert!(index.contains(&format!("]({name}.md)")), "{name} is not in the index");
            let text = std::fs::read_to_string(dir.join(format!("{name}.md"))).unwrap();
            for part in ["**Seen**", "**Do**", "**Worked**"] {
                assert!(text.contains(part), "{name} lacks {part}");
            }
        }
        let rules = rules();
        assert_eq!(rules.matches("- alert:").count(), Alert::ALL.len());
        let blocks = format!("settlement_blocks_waiting >= {STUCK_BLOCKS}");
        assert!(rules.contains(&blocks), "{rules}");
    }
}
