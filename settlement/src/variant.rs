//! Variants of an epoch's payout: the same payees and marker from a baton of the same chain, with another fee. Exactly one
//! of them can be mined, because all spend the same baton, or batons of which only one exists.

use bitcoin::{OutPoint, Transaction, Txid};
use serde::{Deserialize, Serialize};

use crate::{
    bump::DUST,
    encode::{self, ROOT_BATCH},
    known::KnownTx,
    packed,
    plan::{Order, Plan, PlanError, PlannedTx, assemble, frame},
    state::Planned,
    vault::{Keychain, Vault},
};

/// A variant that is not the present one and may be mined in its stead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its transactions.
    pub plan: Plan,
    /// The transaction that created the baton they spend.
    pub creator: KnownTx,
    /// Signed, in the plan's order; empty if it was not.
    #[serde(with = "packed::txs")]
    pub txs: Vec<KnownTx>,
    /// Height of the tip when it was fixed.
    pub tip: u32,
}

impl Plan {
    /// The transaction that spends the baton: a variant is known by it.
    #[must_use]
    pub fn first_txid(&self) -> Option<Txid> {
        self.txs.first().map(|first| first.tx.txid())
    }

    /// The baton that it spends.
    #[must_use]
    pub fn spends(&self) -> Option<OutPoint> {
        self.txs.first()?.coins.first().map(|coin| coin.outpoint)
    }

    /// Sats of fee of all its transactions.
    #[must_use]
    pub fn fees(&self) -> u64 {
        self.txs.iter().filter_map(crate::plan::PlannedTx::fee).fold(0, u64::saturating_add)
    }
}

impl Planned {
    /// Every variant's transactions, the present one's first.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        std::iter::once(&self.plan).chain(self.others.iter().map(|other| &other.plan))
    }

    /// Makes `to` the present variant; the one before, signed as `txs`, is kept among the others. Also returns the new
    /// one's signed transactions, if it has been signed.
    #[must_use]
    pub fn exchanged(mut self, txs: Vec<KnownTx>, mut to: Variant) -> (Self, Vec<KnownTx>) {
        let same = |one: &Plan, other: &Plan| one.first_txid() == other.first_txid();
        if same(&self.plan, &to.plan) {
            return (self, txs);
        }
        if let Some(at) = self.others.iter().position(|other| same(&other.plan, &to.plan)) {
            let known = self.others.remove(at);
            if to.txs.is_empty() {
                to.txs = known.txs;
            }
        }
        let old = Variant {
            plan: std::mem::replace(&mut self.plan, to.plan),
            creator: std::mem::replace(&mut self.creator, to.creator),
            tip: std::mem::replace(&mut self.tip, to.tip),
            txs,
        };
        self.others.push(old);
        (self, to.txs)
    }

    /// Sats by which the baton may turn out smaller than the present variant's.
    #[must_use]
    pub fn doubt(&self) -> u64 {
        let value = |plan: &Plan| plan.baton.output.value.to_sat();
        let least = self.plans().map(value).min().unwrap_or_default();
        value(&self.plan).saturating_sub(least)
    }
}

/// The plan that a transaction seen on the network is the first of, if it pays what `order` pays from the order's baton:
/// only fee, number of funding inputs and baton value may differ.
///
/// # Errors
/// When a descriptor fails.
pub fn recognise(
    vault: &Vault,
    order: &Order,
    seen: &Transaction,
) -> Result<Option<Plan>, PlanError> {
    let mut funding = order.funding.iter();
    let mut coins = vec![order.baton.clone()];
    for input in seen.input.iter().skip(1) {
        let Some(coin) = funding.find(|coin| coin.outpoint == input.previous_output) else {
            return Ok(None);
        };
        coins.push(coin.clone());
    }
    let script = vault.script(Keychain::Baton, order.epoch)?;
    let (Some(next), Some(tail)) = (seen.output.first(), seen.output.get(2..)) else {
        return Ok(None);
    };
    let fits = match order.batches.as_slice() {
        [] => false,
        [only] => tail == only,
        many => {
            let covers = |(output, payees): (&bitcoin::TxOut, &Vec<bitcoin::TxOut>)| {
                let total = encode::outputs_total(payees);
                output.script_pubkey == script
                    && total.is_some_and(|sum| output.value.to_sat() >= sum)
            };
            tail.len() == many.len() && tail.iter().zip(many).all(covers)
        }
    };
    if !fits || next.value.to_sat() < DUST {
        return Ok(None);
    }
    let batch = if order.batches.len() == 1 { 0 } else { ROOT_BATCH };
    let mut tx = frame(order, batch, &coins, tail, &script);
    if let Some(baton) = tx.output.first_mut() {
        baton.value = next.value;
    }
    let first = PlannedTx { batch, tx: tx.into(), coins };
    if first.tx.txid() != seen.compute_txid() || first.fee().is_none() {
        return Ok(None);
    }
    assemble(order, first).map(Some)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;
    use bitcoin::{Amount, Sequence};

    use super::*;
    use crate::plan::{
        plan,
        tests::{coin, payees, vault},
    };

    fn orders(vault: &Vault) -> [Order; 2] {
        let (_, baton) = coin(vault, Keychain::Baton, 0, 500_000);
        let funding = (1..=3).map(|n| coin(vault, Keychain::Treasury, n, 50_000).1).collect();
        let order = Order {
            epoch: 62_000,
            root: B256::repeat_byte(5),
            fee_rate: 1_500,
            baton,
            funding,
            batches: vec![payees(3, 30_000)],
        };
        let fan_out =
            Order { batches: vec![payees(2, 30_000), payees(3, 20_000)], ..order.clone() };
        [order, fan_out]
    }

    #[test]
    fn a_variant_is_recognised_whatever_its_fee_and_a_change_of_anything_else_is_not() {
        let (_, vault) = vault();
        for order in orders(&vault) {
            let dearer = Order { fee_rate: 9_000, ..order.clone() };
            let fewer = Order { funding: order.funding[1..].to_vec(), ..dearer.clone() };
            for honest in [&order, &dearer, &fewer] {
                let expected = plan(&vault, honest, DUST).unwrap();
                let found = recognise(&vault, &order, &expected.txs[0].tx).unwrap();
                assert_eq!(found, Some(expected));
            }
            let first = plan(&vault, &dearer, DUST).unwrap().txs.remove(0).tx;
            let lies: [fn(&mut Transaction); 8] = [
                |tx| tx.input[0].previous_output.vout ^= 1,
                |tx| tx.input.swap(1, 2),
                |tx| tx.input[1].sequence = Sequence::MAX,
                |tx| tx.output[1].value = Amount::ONE_SAT,
                |tx| tx.output[2].value = Amount::from_sat(1),
                |tx| drop(tx.output.pop()),
                |tx| tx.output.swap(0, 1),
                |tx| tx.output[0].value = Amount::from_sat(DUST - 1),
            ];
            for (number, lie) in lies.iter().enumerate() {
                let mut tx = Transaction::clone(&first);
                lie(&mut tx);
                assert_eq!(recognise(&vault, &order, &tx).unwrap(), None, "lie {number}");
            }
        }
    }

    #[test]
    fn variants_change_places_and_none_is_forgotten() {
        let (_, vault) = vault();
        let [order, _] = orders(&vault);
        let at = |fee_rate| plan(&vault, &Order { fee_rate, ..order.clone() }, DUST).unwrap();
        let (creator, intent) =
            (at(1).txs[0].tx.clone(), crate::state::Intent::new(&Default::default(), vec![], 0));
        let base =
            Planned { intent, plan: at(1_500), creator: creator.clone(), tip: 5, others: vec![] };
        let variant = |rate, txs| Variant { plan: at(rate), creator: creator.clone(), txs, tip: 9 };
        let signed = vec![creator.clone()];
        let (bumped, none) = base.clone().exchanged(signed.clone(), variant(3_000, vec![]));
        assert!(none.is_empty());
        assert_eq!((bumped.plan.clone(), bumped.tip), (at(3_000), 9));
        assert_eq!(bumped.doubt(), 0, "the present one leaves the smaller baton");
        let (back, txs) = bumped.exchanged(vec![], variant(1_500, vec![]));
        assert_eq!((&txs, &back.plan), (&signed, &base.plan), "its signatures come back with it");
        assert_eq!(back.others, [variant(3_000, vec![])]);
        assert_eq!(back.doubt(), at(3_000).fees() - at(1_500).fees());
        let (same, txs) = back.clone().exchanged(txs, variant(1_500, vec![]));
        assert_eq!((same, txs), (back, signed));
    }
}
