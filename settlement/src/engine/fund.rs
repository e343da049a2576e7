//! Which treasury coins a commitment spends.

use bitcoin::Amount;
use domain::EpochId;
use evm::{BlockRef, bindings::IEpochLedger};

use super::{Engine, commit::outpoint};
use crate::{
    allocate::Allocation,
    error::Error,
    plan::{Order, PlanError, input_fee_ceil, plan, signed_vsize_ceil},
    rim::{Bitcoin, Evm, Rim},
    treasury::TreasuryCoin,
    vault::{Coin, Keychain, Vault},
};

impl<R: Rim> Engine<R> {
    /// Treasury coins until baton and coins cover payees, fee and the least baton, whichever variants of earlier epochs are
    /// mined; and the virtual bytes of the transaction that spends the baton. Only coins that a report has distributed, or
    /// of the reserve index, and none that an earlier commitment spends.
    pub(super) async fn fund(
        &self,
        epoch: EpochId,
        outcome: &Allocation,
        fee_rate: u64,
        at: &BlockRef,
    ) -> Result<(Vec<IEpochLedger::OutPoint>, u64), Error> {
        if outcome.batches.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let (mut baton, _) = self.baton(epoch).await?;
        let doubt = Amount::from_sat(self.doubt(epoch).await?);
        baton.output.value = baton.output.value.checked_sub(doubt).unwrap_or(Amount::ZERO);
        let order = Order {
            epoch: epoch.0,
            root: outcome.root.hash,
            fee_rate,
            baton,
            funding: Vec::new(),
            batches: outcome.batches.iter().map(crate::allocate::Batch::outputs).collect(),
        };
        let policy = &self.config.policy;
        let coins = self.spendable(at).await?;
        let most = policy.max_funding_inputs;
        let (funding, vsize) = choose(&self.vault, order, coins, policy.min_baton, most)?;
        Ok((funding.iter().map(|coin| outpoint(&coin.outpoint)).collect(), vsize))
    }

    async fn spendable(&self, at: &BlockRef) -> Result<Vec<Coin>, Error> {
        let distributed = self.chain.distributed(at).await?;
        let committed = self.chain.committed_funding().await?;
        let free = |found: &TreasuryCoin| {
            let ours = Some(found.coin.index) == self.config.vault.reserve_index
                || distributed.contains(&found.coin.outpoint);
            ours && !committed.contains(&found.coin.outpoint)
        };
        let coins = self.node.coins(self.config.bitcoin.funding_confirmations);
        Ok(coins.into_iter().filter(free).map(|found| found.coin).collect())
    }
}

/// Coins in the order given, at most `most`, until they suffice; when there is no room left, a larger coin takes the
/// place of the smallest. Coins that cost more than they bring are left alone: anyone can send such to us, and a
/// hundred of them must not stand in the way.
fn choose(
    vault: &Vault,
    mut order: Order,
    coins: Vec<Coin>,
    least_baton: u64,
    most: usize,
) -> Result<(Vec<Coin>, u64), PlanError> {
    let cost = input_fee_ceil(vault, Keychain::Treasury, order.fee_rate)?;
    let value = |coin: &Coin| coin.output.value.to_sat();
    let mut coins = coins.into_iter().filter(|coin| value(coin) > cost);
    loop {
        let short = match plan(vault, &order, least_baton) {
            Ok(plan) => {
                let vsize = plan.txs.first().map(|first| signed_vsize_ceil(vault, first));
                return Ok((order.funding, vsize.transpose()?.unwrap_or_default()));
            }
            Err(error @ PlanError::Short { .. }) => error,
            Err(error) => return Err(error),
        };
        if order.funding.len() < most {
            order.funding.push(coins.next().ok_or(short)?);
            continue;
        }
        let smallest = order.funding.iter().enumerate().min_by_key(|(_, coin)| value(coin));
        let Some((place, least)) = smallest.map(|(place, coin)| (place, value(coin))) else {
            return Err(short);
        };
        let larger = coins.by_ref().find(|coin| value(coin) > least).ok_or(short)?;
        order.funding.remove(place);
        order.funding.push(larger);
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;
    use crate::plan::tests::{coin, payees, vault};

    fn order(vault: &Vault) -> Order {
        Order {
            epoch: 62_000,
            root: B256::repeat_byte(5),
            fee_rate: 10_000,
            baton: coin(vault, Keychain::Baton, 0, 20_000).1,
            funding: Vec::new(),
            batches: vec![payees(3, 50_000)],
        }
    }

    #[test]
    fn dust_that_anyone_can_send_does_not_stand_in_the_way() {
        let (_, vault) = vault();
        let mut coins: Vec<Coin> =
            (1..=120).map(|n| coin(&vault, Keychain::Treasury, n, 330).1).collect();
        coins.push(coin(&vault, Keychain::Treasury, 500, 400_000).1);
        let (chosen, _) = choose(&vault, order(&vault), coins, 10_000, 100).unwrap();
        assert_eq!(chosen.iter().map(|coin| coin.index).collect::<Vec<_>>(), [500]);
    }

    #[test]
    fn small_coins_give_way_when_there_is_no_room() {
        let (_, vault) = vault();
        let mut coins: Vec<Coin> =
            (1..=10).map(|n| coin(&vault, Keychain::Treasury, n, 2_000).1).collect();
        coins.push(coin(&vault, Keychain::Treasury, 500, 400_000).1);
        let (chosen, _) = choose(&vault, order(&vault), coins.clone(), 10_000, 5).unwrap();
        assert_eq!((chosen.len(), chosen.last().unwrap().index), (5, 500));
        coins.truncate(10);
        let error = choose(&vault, order(&vault), coins, 10_000, 5).unwrap_err();
        assert!(matches!(error, PlanError::Short { .. }), "{error}");
    }
}
