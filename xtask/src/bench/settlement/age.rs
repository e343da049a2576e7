//! Whether age tells: the same epochs in a young database and in one of ten years.

use std::time::Duration;

use bitcoin::{BlockHash, OutPoint, Txid, hashes::Hash};
use domain::EpochId;
use eyre::{Result, eyre};
use settlement::store::{BitcoinNews, Marked};

use super::{median, word, world::Bench};

/// Epochs of ten years.
const OLD: u32 = 10_950;
/// Epochs before the young ones are measured, and epochs measured of each.
const YOUNG: u32 = 10;
const MEASURED: u32 = 20;
const HOLDERS: u32 = 20;

/// Time that the engine works for an epoch, from its report to its proof, at both ages.
pub(super) async fn bench() -> Result<bool> {
    let dir = tempfile::tempdir()?;
    let mut bench = Bench::start(dir.path(), 2 * OLD).await?;
    epochs(&mut bench, YOUNG).await?;
    let young = median(epochs(&mut bench, MEASURED).await?);
    grow_old(&bench).await?;
    epochs(&mut bench, 2).await?;
    let old = median(epochs(&mut bench, MEASURED).await?);
    let ratio = old.as_micros() * 1_000 / young.as_micros().max(1);
    let good = ratio <= 1_100;
    println!(
        "settlement, epoch {OLD} against epoch {YOUNG}: {}.{:03} x (1.100 x) {}",
        ratio / 1_000,
        ratio % 1_000,
        word(good)
    );
    println!(
        "  engine's own time an epoch, medians of {MEASURED}: young {} us, old {} us; not aged: the wallet's graph and the EVM node",
        young.as_micros(),
        old.as_micros()
    );
    Ok(good)
}

async fn epochs(bench: &mut Bench, count: u32) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..count {
        let epoch = bench.earn(HOLDERS, 20_000).await?;
        bench.busy.set(Duration::ZERO);
        bench.round().await?;
        bench.finalise();
        bench.round().await?;
        bench.finish(epoch).await?;
        times.push(bench.busy.get());
    }
    Ok(times)
}

/// Ten years of proven epochs before the first, as large as the last one, with the transactions that were seen.
async fn grow_old(bench: &Bench) -> Result<()> {
    let store = bench.engine.store();
    let last = EpochId(bench.next - 1);
    let state = store.state(last).await?.ok_or_else(|| eyre!("epoch {last} has no state"))?;
    let leaves = store.leaves(last).await?;
    let mut news = BitcoinNews::default();
    for back in 1..=OLD {
        let epoch = bench.first - back;
        store.put_leaves(EpochId(epoch), &state, &leaves).await?;
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&epoch.to_be_bytes());
        let (txid, block) = (Txid::from_byte_array(bytes), BlockHash::from_byte_array(bytes));
        let spends = OutPoint { txid, vout: 1 };
        news.marked.push(Marked { txid, block, height: 1, epoch, batch: 0, spends });
        if back % 1_000 == 0 {
            eprint!("\r  {back} of {OLD} epochs written ");
        }
    }
    eprintln!();
    Ok(store.put_news(&news).await?)
}
