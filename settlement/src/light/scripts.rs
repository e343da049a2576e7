//! The scripts whose histories a light client asks for: the treasury's, and those of the chain of batons.

use std::collections::BTreeMap;

use bitcoin::{ScriptBuf, Transaction};

use crate::{
    encode,
    error::Error,
    vault::{GENESIS_BATON, Keychain, Vault},
};

/// Blocks for which the batons of an epoch are asked for after its payout.
const KEPT: u32 = 2_016;
/// Epochs that are asked for however old they are: the newest one's baton is the one to spend.
const NEWEST: usize = 3;

/// Scripts to ask for.
#[derive(Clone, Debug)]
pub(super) struct Scripts {
    vault: Vault,
    lookahead: u32,
    treasury: Vec<ScriptBuf>,
    places: BTreeMap<ScriptBuf, u32>,
    /// Epochs of payouts, with the height of the newest block that held one.
    epochs: BTreeMap<u32, u32>,
    batons: BTreeMap<u32, ScriptBuf>,
}

impl Scripts {
    /// Treasury scripts up to `lookahead` beyond index `used`, the first baton's, and those of `epochs`.
    pub(super) fn new(
        vault: Vault,
        lookahead: u32,
        used: Option<u32>,
        epochs: impl IntoIterator<Item = (u32, u32)>,
    ) -> Result<Self, Error> {
        let mut scripts = Self {
            vault,
            lookahead,
            treasury: Vec::new(),
            places: BTreeMap::new(),
            epochs: BTreeMap::new(),
            batons: BTreeMap::new(),
        };
        scripts.reach(used)?;
        scripts.baton(GENESIS_BATON)?;
        for (epoch, height) in epochs {
            scripts.paid(epoch, height)?;
        }
        Ok(scripts)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &ScriptBuf> {
        self.treasury.iter().chain(self.batons.values())
    }

    /// What a transaction shows: a treasury index in use, a payout whose batons must be followed. A marker is anybody's
    /// to write; a false one costs one more question.
    pub(super) fn learn(&mut self, tx: &Transaction, height: u32) -> Result<(), Error> {
        let used = tx.output.iter().filter_map(|output| self.places.get(&output.script_pubkey));
        if let Some(used) = used.max().copied() {
            self.reach(Some(used))?;
        }
        let named = tx.output.iter().take(2).find_map(|o| encode::read_marker(&o.script_pubkey));
        if let Some((epoch, _)) = named {
            self.paid(epoch, height)?;
        }
        Ok(())
    }

    /// Drops batons that were spent long ago.
    pub(super) fn forget(&mut self, tip: u32) {
        let newest = self.epochs.keys().rev().nth(NEWEST.saturating_sub(1)).copied();
        let old = |epoch: &u32, height: &u32| {
            newest.is_some_and(|newest| *epoch < newest) && height.saturating_add(KEPT) < tip
        };
        let gone: Vec<u32> =
            self.epochs.iter().filter(|(e, h)| old(e, h)).map(|(e, _)| *e).collect();
        for epoch in gone {
            self.epochs.remove(&epoch);
            self.batons.remove(&epoch);
        }
    }

    fn reach(&mut self, used: Option<u32>) -> Result<(), Error> {
        let end = used.map_or(0, |used| used.saturating_add(1)).saturating_add(self.lookahead);
        let from = u32::try_from(self.treasury.len()).unwrap_or(u32::MAX);
        for index in from..end {
            let script = self.vault.script(Keychain::Treasury, index)?;
            self.places.insert(script.clone(), index);
            self.treasury.push(script);
        }
        Ok(())
    }

    fn paid(&mut self, epoch: u32, height: u32) -> Result<(), Error> {
        if self.vault.definite(Keychain::Baton, epoch).is_err() {
            return Ok(()); // a marker with an epoch that has no key
        }
        let newest = self.epochs.entry(epoch).or_default();
        *newest = height.max(*newest);
        self.baton(epoch)
    }

    fn baton(&mut self, index: u32) -> Result<(), Error> {
        self.batons.insert(index, self.vault.script(Keychain::Baton, index)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;
    use bitcoin::{Amount, TxOut, absolute::LockTime, transaction::Version};

    use super::*;
    use crate::plan::tests::vault;

    fn paying(scripts: Vec<ScriptBuf>) -> Transaction {
        let output = scripts
            .into_iter()
            .map(|script_pubkey| TxOut { value: Amount::from_sat(1_000), script_pubkey });
        Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![],
            output: output.collect(),
        }
    }

    #[test]
    fn what_is_used_and_what_is_paid_widens_the_search_and_old_batons_leave_it() {
        let (_, vault) = vault();
        let mut scripts = Scripts::new(vault.clone(), 5, None, []).unwrap();
        assert_eq!(scripts.all().count(), 5 + 1);
        let used = vault.script(Keychain::Treasury, 4).unwrap();
        scripts.learn(&paying(vec![used]), 10).unwrap();
        assert_eq!(scripts.all().count(), 10 + 1);
        for (epoch, height) in [(7, 11), (8, 20), (9, 30), (10, 40)] {
            let marker = encode::marker(epoch, 0, &B256::ZERO);
            scripts.learn(&paying(vec![ScriptBuf::new(), marker]), height).unwrap();
        }
        scripts.forget(12 + KEPT);
        let has = |scripts: &Scripts, epoch| {
            let script = vault.script(Keychain::Baton, epoch).unwrap();
            scripts.all().any(|found| *found == script)
        };
        assert!(!has(&scripts, 7) && has(&scripts, 8) && has(&scripts, GENESIS_BATON));
        scripts.forget(u32::MAX);
        assert!(has(&scripts, 8) && has(&scripts, 10), "the newest are kept however old");
        // an epoch that no key has: ignored
        let marker = encode::marker(u32::MAX, 0, &B256::ZERO);
        scripts.learn(&paying(vec![marker]), 50).unwrap();
    }
}
