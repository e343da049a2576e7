//! A million epochs of settlement's own engine, allocation, planning and signing rules in simulated surroundings.
//!
//! Real: the engine with every transition, allocation, plan, PSBT, merging and finalising, the signers' rules and their
//! signatures, Merkle proofs. Simulated, and hostile: both chains, the RPC between, the database, the signers' process
//! and store, clocks. In one life of 16 the real store is kept beside the simulated one, on SQLite in memory, with its
//! double-entry books, which must hold what the chain holds. Not in it: a disk under SQLite, orders, the court, HTTP,
//! sockets, the contracts' bytecode (`scripts/bench crash` kills those for real beside it).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a benchmark may stop loudly, and prints"
)]

mod bitcoin;
mod book;
mod control;
pub(super) mod ledger;
pub(super) mod life;
pub(super) mod rim;
pub(super) mod settings;
pub(super) mod signers;
pub(super) mod sim;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use eyre::{Result, bail};

use life::{Tally, live};
use sim::Keys;

/// Epochs of one world.
const LIFE: u32 = 250;

/// Runs the seed's epochs from `from` (whole lives) up to `epochs` on both cores, and the control; prints a line for each.
///
/// # Errors
/// When a payee was not paid exactly once, or the control is not caught.
pub(super) fn run(seed: u64, from: u64, epochs: u64) -> Result<()> {
    std::thread::scope(|scope| scope.spawn(|| all(seed, from, epochs)).join().expect("it ends"))
}

fn all(seed: u64, from: u64, epochs: u64) -> Result<()> {
    let started = Instant::now();
    let (tally, failed) = many(seed, from, epochs);
    let seconds = started.elapsed().as_secs().max(1);
    if let Some((seed, why)) = failed {
        println!(
            "crash simulation: a world of seed {seed} after {} epochs: {why} (0 wrong) short",
            tally.epochs
        );
        bail!("a target is short");
    }
    println!(
        "crash simulation: {} epochs of seed {seed} after the first {from}, {} payments, each paid exactly once, 0 sat missing; {} deaths, {} lost databases, {} reorgs, {} deferred, {} payouts replaced by a dearer variant, {} times a miner had the other; {} epochs/s (1000000) {}",
        tally.epochs,
        tally.payments,
        tally.deaths,
        tally.lost_disks,
        tally.reorgs,
        tally.deferred,
        tally.replaced,
        tally.revived,
        tally.epochs / seconds,
        if from + tally.epochs >= 1_000_000 { "ok" } else { "short" }
    );
    println!(
        "  of those {} epochs with the real store and its books, which held what the chain holds {} times",
        tally.booked, tally.compared
    );
    let Some((epochs, why)) = control(seed) else {
        println!("crash control, broadcast before save, simulated: not caught (caught) short");
        bail!("the control is not caught");
    };
    println!(
        "crash control, broadcast before save, simulated: caught within {epochs} epochs: {why} (caught) ok"
    );
    if from + tally.epochs < 1_000_000 {
        bail!("a target is short");
    }
    Ok(())
}

/// Lives one after the other on each core, until there were enough epochs or one failed. Those before epoch `from` were
/// lived by an earlier run.
fn many(seed: u64, from: u64, epochs: u64) -> (Tally, Option<(u64, String)>) {
    let (next, keys) = (AtomicU64::new(from / u64::from(LIFE)), Keys::new());
    let lives = epochs.div_ceil(u64::from(LIFE));
    let failed = std::sync::Mutex::new(None);
    let work = || {
        let mut sum = Tally::default();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= lives || failed.lock().expect("no panic").is_some() {
                return sum;
            }
            let seed = seed.wrapping_mul(1 << 32).wrapping_add(at);
            let length = u64::from(LIFE).min(epochs - at * u64::from(LIFE)) as u32;
            match live(&keys, seed, length, false) {
                Ok(tally) => add(&mut sum, &tally),
                Err(why) => *failed.lock().expect("no panic") = Some((seed, why)),
            }
            if at % 40 == 39 {
                eprint!("\r  {} of {epochs} epochs ", (at + 1) * u64::from(LIFE));
            }
        }
    };
    let tally = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut sum = work();
        add(&mut sum, &other.join().expect("no panic"));
        sum
    });
    (tally, failed.into_inner().expect("no panic"))
}

fn add(sum: &mut Tally, other: &Tally) {
    sum.epochs += other.epochs;
    sum.payments += other.payments;
    sum.deaths += other.deaths;
    sum.lost_disks += other.lost_disks;
    sum.reorgs += other.reorgs;
    sum.deferred += other.deferred;
    sum.replaced += other.replaced;
    sum.revived += other.revived;
    sum.booked += other.booked;
    sum.compared += other.compared;
}

/// The wrong order in the same world under the same audit, until somebody is paid twice: the epochs it took, and what
/// the audit said.
fn control(seed: u64) -> Option<(u32, String)> {
    let keys = Keys::new();
    (0..40_u64).find_map(|at| {
        let caught = live(&keys, seed.wrapping_add(at), LIFE, true).err()?;
        caught.contains("twice").then_some(((at as u32 + 1) * LIFE, caught))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_simulated_storms_every_payee_is_paid_once() {
        let (tally, failed) = many(1, 0, 1_000);
        assert_eq!(failed, None);
        assert!(tally.deaths > 500 && tally.reorgs > 50 && tally.lost_disks > 5, "{tally:?}");
        assert!(tally.replaced > 50 && tally.revived > 20, "{tally:?}");
        assert!(tally.booked == 250 && tally.compared > 50, "{tally:?}");
    }

    #[test]
    fn a_payer_that_broadcasts_before_it_saves_is_caught() {
        let (_, why) = control(1).expect("it pays twice");
        assert!(why.contains("paid twice"), "{why}");
    }
}
