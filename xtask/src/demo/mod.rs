//! The demo: dev chains, the outside world, every service, and the story played on them.

pub mod checks;
pub mod config;
pub mod keys;
pub mod orders;
pub mod outside;
pub mod people;
pub mod say;
pub mod second_payout;
pub mod services;
pub mod story;
pub mod time;
pub mod upgrade;
pub mod world;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use eyre::{Result, WrapErr, bail, ensure};
use tokio_util::sync::CancellationToken;

pub use world::World;

/// Chain seconds per wall second.
pub const SPEED: u64 = 960;

/// What the demo plays before it stays up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Story {
    /// The first paid epochs.
    #[default]
    Payday,
    /// A generation of machines retires while positions are open: about seven minutes, because 72 hours of notice pass.
    Upgrade,
}

/// What `up` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// End after the story.
    pub once: bool,
    /// Folder of everything the demo writes.
    pub dir: PathBuf,
    /// First port to try for the page.
    pub port: u16,
    /// What is played.
    pub story: Story,
}

/// Starts the demo, plays its story, and stays up until `stop` unless it is to end.
///
/// # Errors
/// When a part does not come up or the story does not come true. Everything is stopped before this returns.
pub async fn up(options: &Options, stop: CancellationToken) -> Result<()> {
    let world = tokio::select! {
        world = World::start(options) => world?,
        () = stop.cancelled() => bail!("stopped while it started"),
    };
    let over = AtomicBool::new(false);
    let told = tokio::select! {
        told = tell(&world, options, &over) => told,
        () = stop.cancelled() => Ok(()),
    };
    let logs = world.dir.clone();
    say::act("Stopping");
    world.shut_down().await;
    told.wrap_err_with(|| format!("it broke off; logs are in {}", logs.display()))?;
    // Ctrl-C is how a demo ends whose story is over. Before that, nothing was paid or verified.
    ensure!(over.load(Ordering::Relaxed), "stopped before the story was over");
    Ok(())
}

async fn tell(world: &World, options: &Options, over: &AtomicBool) -> Result<()> {
    match options.story {
        Story::Payday => story::play(world).await?,
        Story::Upgrade => upgrade::play(world).await?,
    }
    over.store(true, Ordering::Relaxed);
    if options.once {
        return Ok(());
    }
    world.where_to_look();
    world.watch().await
}
