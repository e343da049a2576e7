//! Check 8: payouts are in blocks with work, deep enough, and form one unbroken chain of batons.

use std::collections::{HashMap, HashSet};

use alloy::primitives::U256;
use bitcoin::{BlockHash, block::Header, hashes::Hash};
use evm::bindings::{
    IBitcoinRelay::{Period, anchorPeriodCall, newestPeriodCall, periodAtCall},
    IEpochLedger::{PayoutProven, batchProvenCall, batonCall, confirmationsCall},
};

use super::Checked;
use crate::{
    Error, Findings, encode,
    header::PERIOD,
    history::At,
    node::outpoint,
    world::{Payment, World},
};

/// Least confirmations of a payout on a real network.
const CONFIRMATIONS: u64 = 6;
/// Sats of a block's subsidy before the halving of 2028.
const SUBSIDY: u64 = 312_500_000;
/// When that halving is taken to be: 1 March 2028, unix seconds.
const HALVING: u64 = 1_835_481_600;
/// Seconds from one halving to the next: 1,461 days.
const FOUR_YEARS: u64 = 1_461 * 86_400;

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    findings.faults(world.scan.faults.iter().cloned());
    let least = confirmations(world, &mut findings).await?;
    batons(world, &mut findings).await?;
    proven(world, &mut findings).await?;
    periods(world, &mut findings).await?;
    let mut deepest = u64::MAX;
    let needed = needed(world, least);
    for (proof, needed) in world.history.proofs.iter().zip(needed) {
        if !world.wants(proof.event.epoch) {
            continue;
        }
        let event = &proof.event;
        let txid = outpoint(event.txid, 0).txid;
        let place = format!("epoch {}, batch {}", event.epoch, event.batch);
        let Some(payment) =
            world.payments.iter().find(|p| p.epoch.0 == event.epoch && p.batch == event.batch)
        else {
            findings.fault(format!(
                "{place}: {txid} was proven, but no such transaction spends its baton"
            ));
            continue;
        };
        findings.require(payment.txid == txid, || {
            format!("{place}: {txid} was proven; the baton was spent by {}", payment.txid)
        });
        let block = BlockHash::from_byte_array(event.blockHash.0);
        findings.require(payment.mined.block == block, || {
            format!("{place}: proven in block {block}, which is not in the best chain")
        });
        let deep = world.scan.confirmations(&payment.mined);
        deepest = deepest.min(deep);
        findings.require(deep >= needed, || {
            format!("{place}: {deep} confirmations, {needed} are needed")
        });
    }
    let unproven: Vec<&Payment> = world
        .payments
        .iter()
        .filter(|p| {
            let proofs = &world.history.proofs;
            !proofs.iter().any(|q| q.event.epoch == p.epoch.0 && q.event.batch == p.batch)
        })
        .collect();
    for payment in unproven {
        let deep = world.scan.confirmations(&payment.mined);
        findings.note(format!(
            "epoch {}: {} has {deep} confirmations, not proven yet",
            payment.epoch, payment.txid
        ));
    }
    let headers = &world.scan.headers;
    let blocks = headers.tip.saturating_sub(headers.first).saturating_add(1);
    if world.history.proofs.is_empty() {
        return Ok(findings.not_checked("no payout is proven yet"));
    }
    Ok(findings.passed(format!(
        "{} payouts under {blocks} headers with work; the newest has {deepest} confirmations",
        world.history.proofs.len()
    )))
}

/// The relay's difficulty periods start with blocks of the best chain, as far down as its headers were read.
async fn periods(world: &World, findings: &mut Findings) -> Result<(), Error> {
    if world.test_network {
        return Ok(());
    }
    let relay = world.deployment.bitcoin_relay;
    let anchor = world.chain.call(relay, anchorPeriodCall {}).await?.saturating_to::<u64>();
    let newest = world.chain.call(relay, newestPeriodCall {}).await?.saturating_to::<u64>();
    let headers = &world.scan.headers;
    let read = (anchor..=newest).filter(|p| headers.at(p.saturating_mul(PERIOD)).is_some());
    for number in read {
        let period = U256::from(number);
        let known = world.chain.call(relay, periodAtCall { period }).await?;
        let start = headers.at(number.saturating_mul(PERIOD));
        findings.require(start.is_some_and(|header| starts(&known, header)), || {
            format!("the relay starts difficulty period {number} with {}, which is not the best chain's block {}", known.startHash, number.saturating_mul(PERIOD))
        });
    }
    let reached = headers.tip / PERIOD;
    if reached > newest {
        findings.note(format!("the relay does not know difficulty period {reached} yet"));
    }
    Ok(())
}

/// Whether the relay's period is that of this first block.
fn starts(known: &Period, header: &Header) -> bool {
    known.startHash.0 == header.block_hash().to_byte_array()
        && known.startTime == header.time
        && known.bits == header.bits.to_consensus()
}

/// The ledger holds those batches proven that it announced as proven, and no other.
async fn proven(world: &World, findings: &mut Findings) -> Result<(), Error> {
    let ledger = world.deployment.epoch_ledger;
    let batches = world.wanted_pages().flat_map(|page| {
        let count = page.commitment.batches.len();
        let root = (count > 1).then_some(crate::world::ROOT_BATCH);
        (0_u16..).take(count).chain(root).map(|batch| (page.epoch.0, batch))
    });
    let batches: Vec<(u32, u16)> = batches.collect();
    let announced: HashSet<(u32, u16)> =
        world.history.proofs.iter().map(|proof| (proof.event.epoch, proof.event.batch)).collect();
    let calls: Vec<_> = batches
        .iter()
        .map(|(epoch, batch)| (ledger, batchProvenCall { epoch: *epoch, batch: *batch }))
        .collect();
    for (batch, answer) in batches.iter().zip(world.chain.calls(&calls).await?) {
        findings.require(answer == Ok(announced.contains(batch)), || {
            format!("epoch {}, batch {}: the ledger says otherwise of its proof", batch.0, batch.1)
        });
    }
    Ok(())
}

/// Confirmations of each proof by the ledger's rule: the more sats are proven under one block, the more work must lie
/// on it. `least` is for a block that pays no more than three subsidies.
fn needed(world: &World, least: u64) -> Vec<u64> {
    let mut under: HashMap<alloy::primitives::B256, u64> = HashMap::new();
    let proofs = world.history.proofs.iter();
    proofs
        .map(|At { at, event: PayoutProven { epoch, batch, blockHash, .. } }| {
            let batches = world.history.commit(*epoch).map(|c| &c.event.commitment.batches);
            let total =
                batches.and_then(|list| list.get(usize::from(*batch))).map_or(0, |b| b.total);
            let sats = under.entry(*blockHash).or_default();
            *sats = sats.saturating_add(total);
            confirmations_for(*sats, at.time, least)
        })
        .collect()
}

/// `least * max(1, ceil(sats / (3 * subsidy)))` with the subsidy at a time.
fn confirmations_for(sats: u64, time: u64, least: u64) -> u64 {
    let halvings = time.checked_sub(HALVING).map_or(0, |late| 1 + late / FOUR_YEARS);
    let subsidy = u32::try_from(halvings).ok().and_then(|n| SUBSIDY.checked_shr(n)).unwrap_or(0);
    let times = sats.div_ceil((3 * subsidy).max(1)).max(1);
    least.saturating_mul(times)
}

/// What the ledger asks for; fewer than six only on a test network.
async fn confirmations(world: &World, findings: &mut Findings) -> Result<u64, Error> {
    let asked = world.chain.call(world.deployment.epoch_ledger, confirmationsCall {}).await?;
    let test = world.test_network;
    let least = u64::from(asked);
    findings.require(least >= CONFIRMATIONS || test, || {
        format!(
            "the ledger asks for {least} confirmations, {CONFIRMATIONS} are due on a real network"
        )
    });
    if test {
        findings.note("the relay is in no-retarget mode: this is a test network");
    }
    Ok(least)
}

/// One first baton; each paying epoch spends it as input 0; the ledger's own is the one after the last proven; and
/// the last is unspent, or spent by a payout that was committed since.
async fn batons(world: &World, findings: &mut Findings) -> Result<(), Error> {
    let first = world.history.batons.len();
    findings.require(first <= 1, || format!("the baton was set {first} times"));
    for payment in &world.payments {
        let input = payment.mined.tx.input.first().map(|input| input.previous_output);
        findings.require(input == Some(payment.spends), || {
            format!(
                "epoch {}: {} spends {}, but not as its input 0",
                payment.epoch, payment.txid, payment.spends
            )
        });
    }
    let (txid, vout) = {
        let stored = world.chain.call(world.deployment.epoch_ledger, batonCall {}).await?;
        (stored.txid, stored.vout)
    };
    let stored = outpoint(txid, vout);
    let moved = world.history.proofs.iter().rfind(|proof| {
        let count = world
            .history
            .commit(proof.event.epoch)
            .map_or(0, |commit| commit.event.commitment.batches.len());
        count == 1 || proof.event.batch == crate::world::ROOT_BATCH
    });
    let expected = moved.map(|proof| outpoint(proof.event.txid, 0)).or_else(|| {
        world.history.batons.first().map(|set| outpoint(set.event.txid, set.event.vout))
    });
    findings.require(expected.is_none() || expected == Some(stored), || {
        format!("the ledger's baton is {stored}, that of the last proof another")
    });
    let Some((txid, mined)) = world.baton.as_ref().and_then(|baton| world.scan.spender(baton))
    else {
        return Ok(());
    };
    let next = world.pages.last().map_or(world.deployment.first_epoch, |page| page.epoch.next());
    let epoch = mined
        .tx
        .output
        .iter()
        .map(|output| output.script_pubkey.as_bytes())
        .filter(|script| encode::is_marker(script))
        .find_map(|script| script.get(6..10)?.try_into().ok().map(u32::from_be_bytes));
    match epoch {
        Some(epoch) if epoch >= next.0 => {
            findings
                .note(format!("{txid} pays epoch {epoch}, committed after the block read here"));
        }
        _ => findings.fault(format!("{txid} spends the baton and pays no committed epoch")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Block 405,216 of the main network starts its 201st period.
    #[test]
    fn a_period_is_that_of_its_real_first_block_and_of_no_other() {
        let text = include_str!("../../../tests/vectors/headers.json");
        let list: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        let header = |n: usize| -> Header {
            let hex = list[n]["header"].as_str().unwrap();
            bitcoin::consensus::deserialize(&hex::decode(hex).unwrap()).unwrap()
        };
        let start = header(3);
        let known = Period {
            startHash: start.block_hash().to_byte_array().into(),
            startTime: start.time,
            bits: 0x1806_96f4,
            work: Default::default(),
        };
        assert_eq!(list[3]["height"], 201 * PERIOD);
        assert!(starts(&known, &start));
        assert!(!starts(&Period { startTime: start.time ^ 1, ..known.clone() }, &start));
        assert!(!starts(&Period { bits: 0x1806_b99f, ..known.clone() }, &start));
        assert!(!starts(&known, &header(4)));
    }

    #[test]
    fn confirmations_rise_with_the_value_under_a_block() {
        let three = 3 * SUBSIDY;
        for (sats, time, needed) in [
            (0, 0, 6),
            (three, HALVING - 1, 6),
            (three + 1, HALVING - 1, 12),
            (three, HALVING, 12),
            (three, HALVING + FOUR_YEARS, 24),
            (5 * three, 0, 30),
        ] {
            assert_eq!(confirmations_for(sats, time, 6), needed, "{sats} at {time}");
        }
    }
}
