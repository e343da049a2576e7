//! Check 4, who signed: enough signers of the set, each with the minimum stake, signed every report, valuation and early
//! gap; more of them where a report jumps; and whoever was slashed had signed two things at once.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, Bytes, Signature, U256},
    sol_types::SolCall,
};
use domain::EpochId;
use evm::{
    bindings::IFleetOracle::{
        self, FleetReport, declareGapByQuorumCall, equivocationCall, minStakeCall, postCall,
        postValuationCall,
    },
    quorum::{self, OracleDomain},
};

use crate::{
    Error, Findings,
    history::{At, Stamp},
    world::World,
};

/// Seconds after the end of an epoch at which anyone may declare a gap.
const GAP_AFTER: u64 = 86_400;
/// Epochs in which a pot or price to compare with is looked for.
const LOOK_BACK: u32 = 24;
/// Steps of [`size`] that make twice the H/s, and about a quarter.
const TWICE: u32 = 256;
const QUARTER: u32 = 64;

/// Checks all signatures. Returns the number of those under the reports in `wanted`.
pub(super) async fn check(
    world: &World,
    wanted: &[&At<IFleetOracle::ReportPosted>],
    findings: &mut Findings,
) -> Result<usize, Error> {
    let oracle = world.deployment.fleet_oracle;
    let least = world.chain.call(oracle, minStakeCall {}).await?;
    let least = U256::from(least);
    let jumps = jumps(world);
    let mut count = 0_usize;
    let inputs = inputs(world, wanted.iter().map(|posted| posted.at)).await?;
    for (posted, input) in wanted.iter().zip(inputs) {
        let (epoch, report) = (posted.event.epoch, &posted.event.report);
        let place = format!("the report of epoch {epoch}");
        let Ok(call) = postCall::abi_decode(&input) else {
            findings.fault(format!("{place}: its transaction is no call of `post`"));
            continue;
        };
        let wants = Wants {
            digest: domain(world).report(report),
            config: report.configDigest,
            jump: jumps.contains(&epoch),
        };
        let signed = signers(world, posted.at, &wants, &call.signatures, least);
        count = count.saturating_add(said(signed, &place, findings));
    }
    valuations(world, least, findings).await?;
    gaps(world, least, findings).await?;
    slashes(world, findings).await?;
    Ok(count)
}

/// What signatures have to be of.
struct Wants {
    digest: B256,
    config: B256,
    /// Whether it needs more than the quorum.
    jump: bool,
}

const fn domain(world: &World) -> OracleDomain {
    OracleDomain { chain_id: world.chain.id, oracle: world.deployment.fleet_oracle }
}

async fn inputs(world: &World, at: impl Iterator<Item = Stamp>) -> Result<Vec<Bytes>, Error> {
    let hashes: Vec<B256> = at.map(|at| at.tx).collect();
    world.chain.inputs(&hashes).await
}

fn said(signed: Result<usize, String>, place: &str, findings: &mut Findings) -> usize {
    match signed {
        Ok(count) => count,
        Err(why) => {
            findings.fault(format!("{place}: {why}"));
            0
        }
    }
}

/// How many signed, if they are enough, all of the set then in force, and all with the stake that it takes.
fn signers(
    world: &World,
    at: Stamp,
    wants: &Wants,
    packed: &[u8],
    least: U256,
) -> Result<usize, String> {
    let set = world.history.signer_sets.iter().rfind(|set| set.at < at);
    let set = &set.ok_or("no signer set was in force")?.event;
    if set.configDigest != wants.config {
        return Err("it names another signer set than was in force".into());
    }
    let signed = quorum::recover(&set.signers, packed, wants.digest)
        .ok_or("a signature is not by the signer whose place it names")?;
    let distinct: BTreeSet<&Address> = signed.iter().collect();
    if distinct.len() != signed.len() {
        return Err("somebody signed twice".into());
    }
    let stakes = stakes(world, at);
    let stake = |signer: &Address| stakes.get(signer).copied().unwrap_or_default();
    if let Some(poor) = signed.iter().find(|signer| stake(signer) < least) {
        return Err(format!("{poor} signed with a stake of {}, {least} is the least", stake(poor)));
    }
    let quorum = usize::from(set.quorum);
    let able = set.signers.iter().filter(|signer| stake(signer) >= least).count();
    let needed = if wants.jump { quorum.saturating_add(2).min(able).max(quorum) } else { quorum };
    if signed.len() < needed {
        return Err(format!("{} signers signed, {needed} are needed", signed.len()));
    }
    Ok(signed.len())
}

/// Every signer's stake before an instant.
fn stakes(world: &World, before: Stamp) -> BTreeMap<Address, U256> {
    let mut stakes: BTreeMap<Address, U256> = BTreeMap::new();
    for one in world.history.staked.iter().filter(|one| one.at < before) {
        let stake = stakes.entry(one.event.signer).or_default();
        *stake = stake.saturating_add(one.event.amount);
    }
    let paid =
        world.history.unstaked.iter().map(|one| (one.at, one.event.signer, one.event.amount));
    let taken =
        world.history.slashed.iter().map(|one| (one.at, one.event.signer, one.event.amount));
    for (_, signer, amount) in paid.chain(taken).filter(|(at, _, _)| *at < before) {
        let stake = stakes.entry(signer).or_default();
        *stake = stake.saturating_sub(amount);
    }
    stakes
}

async fn valuations(world: &World, least: U256, findings: &mut Findings) -> Result<(), Error> {
    let all = &world.history.valuations;
    let inputs = inputs(world, all.iter().map(|posted| posted.at)).await?;
    let mut last = B256::ZERO;
    for (posted, input) in all.iter().zip(inputs) {
        let valuation = &posted.event.valuation;
        let place = format!("the valuation of epoch {}", valuation.epoch);
        findings.require(valuation.prevValuation == last, || {
            format!("{place} does not follow the one before it")
        });
        last = quorum::valuation_hash(valuation);
        findings
            .require(last == posted.event.valuationHash, || format!("{place} hashes to {last}"));
        let before = world.history.reports.iter().rfind(|report| report.at < posted.at);
        let after = before.map_or(B256::ZERO, |report| report.event.reportHash);
        findings.require(valuation.afterReport == after, || {
            format!("{place} does not name the report before it")
        });
        let Ok(call) = postValuationCall::abi_decode(&input) else {
            findings.fault(format!("{place}: its transaction is no call of `postValuation`"));
            continue;
        };
        let (digest, config) = (domain(world).valuation(valuation), valuation.configDigest);
        let wants = Wants { digest, config, jump: false };
        said(signers(world, posted.at, &wants, &call.signatures, least), &place, findings);
    }
    Ok(())
}

/// A gap is declared by anyone a day late, or by a quorum.
async fn gaps(world: &World, least: U256, findings: &mut Findings) -> Result<(), Error> {
    let (early, late): (Vec<_>, Vec<_>) =
        world.history.gaps.iter().partition(|gap| gap.event.byQuorum);
    for gap in late {
        let (epoch, from) = (gap.event.epoch, EpochId(gap.event.epoch).end() + GAP_AFTER);
        findings.require(gap.at.time >= from, || {
            format!(
                "the gap of epoch {epoch} was declared at {}, anyone may from {from}",
                gap.at.time
            )
        });
    }
    let inputs = inputs(world, early.iter().map(|gap| gap.at)).await?;
    for (gap, input) in early.iter().zip(inputs) {
        let place = format!("the gap of epoch {}", gap.event.epoch);
        let set = world.history.signer_sets.iter().rfind(|set| set.at < gap.at);
        let config = set.map_or(B256::ZERO, |set| set.event.configDigest);
        let Ok(call) = declareGapByQuorumCall::abi_decode(&input) else {
            findings.fault(format!("{place}: its transaction is no call of `declareGapByQuorum`"));
            continue;
        };
        let digest = domain(world).gap(gap.event.epoch, config);
        let wants = Wants { digest, config, jump: false };
        said(signers(world, gap.at, &wants, &call.signatures, least), &place, findings);
    }
    Ok(())
}

/// Who was slashed signed two reports, or two valuations, of one epoch and round.
async fn slashes(world: &World, findings: &mut Findings) -> Result<(), Error> {
    let all = &world.history.slashed;
    let inputs = inputs(world, all.iter().map(|slashed| slashed.at)).await?;
    for (slashed, input) in all.iter().zip(inputs) {
        let signer = slashed.event.signer;
        let Ok(call) = equivocationCall::abi_decode(&input) else {
            // through another contract: the oracle's own code, which check 1 compares, decided it
            findings.note(format!("{signer} was slashed by a call that is not read here"));
            continue;
        };
        let digest = |hash: B256| {
            if call.ofValuation {
                domain(world).valuation_digest(call.epoch, call.round, hash)
            } else {
                domain(world).digest(call.epoch, call.round, hash)
            }
        };
        let by = |hash: B256, bytes: &Bytes| {
            let signature = match bytes.len() {
                64 => Some(Signature::from_erc2098(bytes)),
                _ => Signature::from_raw(bytes).ok(),
            };
            signature?.recover_address_from_prehash(&digest(hash)).ok()
        };
        let twice = by(call.hashA, &call.signatureA) == Some(signer)
            && by(call.hashB, &call.signatureB) == Some(signer)
            && call.hashA != call.hashB;
        findings.require(twice, || format!("{signer} was slashed without having signed twice"));
    }
    Ok(())
}

/// Epochs whose report is out of the ordinary: a pot above three times the last that was not zero, a price a quarter above
/// or a fifth below the last, a series' live H/s twice those it had.
fn jumps(world: &World) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut before: BTreeMap<u32, (u128, u128)> = BTreeMap::new();
    let mut live: BTreeMap<u16, u32> = BTreeMap::new();
    for posted in &world.history.reports {
        let report = &posted.event.report;
        let pot = pot(report);
        let price = u128::from(report.quotePerBtc);
        let near = before.range(report.epoch.saturating_sub(LOOK_BACK)..).rev();
        let last_pot = near.clone().map(|(_, one)| one.0).find(|pot| *pot > 0).unwrap_or_default();
        let last_price = near.map(|(_, one)| one.1).next().unwrap_or_default();
        let price_jumps =
            last_price > 0 && (price * 4 > last_price * 5 || price * 5 < last_price * 4);
        let mut jump = (last_pot > 0 && pot > last_pot.saturating_mul(3)) || price_jumps;
        for line in &report.series {
            let (now, was) =
                (size(line.liveHashrate), live.get(&line.series).copied().unwrap_or_default());
            jump |= was > 0 && now > was + TWICE;
            if now > 0 && now.abs_diff(was) > QUARTER {
                live.insert(line.series, now);
            }
        }
        before.insert(report.epoch, (pot, price));
        if jump {
            found.insert(report.epoch);
        }
    }
    found
}

fn pot(report: &FleetReport) -> u128 {
    let pieces = report.series.iter().flat_map(|line| &line.pots);
    pieces.fold(0, |sum, piece| sum + u128::from(piece.sats))
}

/// A number's logarithm to base 2 in 256ths, linear between powers; zero of zero.
fn size(x: u128) -> u32 {
    let Some(whole) = x.checked_ilog2() else { return 0 };
    let fraction = if whole >= 8 { x >> (whole - 8) } else { x << (8 - whole) } & 0xff;
    (whole + 1) * 256 + u32::try_from(fraction).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_a_number_is_256_more() {
        for x in [1, 3, 100, 255, 256, 12_345_678_901, u128::MAX >> 1] {
            assert_eq!(size(x * 2), size(x) + TWICE, "{x}");
        }
        assert_eq!((size(0), size(1), size(3)), (0, 256, 512 + 128));
    }
}
