//! SIGKILL at random instants, many epochs in a row on one world, and after each epoch the whole account from the chain.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use xtask::{paths, process::Process};

use super::{audit::Audit, world::World};

/// Every labelled point of settlement, in the order that an epoch passes them.
pub const POINTS: [&str; 17] = [
    "snapshot-chosen",
    "snapshot-saved",
    "allocated-unsaved",
    "allocated-saved",
    "commit-landed",
    "committed-saved",
    "planned-unsaved",
    "planned-saved",
    "one-signature",
    "signed-unsaved",
    "signed-saved",
    "broadcast-done",
    "sent-saved",
    "confirmed-unsaved",
    "confirmed-saved",
    "proof-landed",
    "proven-saved",
];

/// The points that are passed only when blocks leave a payout out and its fee is raised.
pub const BUMP_POINTS: [&str; 6] = [
    "bump-unsaved",
    "bump-saved",
    "bump-signed",
    "bump-signed-saved",
    "bump-sent",
    "bump-sent-saved",
];

/// Seeded, so that a run can be repeated: splitmix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Tally {
    pub epochs: u32,
    pub settlement: u32,
    pub signers: u32,
    pub hosts: u32,
    /// Epochs whose fee was raised.
    pub raised: u32,
    /// Kills by the state that the epoch was in, as the database has it.
    pub states: std::collections::BTreeMap<String, u32>,
}

impl Tally {
    pub fn kills(&self) -> u32 {
        self.settlement + self.signers + self.hosts
    }
}

/// A payment of a random pot, settled under random kills; ends when `kills` are done.
pub struct Sweep {
    pub world: World,
    pub audit: Audit,
    pub tally: Tally,
    rng: Rng,
    /// How long a start takes, and an epoch that nobody disturbs.
    ready: Duration,
    whole: Duration,
}

impl Sweep {
    /// A world with one epoch paid in peace, to know how long that takes.
    pub async fn start(seed: u64) -> Result<Self, String> {
        let mut world = World::start().await;
        let mut audit = Audit::open(&world).await;
        let mut rng = Rng(seed);
        let pot = pot(&mut rng);
        let epoch = world.earn(pot).await;
        let started = Instant::now();
        let mut process = world.settle(None).await;
        let ready = started.elapsed();
        world.until_proven(epoch, &process).await;
        let whole = started.elapsed();
        process.kill().unwrap();
        audit.epoch(&world, epoch, pot).await?;
        Ok(Self { world, audit, tally: Tally { epochs: 1, ..Tally::default() }, rng, ready, whole })
    }

    /// One epoch under kills; returns when the chain shows it paid, after at most `most` kills.
    pub async fn epoch(&mut self, most: u32) -> Result<(), String> {
        let pot = pot(&mut self.rng);
        let epoch = self.world.earn(pot).await;
        // in one epoch of three blocks leave payouts out, so that the fee is raised between the kills
        self.world.full = self.rng.below(3) == 0;
        let mut process = self.spawn();
        for _ in 0..most {
            let at = self.instant();
            tokio::select! {
                () = tokio::time::sleep(at) => {}
                () = self.world.keep_mining() => {}
            }
            self.strike(epoch, &mut process);
            if self.world.is_proven(epoch).await {
                break;
            }
        }
        self.world.full = false;
        self.world.until_proven(epoch, &process).await;
        let variants = self.world.status(epoch)["variants"].as_array().map_or(0, Vec::len);
        self.tally.raised += u32::from(variants > 1);
        process.kill().unwrap();
        self.tally.epochs += 1;
        self.audit.epoch(&self.world, epoch, pot).await
    }

    /// Settlement halted at a labelled point; then it, the signers, or all of them are killed.
    pub async fn point(&mut self, point: &str, victims: u64) -> Result<(), String> {
        let pot = pot(&mut self.rng);
        let epoch = self.world.earn(pot).await;
        self.world.full = BUMP_POINTS.contains(&point);
        let mut process = self.world.settle(Some(point)).await;
        self.world.until_halted(&mut process).await;
        self.world.full = false;
        if victims != 0 {
            (0..3).for_each(|signer| self.world.restart_signer(signer));
            self.tally.signers += 3;
        }
        if victims != 1 {
            self.tally.settlement += 1;
        }
        // at a labelled point it stands still for ever: to go on it is started again in any case
        process.kill().unwrap();
        let mut process = self.spawn();
        self.world.until_proven(epoch, &process).await;
        process.kill().unwrap();
        self.tally.epochs += 1;
        self.audit.epoch(&self.world, epoch, pot).await
    }

    fn spawn(&self) -> Process {
        let mut command = Command::new(paths::ours("settlement").unwrap());
        command.args(["run", "--config"]).arg(&self.world.config);
        Process::spawn("settlement", &mut command, &self.world.dir).unwrap()
    }

    /// While it starts, or up to a third of an epoch's work later.
    fn instant(&mut self) -> Duration {
        let start = u64::try_from(self.ready.as_micros()).unwrap();
        let whole = u64::try_from(self.whole.as_micros()).unwrap();
        let at = match self.rng.below(5) {
            0 => self.rng.below(start),
            _ => start + self.rng.below((whole - start) / 3),
        };
        Duration::from_micros(at)
    }

    fn strike(&mut self, epoch: u32, process: &mut Process) {
        let signer = usize::try_from(self.rng.below(3)).unwrap();
        match self.rng.below(10) {
            0 | 1 => {
                self.world.restart_signer(signer);
                self.tally.signers += 1;
                return;
            }
            2 => {
                process.kill().unwrap();
                (0..3).for_each(|signer| self.world.restart_signer(signer));
                self.tally.hosts += 1;
            }
            _ => {
                process.kill().unwrap();
                self.tally.settlement += 1;
            }
        }
        let status = self.world.status(epoch);
        let state = status["state"].as_str().unwrap_or("not begun").to_owned();
        *self.tally.states.entry(state).or_default() += 1;
        *process = self.spawn();
    }
}

fn pot(rng: &mut Rng) -> u64 {
    400_000 + rng.below(1_200_000)
}

/// Kills at random instants until there were `kills`.
pub async fn random(seed: u64, kills: u32, say: impl Fn(&Tally)) -> Result<Sweep, String> {
    let mut sweep = Sweep::start(seed).await?;
    while sweep.tally.kills() < kills {
        let most = (4 + sweep.rng.below(9)) as u32;
        sweep.epoch(most.min(kills - sweep.tally.kills())).await?;
        say(&sweep.tally);
    }
    Ok(sweep)
}

/// Every labelled point with each kind of victim.
pub async fn labelled(sweep: &mut Sweep, say: impl Fn(&str)) -> Result<(), String> {
    for point in POINTS.into_iter().chain(BUMP_POINTS) {
        for victims in 0..3 {
            sweep.point(point, victims).await?;
        }
        say(point);
    }
    Ok(())
}

/// A shell command that pays from the node's own wallet.
fn sendmany(world: &World, dues: &[(bitcoin::ScriptBuf, u64)]) -> String {
    let cli = paths::bitcoin("bitcoin-cli").unwrap();
    let port = world.net.bitcoin.url.rsplit(':').next().unwrap();
    let dues = dues.iter().map(|(script, sats)| {
        let address = bitcoin::Address::from_script(script, bitcoin::Network::Regtest).unwrap();
        format!("\"{address}\":{}.{:08}", sats / 100_000_000, sats % 100_000_000)
    });
    let dues = dues.collect::<Vec<_>>().join(",");
    let data = world.dir.join("bitcoin");
    format!(
        "{} -regtest -datadir={} -rpcport={port} -rpcwallet=faucet sendmany '' '{{{dues}}}' >/dev/null",
        cli.display(),
        data.display()
    )
}

/// The wrong order, as a payer without a baton: it broadcasts, and then writes down that it has. The same chain, the
/// same kills, the same audit. Returns what the audit says.
pub async fn broadcast_before_save(seed: u64, epochs: u32) -> Result<(), String> {
    let mut world = World::start().await;
    let mut audit = Audit::open(&world).await;
    let mut rng = Rng(seed);
    for _ in 0..epochs {
        let pot = pot(&mut rng);
        let epoch = world.earn(pot).await;
        let dues = audit.credit(epoch, pot);
        let mark = world.dir.join(format!("paid-{epoch}"));
        let send = sendmany(&world, &dues);
        let mark = mark.display();
        let script = format!("[ -e {mark} ] || {{ {send} && echo > {mark}; }}");
        // killed once at a random instant of its short life, then left alone
        for patience in [Some(rng.below(60)), None] {
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            let mut payer = Process::spawn("payer", &mut command, &world.dir).unwrap();
            match patience {
                Some(millis) => {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    payer.kill().unwrap();
                }
                None => {
                    while payer.ended().unwrap().is_none() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
        }
        world.net.bitcoin.mine(8).await.unwrap();
        audit.received(&world).await?;
    }
    Ok(())
}
