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
pub mod world;

use std::path::PathBuf;

use eyre::Result;
use tokio_util::sync::CancellationToken;

pub use world::World;

/// Chain seconds per wall second.
pub const SPEED: u64 = 960;

/// What `up` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// End after the story.
    pub once: bool,
    /// Folder of everything the demo writes.
    pub dir: PathBuf,
    /// First port to try for the page.
    pub port: u16,
}

/// Starts the demo, plays its story, and stays up until `stop` unless it is to end.
///
/// # Errors
/// When a part does not come up or the story does not come true. Everything is stopped before this returns.
pub async fn up(options: &Options, stop: CancellationToken) -> Result<()> {
    let world = tokio::select! {
        world = World::start(options) => world?,
        () = stop.cancelled() => return Ok(()),
    };
    let told = tokio::select! {
        told = story::play(&world) => told,
        () = stop.cancelled() => Ok(()),
    };
    if let Err(error) = told {
        let logs = world.dir.clone();
        world.shut_down().await;
        return Err(error.wrap_err(format!("the story broke off; logs are in {}", logs.display())));
    }
    if !options.once && !stop.is_cancelled() {
        world.where_to_look();
        tokio::select! {
            () = stop.cancelled() => {}
            () = world.watch() => {}
        }
    }
    say::act("Stopping");
    world.shut_down().await;
    Ok(())
}
