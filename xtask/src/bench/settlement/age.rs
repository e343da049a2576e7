//! Whether age tells: the same epochs in a young database and in one of ten years.

use std::time::Duration;

use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, TxOut, Txid, hashes::Hash};
use domain::EpochId;
use eyre::{Result, eyre};
use settlement::{
    ledger::{BlockMoves, Born, Figures, TxMoves},
    store::{BitcoinNews, Marked},
    vault::{Coin, Keychain},
};

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
    let mut spent = Vec::new();
    let (mut news, figures) = (BitcoinNews::default(), Figures::default());
    for back in 1..=OLD {
        let epoch = bench.first - back;
        store.put_leaves(EpochId(epoch), &state, &leaves, &figures).await?;
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&epoch.to_be_bytes());
        let (txid, block) = (Txid::from_byte_array(bytes), BlockHash::from_byte_array(bytes));
        let spends = OutPoint { txid, vout: 1 };
        news.marked.push(Marked { txid, block, height: 1, epoch, batch: 0, spends });
        news.moves.push(BlockMoves { height: 1, block, rewinds: false, txs: in_and_out(txid) });
        spent.push(txid);
        if back % 1_000 == 0 {
            eprint!("\r  {back} of {OLD} epochs written ");
        }
    }
    eprintln!();
    store.put_news(&news).await?;
    for txid in spent {
        store.accept_spend(txid).await?;
    }
    Ok(())
}

/// The operator's own money comes, and leaves again in `txid`: rows in every table of the books, and their sums as before.
fn in_and_out(txid: Txid) -> Vec<TxMoves> {
    let mut bytes = txid.to_byte_array();
    bytes[31] ^= 1;
    let outpoint = OutPoint { txid: Txid::from_byte_array(bytes), vout: 0 };
    let output = TxOut { value: Amount::from_sat(10_000), script_pubkey: ScriptBuf::new() };
    let coin = Coin { outpoint, output, keychain: Keychain::Treasury, index: 0 };
    let none = TxMoves { txid, spends: vec![], born: vec![], paid: 0, fee: 0, brought: 0 };
    let born = vec![Born { coin, reserve: true }];
    let came = TxMoves { txid: outpoint.txid, born, ..none.clone() };
    vec![came, TxMoves { spends: vec![outpoint], paid: 9_000, fee: 1_000, ..none }]
}
