//! The checks of DESIGN section 8, each in a file of its own.

mod c01_code;
mod c02_roles;
mod c03_supply;
mod c04_reports;
mod c04_signatures;
mod c05_seconds;
mod c06_roots;
mod c07_payments;
mod c08_bitcoin;
mod c09_conservation;
mod c10_pools;
mod c11_values;
mod c12_upgrades;
mod c13_proofs;
mod c13_work;
mod c14_switches;

use crate::{CheckId, Error, Outcome, Report, Verdict, world::World};

/// What a check returns: its outcome and lines worth reading.
pub(crate) type Checked = Result<(Outcome, Vec<String>), Error>;

/// Names of the checks; check n is entry n - 1.
pub const NAMES: [&str; 14] = [
    "code is this source, recompiled",
    "roles, delays, holders",
    "supply = backing",
    "reports: chain, quorum, receipts",
    "balance-seconds replayed",
    "root recomputed bit for bit",
    "each due leaf paid exactly once",
    "Bitcoin inclusion, baton chain",
    "conservation, reserves",
    "pool: cash, inventory, claims",
    "fair value recomputed",
    "upgrades: scrap in, hardware out",
    "acknowledged work, share proofs",
    "each switch the better venue",
];

/// Runs every check.
pub async fn run(world: &World) -> Report {
    macro_rules! each {
        ($($number:literal $check:expr;)+) => {
            [$({
                world.chain.progress().step("check", $number, 14);
                $check
            },)+]
        };
    }
    let results: [Checked; 14] = each! {
        1 c01_code::check(world).await;
        2 c02_roles::check(world);
        3 c03_supply::check(world).await;
        4 c04_reports::check(world).await;
        5 c05_seconds::check(world).await;
        6 c06_roots::check(world).await;
        7 c07_payments::check(world);
        8 c08_bitcoin::check(world).await;
        9 c09_conservation::check(world);
        10 c10_pools::check(world).await;
        11 c11_values::check(world).await;
        12 c12_upgrades::check(world).await;
        13 c13_work::check(world).await;
        14 c14_switches::check(world);
    };
    let verdicts = (1_u8..)
        .zip(NAMES)
        .zip(results)
        .map(|((number, name), result)| Verdict::of(CheckId(number), name, result))
        .collect();
    let epochs = world.pages.first().zip(world.pages.last()).map(|(a, b)| (a.epoch.0, b.epoch.0));
    Report {
        evm_block: world.chain.block,
        bitcoin_height: world.scan.headers.tip,
        epochs,
        verdicts,
    }
}
