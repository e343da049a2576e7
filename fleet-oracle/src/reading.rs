//! One signer's own reading of an epoch, from all its sources.

use std::{collections::BTreeMap, time::Duration};

use domain::{EpochId, SeriesId};

use crate::{
    attribution::attribute,
    config::Config,
    observation::{Evidence, Observation, WorkCell},
    pots::OLDEST,
    report::ChainView,
    sources::{
        SourceError,
        bitcoin::{Treasury, TreasuryError},
        exchange::{self, ExchangeError, ExchangeReading},
        journal::{self, JournalReadError},
        pools, prices,
    },
    store::{Store, StoreError},
};

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub enum ReadingError {
    /// Bitcoin.
    #[error(transparent)]
    Treasury(#[from] TreasuryError),
    /// Journal.
    #[error(transparent)]
    Journal(#[from] JournalReadError),
    /// Exchange.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// Pools or prices.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The sources of one signer.
#[derive(Debug)]
pub struct Reader {
    config: Config,
    http: reqwest::Client,
    treasury: Treasury,
    wait: Duration,
}

impl Reader {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let wait = Duration::from_millis(config.timing.answer_ms);
        let treasury = Treasury::new(config.bitcoin.clone(), wait);
        Self { config, http: reqwest::Client::new(), treasury, wait }
    }

    /// Reads everything for the epoch of `view`, which is over. `now` is chain time.
    ///
    /// # Errors
    /// When a source that money depends on gives no usable answer: a partial reading is no reading.
    pub async fn read(
        &self,
        store: &Store,
        view: &ChainView,
        now: u64,
    ) -> Result<Observation, ReadingError> {
        let epoch = view.epoch;
        let tip = self.treasury.sync(store).await?;
        journal::sync(&self.http, &self.config.journal, store, self.wait).await?;
        let mut evidence =
            vec![Evidence { label: "journal".into(), hash: store.journal_hash(epoch).await? }];
        let (mut statements, mut credited) = (Vec::new(), BTreeMap::new());
        for pool in &self.config.pools {
            let reading = pools::read(&self.http, pool, epoch, self.wait).await?;
            evidence.push(Evidence { label: format!("pool/{}", pool.name), hash: reading.hash });
            credited.insert(pool.name.clone(), reading.hashes);
            // what the pool no longer lists still happened
            let mut statement = reading.statement;
            store.put_payouts(&pool.name, &statement.payouts).await?;
            statement.payouts = store.payouts(&pool.name).await?;
            statements.push(statement);
        }
        let mut sales = ExchangeReading::default();
        if let Some(config) = &self.config.exchange {
            sales = exchange::read(&self.http, config, store, self.wait).await?;
            evidence.push(Evidence { label: "exchange".into(), hash: sales.hash(epoch) });
        }
        evidence.sort();
        let confirmed = tip.saturating_sub(self.config.bitcoin.confirmations.saturating_sub(1));
        let outputs = store.outputs(confirmed, epoch.end()).await?;
        // distributed ones too, so that none takes the place of another
        let (mut receipts, rest) =
            attribute(&outputs, &statements, &sales.trades, &sales.withdrawals);
        let fresh = |place| !view.distributed.contains(&place);
        receipts.retain(|receipt| fresh((receipt.txid, receipt.vout)));
        let rest = rest.into_iter().filter(|one| fresh((one.output.txid, one.output.vout)));
        for one in rest {
            let (txid, sats) = (one.output.txid, one.output.sats);
            tracing::warn!(%epoch, %txid, sats, "a treasury output is left out: {}", one.why);
        }
        let work = self.work(store, epoch).await?;
        compare(epoch, &work, &credited);
        let (quote_per_btc, quote_spread) =
            prices::bitcoin(&self.http, &self.config.prices, self.wait).await?;
        let hardware = prices::hardware(&self.http, &self.config.hardware, self.wait).await;
        let observed_at = now.max(epoch.end());
        Ok(Observation {
            epoch,
            observed_at,
            quote_per_btc,
            quote_spread,
            hardware,
            work,
            receipts,
            evidence,
        })
    }

    /// Work by pool: the journal names venues, the configuration says which pool a venue is.
    async fn work(&self, store: &Store, epoch: EpochId) -> Result<Vec<WorkCell>, ReadingError> {
        let oldest = EpochId(epoch.0.saturating_sub(OLDEST));
        let mut cells = BTreeMap::<(EpochId, String, SeriesId), u128>::new();
        for ((epoch, venue, series), hashes) in store.work(oldest, epoch).await? {
            let pool = self.config.pools.iter().find(|pool| pool.venues.contains(&venue));
            let pool = pool.map_or(venue, |pool| pool.name.clone());
            let sum = cells.entry((epoch, pool, series)).or_default();
            *sum = sum.saturating_add(hashes);
        }
        let cells = cells.into_iter();
        Ok(cells
            .map(|((epoch, pool, series), hashes)| WorkCell { epoch, pool, series, hashes })
            .collect())
    }
}

/// Journal and pool statement tell of the same work; a difference is for a human to look at.
fn compare(epoch: EpochId, work: &[WorkCell], credited: &BTreeMap<String, u128>) {
    for (pool, credited) in credited {
        let cells = work.iter().filter(|cell| cell.epoch == epoch && cell.pool == *pool);
        let journal = cells.fold(0_u128, |sum, cell| sum.saturating_add(cell.hashes));
        let apart = crate::numbers::apart_ppm_ceil(journal, *credited);
        if apart > 10_000 {
            tracing::warn!(%epoch, pool, journal, credited, "journal and pool statement are {apart} ppm apart");
        }
    }
}
