//! Challenges, corrections, demands and the bond.

use alloy::primitives::{Address, U256};
use evm::bindings::ILedgerCourt::{Fault, ILedgerCourtEvents as Event};

use super::{At, token::big};
use crate::{
    Error,
    store::{
        table::{
            COURT_BOND, COURT_CORRECTIONS, COURT_DEMANDS, COURT_FAULTS, COURT_PENALTIES, Cell,
        },
        writer::BlockWriter,
    },
};

/// Key of the only row of the bond.
const BOND: &str = "bond";

pub(super) async fn apply(writer: &mut BlockWriter<'_>, at: At, event: Event) -> Result<(), Error> {
    match event {
        Event::Upheld(upheld) => {
            let row = vec![
                ("fault", evm::fault_name(upheld.fault).into()),
                ("epoch", upheld.epoch.into()),
                ("account", Cell::hex(upheld.account)),
                ("challenger", Cell::hex(upheld.challenger)),
            ];
            writer.put(&COURT_FAULTS, placed(at, row)).await?;
            if upheld.fault == Fault::Silence {
                return demand(writer, at, upheld.account, upheld.epoch, "silent").await;
            }
            Ok(())
        }
        Event::Corrected(corrected) => {
            let row = vec![
                ("epoch", corrected.epoch.into()),
                ("account", Cell::hex(corrected.account)),
                ("series", corrected.series.into()),
                ("change", Cell::decimal(corrected.change)),
            ];
            writer.put(&COURT_CORRECTIONS, placed(at, row)).await
        }
        Event::Penalised(penalised) => {
            let row = vec![
                ("pool", Cell::hex(penalised.pool)),
                ("amount", Cell::decimal(penalised.amount)),
                ("to_challenger", Cell::decimal(penalised.toChallenger)),
            ];
            writer.put(&COURT_PENALTIES, placed(at, row)).await?;
            bond(writer, |held| held.saturating_sub(penalised.amount), None).await
        }
        Event::Demanded(asked) => {
            let row = vec![
                ("account", Cell::hex(asked.account)),
                ("epoch", asked.epoch.into()),
                ("asked_by", Cell::hex(asked.by)),
                ("asked_at", Cell::int(at.timestamp)),
                ("state", "waiting".into()),
                ("changed_at", Cell::int(at.timestamp)),
                ("txid", Cell::hex(at.txid)),
            ];
            writer.put(&COURT_DEMANDS, row).await
        }
        Event::Answered(answered) => {
            demand(writer, at, answered.account, answered.epoch, "answered").await
        }
        Event::Bonded(bonded) => {
            bond(writer, |held| held.saturating_add(bonded.amount), None).await
        }
        Event::WithdrawalAnnounced(leaving) => {
            bond(writer, |held| held, Some((leaving.amount, leaving.from))).await
        }
        Event::Withdrawn(withdrawn) => {
            let rest = |held: U256| held.saturating_sub(withdrawn.amount);
            bond(writer, rest, Some((U256::ZERO, U256::ZERO))).await
        }
        // What somebody claimed of a penalty: the raw log is all there is to keep.
        Event::Claimed(_) => Ok(()),
    }
}

fn placed(at: At, mut row: Vec<(&'static str, Cell)>) -> Vec<(&'static str, Cell)> {
    row.extend([
        ("block", Cell::int(at.block)),
        ("log_index", Cell::int(at.index)),
        ("timestamp", Cell::int(at.timestamp)),
        ("txid", Cell::hex(at.txid)),
    ]);
    row
}

async fn demand(
    writer: &mut BlockWriter<'_>,
    at: At,
    account: Address,
    epoch: u32,
    state: &'static str,
) -> Result<(), Error> {
    let key = [Cell::hex(account), epoch.into()];
    if writer.get(&COURT_DEMANDS, &key).await?.is_none() {
        return Ok(());
    }
    let [account, epoch] = key;
    let row = vec![
        ("account", account),
        ("epoch", epoch),
        ("state", state.into()),
        ("changed_at", Cell::int(at.timestamp)),
    ];
    writer.put(&COURT_DEMANDS, row).await
}

async fn bond(
    writer: &mut BlockWriter<'_>,
    change: impl Fn(U256) -> U256,
    leaving: Option<(U256, U256)>,
) -> Result<(), Error> {
    let old = writer.get(&COURT_BOND, &[BOND.into()]).await?;
    let held = old.as_ref().map_or(Ok(U256::ZERO), |row| big(row, "held"))?;
    let mut row = vec![("name", BOND.into()), ("held", Cell::decimal(change(held)))];
    if let Some((amount, from)) = leaving.or(old.is_none().then_some((U256::ZERO, U256::ZERO))) {
        row.push(("leaving", Cell::decimal(amount)));
        row.push(("leaving_from", Cell::decimal(from)));
    }
    writer.put(&COURT_BOND, row).await
}
