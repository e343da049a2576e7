//! Conservation, checked before anybody is asked to sign: nothing is made, nothing is lost, and every sat that left is
//! accounted for.

use std::ops::Range;

use domain::EpochId;
use sqlx::{Any, Row, Transaction as Tx};

use super::{
    Account,
    books::balances,
    follow::{figures, owed_before, pending_fees},
};
use crate::{
    error::Error,
    plan::{Plan, PlannedTx},
    state::{Planned, State},
    store::{Store, parts},
};

impl Store {
    /// Holds the books against each other for an epoch that is about to be signed. Only epochs of `ended`, if that is
    /// known, can have been committed, whether this database has heard of them or not.
    ///
    /// # Errors
    /// `Conservation` if a sat is missing or too many: the service stops. `Waiting` while the reserve does not cover the
    /// miner fees or the float not what a report distributed: that much has to arrive first; and while a spend may be the
    /// payout of an epoch that has still to be computed again.
    pub async fn check_books(
        &self,
        epoch: EpochId,
        txs: &[PlannedTx],
        ended: Option<&Range<EpochId>>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        check(&mut tx, epoch, txs, ended).await
    }
}

async fn check(
    tx: &mut Tx<'_, Any>,
    epoch: EpochId,
    txs: &[PlannedTx],
    ended: Option<&Range<EpochId>>,
) -> Result<(), Error> {
    let broken = |what: String| Error::Conservation { epoch: Some(epoch.0), what };
    identity(tx, epoch).await?;
    let books = balances(tx).await?;
    let of = |account: Account| books.get(&account).copied().unwrap_or_default();
    let sums = books.values().fold((0_i64, 0_i64), |(debits, credits), balance| {
        (debits.saturating_add(balance.debits), credits.saturating_add(balance.credits))
    });
    if sums.0 != sums.1 {
        return Err(broken(format!("debits are {} sat, credits {} sat", sums.0, sums.1)));
    }
    let coins =
        sqlx::query("SELECT CAST(COALESCE(SUM(sats), 0) AS BIGINT) FROM coins WHERE spent = -1");
    let coins: i64 = coins.fetch_one(&mut **tx).await?.get(0);
    let wallet = of(Account::Wallet).credit().saturating_neg();
    if wallet != coins {
        return Err(broken(format!(
            "the wallet is booked at {wallet} sat, its coins are {coins} sat"
        )));
    }
    unexplained(tx, epoch, txs, ended).await?;
    let left = of(Account::Pots).credit();
    if left != 0 {
        return Err(broken(format!("{left} sat are left in the pots")));
    }
    let accounts = figures(tx, epoch).await?.map_or(0, |(figures, _)| figures.accounts);
    let residue = of(Account::Residue).credit();
    if residue < 0 || residue > accounts.saturating_add(1) {
        let what =
            format!("the residue is {residue} sat for {accounts} accounts: at most one each");
        return Err(broken(what));
    }
    let payables = of(Account::Payables);
    if payables.credit().saturating_sub(payables.debits_pending) < 0 {
        return Err(broken(format!("{} sat more are paid than owed", payables.credit().abs())));
    }
    let fees = txs.iter().fold(0_i64, |sum, planned| {
        let fee = planned.fee().and_then(|fee| i64::try_from(fee).ok());
        fee.map_or(i64::MAX, |fee| sum.saturating_add(fee))
    });
    let pending =
        of(Account::Reserve).debits_pending.saturating_sub(pending_fees(tx, epoch, txs).await?);
    let reserve = of(Account::Reserve).credit().saturating_sub(pending);
    if reserve < fees {
        let what = format!(
            "the reserve holds {reserve} sat and the miner fees are {fees} sat: holders' money does not pay them; pay to \
             `settlement address treasury` at the reserve index"
        );
        return Err(Error::Reserve { epoch, what });
    }
    let float = of(Account::Float).credit();
    if float < 0 {
        let what = format!("reports distribute {} sat that blocks have not brought", float.abs());
        return Err(Error::waiting(epoch, what));
    }
    Ok(())
}

/// Sums of an epoch's transfers; `epoch >= 0` is the index's own condition.
pub(super) const SINGLES: &str = "SELECT kind, debit, CAST(SUM(sats) AS BIGINT) FROM transfers WHERE epoch = $1 AND \
                       epoch >= 0 AND phase = 'single' GROUP BY kind, debit";

/// Opening payables + pots = paid + closing payables + residue, from the transfers themselves.
async fn identity(tx: &mut Tx<'_, Any>, epoch: EpochId) -> Result<(), Error> {
    let broken = |what: String| Error::Conservation { epoch: Some(epoch.0), what };
    let opening = owed_before(tx, epoch).await?;
    let Some((figures, true)) = figures(tx, epoch).await? else {
        return Err(broken("it was planned and its pots are not booked".into()));
    };
    let rows = sqlx::query(SINGLES);
    let rows = rows.bind(i64::from(epoch.0)).fetch_all(&mut **tx).await?;
    let mut sums = std::collections::BTreeMap::new();
    for row in rows {
        let (kind, debit): (String, String) = (row.get(0), row.get(1));
        // a transfer the other way round counts below zero
        let way = match (kind.as_str(), debit.as_str()) {
            ("correction", "pots") | ("credit", "payables") | ("residue", "residue") => -1,
            _ => 1,
        };
        let sum = row.get::<i64, _>(2).saturating_mul(way);
        let entry: &mut i64 = sums.entry(kind).or_default();
        *entry = entry.saturating_add(sum);
    }
    let of = |kind: &str| sums.get(kind).copied().unwrap_or_default();
    let given = opening.saturating_add(of("pot")).saturating_add(of("correction"));
    let taken = figures.paid.saturating_add(figures.owed).saturating_add(of("residue"));
    let credited = opening.saturating_add(of("credit"));
    if given != taken || credited != figures.paid.saturating_add(figures.owed) {
        return Err(broken(format!(
            "opening payables {opening} + pots {} + corrections {} sat are not paid {} + closing payables {} + residue {} sat",
            of("pot"),
            of("correction"),
            figures.paid,
            figures.owed,
            of("residue")
        )));
    }
    Ok(())
}

/// A spend that no plan of ours explains: somebody else holds our keys, or an operator moved coins by hand.
async fn unexplained(
    tx: &mut Tx<'_, Any>,
    epoch: EpochId,
    txs: &[PlannedTx],
    ended: Option<&Range<EpochId>>,
) -> Result<(), Error> {
    let rows = sqlx::query("SELECT txid, paid, fee FROM outflows WHERE matched = 0 ORDER BY txid");
    let mut waits = None;
    for row in rows.fetch_all(&mut **tx).await? {
        let (txid, paid, fee): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
        if txs.iter().any(|planned| planned.tx.txid().to_string() == txid) {
            continue;
        }
        let known = sqlx::query("SELECT id FROM transfers WHERE reference = $1 AND kind = 'fee'");
        let known = known.bind(txid.clone()).fetch_optional(&mut **tx).await?.is_some();
        if known {
            continue;
        }
        match planned(tx, &txid, ended).await? {
            InPlan::Yes => {}
            InPlan::Wait(what) => waits = Some(what),
            InPlan::No => {
                let what = format!(
                    "{txid} took {paid} sat and {fee} sat of fee out of the wallet, and no plan of ours says so; find out \
                     who signed it; if it is in order, `settlement ledger --accept {txid}`"
                );
                return Err(Error::Conservation { epoch: Some(epoch.0), what });
            }
        }
    }
    // a theft is told of first, whatever else waits
    waits.map_or(Ok(()), |what| Err(Error::waiting(epoch, what)))
}

/// Whether a plan of ours has a transaction.
enum InPlan {
    Yes,
    No,
    /// Nobody knows before this.
    Wait(String),
}

/// Whether a variant of the epoch that it names has the transaction. After a lost database a payout may be in a block
/// before its epoch has come so far again, or before a node that answers late tells of the epoch at all. While that epoch
/// is not planned yet, or has still to say whether what spends its baton is a variant, nobody knows, and nothing is signed.
async fn planned(
    tx: &mut Tx<'_, Any>,
    txid: &str,
    ended: Option<&Range<EpochId>>,
) -> Result<InPlan, Error> {
    let rows = sqlx::query("SELECT DISTINCT epoch, spends FROM marked WHERE txid = $1");
    let rows = rows.bind(txid.to_owned()).fetch_all(&mut **tx).await?;
    for row in rows {
        let (other, spends): (i64, String) = (row.get(0), row.get(1));
        let other = u32::try_from(other).map(EpochId);
        let other = other.map_err(|error| Error::Damaged(format!("an epoch: {error}")))?;
        let to_come = || format!("{txid} says that it pays epoch {other}, which is planned first");
        let state = match parts::read(&mut **tx, other).await? {
            None if ended.is_some_and(|ended| !ended.contains(&other)) => continue,
            None | Some(State::Snapshot(_) | State::Allocated(_) | State::Committed(_)) => {
                return Ok(InPlan::Wait(to_come()));
            }
            Some(state) => state,
        };
        let Some(found) = state.planned() else { continue };
        let has = |plan: &Plan| plan.txs.iter().any(|one| one.tx.txid().to_string() == txid);
        if found.plans().any(has) {
            return Ok(InPlan::Yes);
        }
        if !matches!(state, State::Proven(_)) && spends_a_baton(tx, found, &spends).await? {
            let what = format!(
                "{txid} spends the baton of epoch {other}, which says first whether it is a variant"
            );
            return Ok(InPlan::Wait(what));
        }
    }
    Ok(InPlan::No)
}

/// Whether a place is the baton of a variant, or of one that is not known yet, or a chunk of a root transaction that
/// spends such a baton.
async fn spends_a_baton(tx: &mut Tx<'_, Any>, found: &Planned, place: &str) -> Result<bool, Error> {
    let mut place = place.to_owned();
    for _ in 0..2 {
        if found.plans().any(|plan| plan.spends().is_some_and(|at| at.to_string() == place)) {
            return Ok(true);
        }
        let Some((parent, vout)) = place.split_once(':') else { return Ok(false) };
        let row = sqlx::query("SELECT spends FROM marked WHERE txid = $1").bind(parent.to_owned());
        let Some(row) = row.fetch_optional(&mut **tx).await? else { return Ok(false) };
        if vout == "0" {
            return Ok(true);
        }
        place = row.get(0);
    }
    Ok(false)
}
