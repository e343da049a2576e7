//! Payouts: every interval of node time, the closed and unpaid hours of each account, oldest
//! first, in one transaction that is signed, recorded on disk, and only then broadcast.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use eyre::Result;

use super::{
    Pool,
    ledger::{Line, Payout},
};
use crate::{
    node::{Signed, output_index},
    process::lock,
};

/// Saves the books every second and pays when it is time, until the pool stops.
pub(crate) async fn run(pool: Arc<Pool>) {
    let mut complaint = String::new();
    loop {
        let done = match pool.save() {
            Ok(()) => step(&pool).await,
            Err(error) => Err(error),
        };
        let text = done.err().map(|error| format!("{error:#}")).unwrap_or_default();
        if !text.is_empty() && text != complaint {
            tracing::warn!("payout: {text}");
        }
        complaint = text;
        tokio::select! {
            () = pool.stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

async fn step(pool: &Pool) -> Result<()> {
    rebroadcast(pool).await?;
    let now = pool.now();
    let interval = now / pool.cfg.payout_interval_s;
    if now == 0 || lock(&pool.ledger).last_interval >= interval {
        return Ok(());
    }
    if let Some(payout) = prepare(pool, now).await? {
        let signed = Signed { txid: payout.txid.clone(), hex: payout.hex.clone() };
        pool.with_ledger(|ledger| {
            ledger.record(payout);
            ledger.last_interval = interval;
        });
        pool.save()?;
        pool.node.broadcast(&signed).await?;
        tracing::info!(txid = signed.txid, "payout sent");
    } else {
        pool.with_ledger(|ledger| ledger.last_interval = interval);
    }
    Ok(())
}

/// Sends again what was recorded and is not confirmed: the same bytes, so never a second payment.
async fn rebroadcast(pool: &Pool) -> Result<()> {
    let open: Vec<Signed> = lock(&pool.ledger)
        .payouts
        .iter()
        .filter(|payout| !payout.confirmed)
        .map(|payout| Signed { txid: payout.txid.clone(), hex: payout.hex.clone() })
        .collect();
    for signed in open {
        pool.node.broadcast(&signed).await?;
        if pool.node.confirmations(&signed.txid).await? >= 6 {
            pool.with_ledger(|ledger| {
                for payout in ledger.payouts.iter_mut().filter(|p| p.txid == signed.txid) {
                    payout.confirmed = true;
                }
            });
        }
    }
    Ok(())
}

async fn prepare(pool: &Pool, now: u64) -> Result<Option<Payout>> {
    let mut lines = Vec::new();
    let mut outputs: BTreeMap<String, u64> = BTreeMap::new();
    for account in &pool.cfg.accounts {
        let (covers, sats) = lock(&pool.ledger).unpaid(&account.name, now);
        // One output per account; accounts that share an address take turns.
        let taken = outputs.contains_key(&account.payout_address);
        if sats < pool.cfg.min_payout_sats.max(546) || taken {
            continue;
        }
        outputs.insert(account.payout_address.clone(), sats);
        let (account, address) = (account.name.clone(), account.payout_address.clone());
        lines.push(Line { account, address, vout: 0, sats, covers });
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let outputs: Vec<(String, u64)> = outputs.into_iter().collect();
    let signed = pool.node.sign_payment(&outputs, pool.cfg.payout_fee_rate).await?;
    for line in &mut lines {
        line.vout = output_index(&signed.hex, &line.address, line.sats)?;
    }
    Ok(Some(Payout { txid: signed.txid, hex: signed.hex, time: now, lines, confirmed: false }))
}
