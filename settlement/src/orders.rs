//! Pause and resume, by two people: an order counts once two different operators have signed it. While settlement is
//! paused nothing new is signed; proofs, and what is already on its way, go on.
//!
//! Orders are files in a folder, numbered from 1. The service reads them before every round and keeps what it has
//! carried out in its database, so that taking a file away undoes nothing, and an order counts once.

use std::{collections::BTreeSet, path::Path};

use alloy::{
    primitives::{Address, Signature},
    signers::{SignerSync, local::PrivateKeySigner},
};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sqlx::Row;

use crate::{error::Error, store::Store};

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Sign nothing new.
    Pause,
    /// Sign again.
    Resume,
}

/// One operator's word for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Number of the order: one more than the last that was carried out.
    pub number: u32,
    /// What is ordered.
    pub action: Action,
    /// Signature over the order, 0x...
    pub signature: String,
}

/// Where orders come from and who may give them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrdersConfig {
    /// Folder with approvals, one JSON file each.
    pub dir: std::path::PathBuf,
    /// Operators, by the addresses of their keys; two of them make an order.
    pub operators: Vec<Address>,
}

/// What is signed: it names deployment and number, so that it counts nowhere else and never again.
fn message(chain_id: u64, ledger: Address, number: u32, action: Action) -> String {
    format!(
        "liquid hashrate settlement: order {number}: {action:?}; chain {chain_id}, ledger {ledger}"
    )
}

/// Signs an order.
///
/// # Errors
/// When the key cannot sign.
pub fn approve(
    key: &PrivateKeySigner,
    chain_id: u64,
    ledger: Address,
    number: u32,
    action: Action,
) -> Result<Approval, Error> {
    let text = message(chain_id, ledger, number, action);
    let signature = key.sign_message_sync(text.as_bytes());
    let signature = signature.map_err(|error| Error::Config(error.to_string()))?;
    Ok(Approval {
        number,
        action,
        signature: format!("0x{}", alloy::hex::encode(signature.as_bytes())),
    })
}

/// The operator who gave an approval; `None` if it is nobody's.
#[must_use]
pub fn operator(
    approval: &Approval,
    chain_id: u64,
    ledger: Address,
    operators: &[Address],
) -> Option<Address> {
    let text = message(chain_id, ledger, approval.number, approval.action);
    let signature: Signature = approval.signature.parse().ok()?;
    let found = signature.recover_address_from_msg(text.as_bytes()).ok()?;
    operators.contains(&found).then_some(found)
}

/// The action that two different operators order as number `number`, if they do.
#[must_use]
pub fn ordered(
    approvals: &[Approval],
    number: u32,
    chain_id: u64,
    ledger: Address,
    operators: &[Address],
) -> Option<Action> {
    [Action::Pause, Action::Resume].into_iter().find(|action| {
        let same = approvals.iter().filter(|a| a.number == number && a.action == *action);
        let who: BTreeSet<Address> =
            same.filter_map(|approval| operator(approval, chain_id, ledger, operators)).collect();
        who.len() >= 2
    })
}

/// Every approval in a folder. What is no approval is left alone: somebody's half-written file must not stop the service.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn read(dir: &Path) -> Result<Vec<Approval>, Error> {
    let fail = |error: std::io::Error| Error::File {
        path: dir.display().to_string(),
        why: error.to_string(),
    };
    let files = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.map_err(fail)?,
    };
    let mut found = Vec::new();
    for file in files {
        let path = file.map_err(fail)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            found.extend(serde_json::from_str::<Approval>(&text).ok());
        }
    }
    Ok(found)
}

impl Store {
    /// Number and action of the last order that was carried out; number 0 before the first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn last_order(&self) -> Result<(u32, Action), Error> {
        let mut tx = self.begin().await?;
        let row = sqlx::query("SELECT number, action FROM orders ORDER BY number DESC LIMIT 1");
        let Some(row) = row.fetch_optional(&mut *tx).await? else { return Ok((0, Action::Resume)) };
        let number = u32::try_from(row.get::<i64, _>(0));
        let number = number.map_err(|_| Error::Damaged("an order".into()))?;
        let paused = row.get::<String, _>(1) == "pause";
        Ok((number, if paused { Action::Pause } else { Action::Resume }))
    }

    /// Writes that an order is carried out.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn put_order(&self, number: u32, action: Action) -> Result<(), Error> {
        let action = match action {
            Action::Pause => "pause",
            Action::Resume => "resume",
        };
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO orders (number, action) VALUES ($1, $2)")
            .bind(i64::from(number))
            .bind(action)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_different_operators_make_an_order_and_one_does_not() {
        let keys: Vec<PrivateKeySigner> = (0..4).map(|_| PrivateKeySigner::random()).collect();
        let ledger = Address::repeat_byte(7);
        let operators: Vec<Address> = keys.iter().take(3).map(PrivateKeySigner::address).collect();
        let word =
            |who: usize, number, action| approve(&keys[who], 1, ledger, number, action).unwrap();
        let order = |words: &[Approval], number| ordered(words, number, 1, ledger, &operators);
        let first = word(0, 1, Action::Pause);
        assert_eq!(order(&[first.clone(), first.clone()], 1), None, "one person, twice");
        assert_eq!(order(&[first.clone(), word(3, 1, Action::Pause)], 1), None, "a stranger");
        assert_eq!(order(&[first.clone(), word(1, 1, Action::Resume)], 1), None, "not the same");
        let both = [first, word(1, 1, Action::Pause)];
        assert_eq!(order(&both, 1), Some(Action::Pause));
        assert_eq!(order(&both, 2), None, "an order counts once");
        assert_eq!(ordered(&both, 1, 2, ledger, &operators), None, "of another chain");
        let mut forged = both.clone();
        forged[1].action = Action::Resume;
        forged[0].action = Action::Resume;
        assert_eq!(order(&forged, 1), None);
    }

    #[tokio::test]
    async fn an_order_that_was_carried_out_outlives_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let database = crate::database::Database::Sqlite(dir.path().join("orders.sqlite"));
        let store = Store::open(&database).await.unwrap();
        assert_eq!(store.last_order().await.unwrap(), (0, Action::Resume));
        store.put_order(1, Action::Pause).await.unwrap();
        assert!(store.put_order(1, Action::Resume).await.is_err(), "a number is used once");
        drop(store);
        let store = Store::open(&database).await.unwrap();
        assert_eq!(store.last_order().await.unwrap(), (1, Action::Pause));
        std::fs::write(dir.path().join("half.json"), "{\"number\":").unwrap();
        assert_eq!(read(dir.path()).unwrap(), []);
        assert_eq!(read(&dir.path().join("none")).unwrap(), []);
    }
}
