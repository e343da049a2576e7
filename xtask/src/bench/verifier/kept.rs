//! The verifier's cache on made-up chains: the same verdict from kept data, from a file that was damaged, after a run that
//! was cut off anywhere, and after both chains took another branch; and what it saves.

use std::{path::Path, sync::Arc, time::Instant};

use eyre::{Result, bail};
use verifier::{
    cache::{Cache, scope_of},
    checks,
    world::{Sources, World},
};

use super::story::{self, Size};

/// Prints how long a first and a second run take.
///
/// # Errors
/// When one does not verify.
pub(super) async fn bench(size: Size) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let sources = story::make(size);
    for run in ["cold", "kept"] {
        let kept = open(folder.path(), &sources);
        let started = Instant::now();
        let sources = keeping(&sources, &kept);
        let world = World::read(&sources).await?;
        let read = started.elapsed().as_millis();
        let report = checks::run(&world).await;
        let whole = started.elapsed().as_millis();
        if !report.good() {
            bail!("an honest year does not verify with {run} data:\n{}", report.text());
        }
        let (used, _) = kept.counts();
        println!("verifier year, {run}: {read} ms to read, {whole} ms in all, {used} records used");
    }
    let size = std::fs::metadata(folder.path().join("chains.cache"))?.len();
    println!("verifier cache of a year: {} MB", size / 1_000_000);
    Ok(true)
}

fn open(folder: &Path, sources: &Sources) -> Arc<Cache> {
    Arc::new(Cache::open(folder, &scope_of(&sources.deployment)).unwrap())
}

fn keeping(sources: &Sources, kept: &Arc<Cache>) -> Sources {
    let mut sources = sources.clone();
    sources.evm = sources.evm.keeping(Some(Arc::clone(kept)));
    sources.bitcoin = sources.bitcoin.keeping(Some(Arc::clone(kept)));
    sources
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tempfile::TempDir;
    use verifier::rpc::{Posted, Transport};

    use super::{super::SMALL, *};

    /// A node that answers so many requests and then is gone.
    struct Dying {
        node: Arc<dyn Transport>,
        left: Arc<AtomicUsize>,
    }

    impl Transport for Dying {
        fn post(&self, body: Vec<u8>) -> Posted<'_> {
            let one_less = |left: usize| left.checked_sub(1);
            match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
                Ok(_) => self.node.post(body),
                Err(_) => Box::pin(async { Err("gone".to_owned()) }),
            }
        }
    }

    /// The report as JSON, and how many records were used and distrusted.
    async fn verify(folder: &TempDir, size: Size) -> (String, u64, u64) {
        let sources = story::make(size);
        let kept = open(folder.path(), &sources);
        let report = checks::run(&World::read(&keeping(&sources, &kept)).await.unwrap()).await;
        let (used, damaged) = kept.counts();
        (serde_json::to_string(&report).unwrap(), used, damaged)
    }

    async fn plain(size: Size) -> String {
        let sources = story::make(size);
        let report = checks::run(&World::read(&sources).await.unwrap()).await;
        assert!(report.good(), "{}", report.text());
        serde_json::to_string(&report).unwrap()
    }

    /// Requests that a run needs with what is kept.
    async fn requests(folder: &TempDir, size: Size, left: usize) -> (usize, Option<String>) {
        let (mut sources, evm, bitcoin) = story::with_nodes(size);
        let left = Arc::new(AtomicUsize::new(left));
        let before = left.load(Ordering::Relaxed);
        let dying = |node| Arc::new(Dying { node, left: Arc::clone(&left) });
        sources.evm = verifier::rpc::Rpc::over("EVM node", "memory", dying(evm), true);
        sources.bitcoin = verifier::rpc::Rpc::over("Bitcoin node", "memory", dying(bitcoin), true);
        let kept = open(folder.path(), &sources);
        let report = match World::read(&keeping(&sources, &kept)).await {
            Ok(world) => Some(serde_json::to_string(&checks::run(&world).await).unwrap()),
            Err(_) => None,
        };
        (before - left.load(Ordering::Relaxed), report)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn kept_data_give_the_same_verdict_with_fewer_requests() {
        for size in [SMALL, Size { index: false, unproven: true, ..SMALL }] {
            let folder = tempfile::tempdir().unwrap();
            let honest = plain(size).await;
            let (cold, report) = requests(&folder, size, usize::MAX).await;
            assert_eq!(report.unwrap(), honest);
            let (warm, report) = requests(&folder, size, usize::MAX).await;
            assert_eq!(report.unwrap(), honest);
            println!("{cold} requests, {warm} with what is kept");
            assert!(warm * 3 < cold * 2, "{warm} requests, {cold} without");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn damaged_data_are_noticed_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let honest = plain(SMALL).await;
        verify(&folder, SMALL).await;
        let path = folder.path().join("chains.cache");
        let whole = fs::read(&path).unwrap();
        for n in 0..24 {
            let mut bytes = whole.clone();
            let at = whole.len() * n / 24 + n * 7;
            bytes[at] ^= 0xff;
            fs::write(&path, bytes).unwrap();
            let (report, _, damaged) = verify(&folder, SMALL).await;
            assert!(damaged > 0, "byte {at} of {}", whole.len());
            assert_eq!(report, honest, "byte {at} of {}", whole.len());
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_run_cut_off_anywhere_goes_on_where_it_stopped() {
        let honest = plain(SMALL).await;
        let (all, _) = requests(&tempfile::tempdir().unwrap(), SMALL, usize::MAX).await;
        let folder = tempfile::tempdir().unwrap();
        let mut runs = 0;
        // a node that dies after a third of what a run needs: without what is kept no run would ever end well
        while runs < 20 {
            runs += 1;
            let (_, report) = requests(&folder, SMALL, all / 3 * runs.min(2)).await;
            if report.as_ref() == Some(&honest) {
                break;
            }
        }
        let (_, report) = requests(&folder, SMALL, usize::MAX).await;
        assert_eq!(report.unwrap(), honest);
        for left in (1..all).step_by(all / 12) {
            let folder = tempfile::tempdir().unwrap();
            requests(&folder, SMALL, left).await;
            let (more, report) = requests(&folder, SMALL, usize::MAX).await;
            assert_eq!(report.unwrap(), honest, "cut off after {left} requests");
            assert!(more <= all + 2, "{more} after {left}, {all} in one go");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_branch_of_either_chain_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        verify(&folder, SMALL).await;
        // both chains are others from their first transactions on
        let other = Size { seed: 5, forked: 1, ..SMALL };
        assert_eq!(verify(&folder, other).await.0, plain(other).await);
        assert_eq!(verify(&folder, SMALL).await.0, plain(SMALL).await);
        // only the end of the EVM chain is another: the last payout is not proven on it
        let (_, all, _) = verify(&folder, SMALL).await;
        let last = u64::from(SMALL.epochs + 1) * domain::EPOCH_SECONDS / 30;
        let late = Size { unproven: true, forked: last, ..SMALL };
        let (report, used, damaged) = verify(&folder, late).await;
        assert_eq!(report, plain(late).await);
        assert!(used > all / 2 && damaged == 0, "{used} of {all} used");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_chain_that_has_grown_is_read_from_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let young = Size { epochs: 9, ..SMALL };
        verify(&folder, young).await;
        // its last epoch was not over: from there on it is another branch
        let grown = Size { forked: 10 * domain::EPOCH_SECONDS / 30, ..SMALL };
        let (report, used, damaged) = verify(&folder, grown).await;
        assert_eq!(report, plain(grown).await);
        assert!(used > 20 && damaged == 0, "{used}");
        // and a node that is behind is no reason to believe more than it has
        assert_eq!(verify(&folder, young).await.0, plain(young).await);
    }
}
