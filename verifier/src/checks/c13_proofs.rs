//! The half of check 13 that needs the EVM chain only: every proof of hashrate recomputed from its calldata, and what is
//! claimed compared with what pools acknowledged.

use std::collections::{BTreeMap, HashMap};

use alloy::{
    primitives::{B256, U256},
    sol_types::SolCall,
};
use domain::{EpochId, Production};
use evm::bindings::IHashProof::{
    EpochOpened, FleetRegistered, Proven, claimOfCall, kCall, proveCall, seedOfCall,
};

use crate::{
    Error, Findings,
    hashproof::{self, error_ppm, estimate},
    history::At,
    world::World,
};

/// Seconds after an epoch in which proofs of it are taken.
const WINDOW: u64 = 7_200;
/// SHA-256, as the registry numbers algorithms.
const SHA256: u8 = 1;
/// A claim may be above what pools acknowledged by so many standard errors: luck, about one in a million for k = 16.
const LUCK: u64 = 12;
/// Epochs over which claims are stated.
const STATED: usize = 21;

/// What all proofs are read against.
struct Chain {
    k: u64,
    /// First blocks, as the chain has them: time before, time, hash.
    seeds: HashMap<u32, B256>,
    since: HashMap<B256, u32>,
    calldata: HashMap<B256, proveCall>,
}

/// Says in one line what was compared; none if nothing was ever proven.
pub(super) async fn check(world: &World, findings: &mut Findings) -> Result<Option<String>, Error> {
    let contract = world.deployment.hash_proof;
    let proofs = world.history.of::<Proven>(contract)?;
    let proofs: Vec<At<Proven>> =
        proofs.into_iter().filter(|proof| world.wants(proof.event.epoch)).collect();
    if proofs.is_empty() {
        return Ok(None);
    }
    let chain = read(world, findings, &proofs).await?;
    let mut claims: BTreeMap<(u32, B256), U256> = BTreeMap::new();
    for proof in &proofs {
        recompute(world, findings, &chain, proof);
        let claim = claims.entry((proof.event.epoch, proof.event.fleetId)).or_default();
        *claim = proof.event.hashes.max(*claim);
    }
    let calls: Vec<_> = claims
        .keys()
        .map(|(epoch, fleet)| (contract, claimOfCall { fleetId: *fleet, epoch: *epoch }))
        .collect();
    for (((epoch, fleet), claim), answer) in claims.iter().zip(world.chain.calls(&calls).await?) {
        findings.require(answer.is_ok_and(|stored| U256::from(stored.hashes) == *claim), || {
            format!("epoch {epoch}, fleet {fleet}: the contract's claim is not its last proof's")
        });
    }
    let own = world.deployment.fleet();
    let own: BTreeMap<u32, U256> = claims
        .iter()
        .filter(|((_, fleet), _)| *fleet == own)
        .map(|((epoch, _), claim)| (*epoch, *claim))
        .collect();
    compare(world, findings, chain.k, &own);
    Ok(Some(format!(
        "{} hash proofs of {} epochs recomputed share by share",
        proofs.len(),
        claims.len()
    )))
}

async fn read(
    world: &World,
    findings: &mut Findings,
    proofs: &[At<Proven>],
) -> Result<Chain, Error> {
    let contract = world.deployment.hash_proof;
    let k = world.chain.call(contract, kCall {}).await?.saturating_to();
    let opened = world.history.of::<EpochOpened>(contract)?;
    let numbers = opened.iter().flat_map(|at| {
        let number: u64 = at.event.number.saturating_to();
        [number, number.saturating_sub(1)]
    });
    let heads = world.chain.heads(numbers).await?;
    let mut seeds = HashMap::new();
    for At { event, .. } in &opened {
        let number: u64 = event.number.saturating_to();
        let time_of = |number: u64| heads.get(&number).map(|(time, _)| EpochId::at(*time).0);
        let hash = heads.get(&number).map(|(_, hash)| *hash);
        let before = number.checked_sub(1).and_then(time_of);
        let is_first = hash == Some(event.seed)
            && time_of(number) == Some(event.epoch)
            && before.is_some_and(|before| before < event.epoch);
        findings.require(is_first, || {
            format!("epoch {}: its seed is not the hash of its first block", event.epoch)
        });
        seeds.insert(event.epoch, event.seed);
    }
    let calls: Vec<_> =
        seeds.keys().map(|epoch| (contract, seedOfCall { epoch: *epoch })).collect();
    for ((epoch, seed), answer) in seeds.iter().zip(world.chain.calls(&calls).await?) {
        findings
            .require(answer == Ok(*seed), || format!("epoch {epoch}: the contract's seed differs"));
    }
    let registered = world.history.of::<FleetRegistered>(contract)?;
    let since = registered.iter().map(|at| (at.event.fleetId, at.event.since)).collect();
    let hashes: Vec<B256> = proofs.iter().map(|proof| proof.at.tx).collect();
    let inputs = world.chain.inputs(&hashes).await?;
    let calldata = hashes
        .into_iter()
        .zip(inputs)
        .filter_map(|(tx, input)| Some((tx, proveCall::abi_decode(&input).ok()?)))
        .collect();
    Ok(Chain { k, seeds, since, calldata })
}

/// One proof, from its calldata.
fn recompute(world: &World, findings: &mut Findings, chain: &Chain, proof: &At<Proven>) {
    let (at, event) = (&proof.at, &proof.event);
    let place = format!("proof of epoch {} in {}", event.epoch, at.tx);
    let Some(call) = chain.calldata.get(&at.tx) else {
        findings.fault(format!(
            "{place}: it was not sent to the contract itself: its shares cannot be read"
        ));
        return;
    };
    let same = (call.fleetId, call.epoch, call.bound) == (event.fleetId, event.epoch, event.bound);
    findings.require(same, || format!("{place}: its calldata is of another claim"));
    let end = EpochId(event.epoch).end();
    findings
        .require(at.time <= end.saturating_add(WINDOW), || format!("{place}: it came too late"));
    let registered = chain.since.get(&event.fleetId).is_some_and(|since| *since <= event.epoch);
    findings.require(registered, || format!("{place}: the fleet was not registered before it"));
    let Some(seed) = chain.seeds.get(&event.epoch) else {
        findings.fault(format!("{place}: the epoch was never opened"));
        return;
    };
    let count = u64::try_from(call.shares.len()).unwrap_or(u64::MAX);
    findings.require(count == chain.k, || format!("{place}: {count} shares, not {}", chain.k));
    let tag = hashproof::tag(world.chain.id, event.fleetId, event.epoch, *seed);
    let mut highest = U256::ZERO;
    for (number, bytes) in call.shares.iter().enumerate() {
        match hashproof::share(bytes) {
            Err(why) => findings.fault(format!("{place}, share {number}: {why}")),
            Ok(share) => {
                findings
                    .require(share.tag == tag, || format!("{place}, share {number}: another tag"));
                findings.require(share.hash > highest, || {
                    format!("{place}, share {number}: hashes do not ascend")
                });
                highest = share.hash;
            }
        }
    }
    let found = estimate(chain.k, highest);
    findings.require(highest == event.highest && highest <= event.bound, || {
        format!(
            "{place}: its highest hash is {highest:#x}, not {:#x}, or above the bound",
            event.highest
        )
    });
    findings.require(found == event.hashes, || {
        format!("{place}: {found} hashes follow from its shares, {} are claimed", event.hashes)
    });
    if let Some(least) = smallest_target(world, event.epoch, tag) {
        findings.require(event.bound <= least, || {
            format!("{place}: its bound is above the smallest share target in the journal")
        });
    }
}

/// The smallest share target that machines were given under a tag, by the journal.
fn smallest_target(world: &World, epoch: u32, tag: [u8; 4]) -> Option<U256> {
    let records = world.evidence.iter().flat_map(|evidence| &evidence.records);
    let targets = records.filter_map(|record| match record {
        Production::Tagged { epoch: of, tag: Some(carried), target, .. }
            if of.0 == epoch && carried.0 == tag =>
        {
            Some(U256::from_be_bytes(target.0))
        }
        _ => None,
    });
    targets.min()
}

/// Claims beside acknowledged work, epoch by epoch and over the last 21: more than luck allows is a fault, less is a
/// note, since venues without room for a tag and the first seconds of an epoch are not in a proof.
fn compare(world: &World, findings: &mut Findings, k: u64, claims: &BTreeMap<u32, U256>) {
    let series = world.history.series.iter();
    let sha256: Vec<u16> = series
        .filter(|created| created.event.params.algorithm == SHA256)
        .map(|created| created.event.series)
        .collect();
    let (mut proven, mut acknowledged, mut epochs) = (U256::ZERO, U256::ZERO, 0_u64);
    let error = error_ppm(k, 1);
    for (epoch, claim) in claims.iter().rev().take(STATED) {
        let Some(report) = world.history.report(*epoch) else { continue };
        let lines = report.event.report.series.iter();
        let work = lines.filter(|line| sha256.contains(&line.series));
        let work = work.fold(U256::ZERO, |sum, line| sum.saturating_add(U256::from(line.work)));
        findings.require(*claim <= with_luck(work, error), || {
            format!("epoch {epoch}: {claim} hashes are proven, pools acknowledged only {work}")
        });
        findings.note(format!(
            "epoch {epoch}: proven {claim} hashes beside {work} acknowledged ({} %); standard error {} %",
            percent(*claim, work),
            tenths(error),
        ));
        proven = proven.saturating_add(*claim);
        acknowledged = acknowledged.saturating_add(work);
        epochs = epochs.saturating_add(1);
    }
    if epochs > 1 {
        let error = error_ppm(k, epochs);
        findings.require(proven <= with_luck(acknowledged, error), || {
            format!("over {epochs} epochs {proven} hashes are proven, {acknowledged} acknowledged")
        });
        findings.note(format!(
            "over {epochs} epochs: {} % of acknowledged work; standard error {} %",
            percent(proven, acknowledged),
            tenths(error),
        ));
    }
}

fn with_luck(work: U256, error_ppm: u64) -> U256 {
    let million = U256::from(1_000_000);
    let more = million.saturating_add(U256::from(error_ppm.saturating_mul(LUCK)));
    work.saturating_mul(more).checked_div(million).unwrap_or_default()
}

fn percent(part: U256, whole: U256) -> U256 {
    part.saturating_mul(U256::from(100)).checked_div(whole).unwrap_or_default()
}

/// Millionths as a percentage with one decimal, rounded down.
fn tenths(ppm: u64) -> String {
    format!("{}.{}", ppm / 10_000, ppm / 1_000 % 10)
}
