//! `sim-miner`: mining machines that really hash. In: stratum jobs from whatever they are pointed
//! at. Out: shares, and their own counters over HTTP. They know nothing of the product.

mod client;
mod hasher;
mod http;
mod protocol;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use eyre::{Result, ensure};
use tokio::sync::{mpsc, watch};

use self::hasher::{Share, Slot};
use crate::process;

/// One simulated machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) serial: String,
    pub(crate) user: String,
    pub(crate) slot: Mutex<Slot>,
    pub(crate) stats: Mutex<Stats>,
    pub(crate) mode: watch::Sender<Mode>,
    pub(crate) shares: mpsc::UnboundedSender<Share>,
}

/// Counters of one machine since the process started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) connected: bool,
    pub(crate) connects: u64,
    pub(crate) failed_connects: u64,
    pub(crate) disconnects: u64,
    pub(crate) jobs: u64,
    pub(crate) bad_lines: u64,
    pub(crate) submitted: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: BTreeMap<i64, u64>,
    /// Submits of closed connections that never got an answer.
    pub(crate) lost: u64,
    /// Submits of the open connection that wait for an answer.
    pub(crate) waiting: u64,
}

/// How a machine can be told to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    None,
    /// A line that is not JSON before each share.
    GarbageLine,
    /// Shares with a nonce that was not found.
    WrongNonce,
    /// Every share is sent twice.
    Duplicate,
    /// About 200 worthless shares a second.
    Flood,
    /// The connection stays open; nothing is read or written.
    Hang,
    /// The connection is closed every two seconds.
    Disconnect,
}

impl Mode {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "none" => Self::None,
            "garbage_line" => Self::GarbageLine,
            "wrong_nonce" => Self::WrongNonce,
            "duplicate" => Self::Duplicate,
            "flood" => Self::Flood,
            "hang" => Self::Hang,
            "disconnect" => Self::Disconnect,
            _ => return None,
        })
    }
}

/// A simulator of outside mining machines: each is one Stratum V1 connection and really hashes
/// sha256d at a paced rate.
#[derive(Clone, Debug, Parser)]
#[command(name = "sim-miner", version)]
pub(crate) struct Args {
    /// Stratum proxy or pool, HOST:PORT.
    #[arg(long)]
    pub(crate) proxy: String,
    /// Account; machines authorize as ACCOUNT.SERIAL.
    #[arg(long)]
    pub(crate) account: String,
    #[arg(long, default_value_t = 10)]
    pub(crate) machines: u32,
    /// Hashes per wall second of each machine.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) hashrate_per_machine: u64,
    /// Serials are this followed by a number from 0001.
    #[arg(long, default_value = "SIM")]
    pub(crate) serial_prefix: String,
    /// Password sent with mining.authorize.
    #[arg(long, default_value = "x")]
    pub(crate) password: String,
    /// Firmware name sent with mining.subscribe.
    #[arg(long, default_value = "bmminer/2.0.0")]
    pub(crate) agent: String,
    /// Version-rolling mask that the firmware can roll.
    #[arg(long, default_value = "1fffe000")]
    pub(crate) version_mask: String,
    /// Firmware without version rolling: no mining.configure, 5 submit parameters.
    #[arg(long)]
    pub(crate) no_version_rolling: bool,
    /// Firmware that subscribes to and obeys mining.set_extranonce; others ignore it.
    #[arg(long)]
    pub(crate) accept_set_extranonce: bool,
    /// Where GET /stats and POST /admin/misbehave are served.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) http_listen: String,
    /// Hashing threads.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Log filter, to stderr.
    #[arg(long, default_value = "info")]
    pub(crate) log: String,
}

/// Entry point of the `sim-miner` binary.
///
/// # Errors
/// Bad flags or a port in use.
pub fn miner_main() -> Result<()> {
    let args = Args::parse();
    process::init_log(&args.log)?;
    process::block_on(run(args))
}

async fn run(args: Args) -> Result<()> {
    ensure!(args.threads > 0 && args.machines > 0, "--threads and --machines must be positive");
    crate::work::u32_hex(&args.version_mask)?;
    let stop = process::stop_on_signal()?;
    let web = tokio::net::TcpListener::bind(&args.http_listen).await?;
    let mut machines = Vec::new();
    for number in 1..=args.machines {
        let serial = format!("{}{number:04}", args.serial_prefix);
        let (shares, inbox) = mpsc::unbounded_channel();
        let machine = Arc::new(Machine {
            user: format!("{}.{serial}", args.account),
            serial,
            slot: Mutex::default(),
            stats: Mutex::default(),
            mode: watch::Sender::new(Mode::None),
            shares,
        });
        tokio::spawn(client::run(machine.clone(), args.clone(), inbox, stop.clone()));
        machines.push(machine);
    }
    let halt = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..args.threads)
        .map(|index| {
            let mine: Vec<_> = machines.iter().skip(index).step_by(args.threads).cloned().collect();
            let (halt, rate) = (halt.clone(), args.hashrate_per_machine);
            std::thread::spawn(move || hash_loop(&mine, rate, &halt))
        })
        .collect();
    let url = format!("http://{}", web.local_addr()?);
    let web = tokio::spawn(http::serve(machines.clone(), web, stop.clone()));
    process::ready("sim-miner", &[url])?;
    stop.cancelled().await;
    halt.store(true, Ordering::Relaxed);
    for thread in threads {
        let _ = thread.join();
    }
    let _ = tokio::time::timeout(Duration::from_secs(2), web).await;
    Ok(())
}

/// Gives every machine its due hashes about a hundred times a second.
fn hash_loop(machines: &[Arc<Machine>], rate: u64, halt: &AtomicBool) {
    let mut last = Instant::now();
    let mut carry: u64 = 0;
    while !halt.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
        // Work missed in a stall longer than a quarter second is not made up for.
        let elapsed = last.elapsed().min(Duration::from_millis(250));
        last = Instant::now();
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or_default();
        let due = micros.saturating_mul(rate).saturating_add(carry);
        carry = due % 1_000_000;
        for machine in machines {
            let found = process::lock(&machine.slot).hash(due / 1_000_000);
            for share in found {
                let _ = machine.shares.send(share);
            }
        }
    }
}
