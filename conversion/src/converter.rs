//! The loop: look, write down, do, ask, write down.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clock::Clock;
use domain::{Coin, Fill};
use tokio::time::Instant;

use crate::{
    book::{Book, BookError, Pending, Rules, next},
    journal::{Journal, JournalError},
    venue::{Balance, OrderState, Venue, VenueError, WithdrawalState},
};

/// Longest pause after refusals.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long a coin rests at first.
const SHORTEST_REST: Duration = Duration::from_secs(1);

/// What the loop shares with the HTTP API.
#[derive(Debug)]
pub struct State {
    /// The journal.
    pub journal: Journal,
    /// Its fold.
    pub book: Book,
    /// Last seen balances.
    pub balances: BTreeMap<Coin, Balance>,
    /// The last trouble, until a step without any.
    pub trouble: Option<String>,
}

/// The state behind its lock.
pub type Shared = Arc<Mutex<State>>;

/// Why a step ended early.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The venue; the next step tries again.
    #[error(transparent)]
    Venue(#[from] VenueError),
    /// The journal cannot be written. Fatal: stop.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The books do not add up. Fatal: stop.
    #[error(transparent)]
    Book(#[from] BookError),
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A record was written: there may be more to do at once.
    Moved,
    /// Nothing to do, or an outcome is awaited.
    Idle,
    /// The venue refused something: pause before the next intention.
    Refused,
}

/// One account, its journal, and its rules.
#[derive(Debug)]
pub struct Converter<V> {
    venue: V,
    clock: Clock,
    rules: Rules,
    shared: Shared,
    /// The id that this process sent last, and when. An older intention was sent, if at all, before we started.
    sent: Option<(String, Instant)>,
    started: Instant,
    /// Coins whose sales were refused or that nobody bids for: until when they are let be, and for how long this time.
    resting: BTreeMap<Coin, (Instant, Duration)>,
}

/// The state, even if a reader panicked while it held the lock.
pub fn locked(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<V: Venue> Converter<V> {
    /// Takes up where the journal ends.
    ///
    /// # Errors
    /// When the journal's records do not follow from each other.
    pub fn new(
        venue: V,
        clock: Clock,
        rules: Rules,
        journal: Journal,
        fills: &[Fill],
    ) -> Result<Self, BookError> {
        let book = Book::of(fills)?;
        let state = State { journal, book, balances: BTreeMap::new(), trouble: None };
        let shared = Arc::new(Mutex::new(state));
        let (started, resting) = (Instant::now(), BTreeMap::new());
        Ok(Self { venue, clock, rules, shared, sent: None, started, resting })
    }

    /// The state for the HTTP API.
    #[must_use]
    pub fn shared(&self) -> Shared {
        Arc::clone(&self.shared)
    }

    /// Steps for ever; returns only with a fatal error.
    ///
    /// # Errors
    /// When the journal cannot be written or does not add up.
    pub async fn run(mut self, poll: Duration) -> Result<(), StepError> {
        let mut pause = poll;
        loop {
            let done = self.step().await;
            locked(&self.shared).trouble = done.as_ref().err().map(ToString::to_string);
            pause = match done {
                Ok(Progress::Moved) => Duration::ZERO,
                Ok(Progress::Idle) => poll,
                Ok(Progress::Refused) => pause.max(poll).saturating_mul(2).min(LONGEST_PAUSE),
                Err(StepError::Venue(error)) => {
                    tracing::warn!("{error}");
                    match error {
                        VenueError::Limited { wait, .. } => wait.max(poll),
                        _ => poll,
                    }
                }
                Err(fatal) => return Err(fatal),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One step: settles the open intention, or records deposits, or forms the next intention and acts on it.
    ///
    /// # Errors
    /// [`StepError::Venue`] when the venue gave no answer; nothing is lost, step again.
    pub async fn step(&mut self) -> Result<Progress, StepError> {
        let pending = locked(&self.shared).book.pending.clone();
        if let Some(pending) = pending {
            return self.settle(&pending).await;
        }
        if self.record_deposits().await? {
            return Ok(Progress::Moved);
        }
        self.look().await?;
        let time = self.clock.now();
        let intention = {
            let state = locked(&self.shared);
            let btc = state.balances.get(&Coin::Btc).copied().unwrap_or_default();
            let mut coins = state.balances.clone();
            coins.retain(|coin, _| {
                self.resting.get(coin).is_none_or(|(until, _)| Instant::now() >= *until)
            });
            next(&self.rules, &state.book, state.journal.head(), time, &coins, btc)
        };
        let Some(intention) = intention else { return Ok(Progress::Idle) };
        if let Fill::SaleIntended { coin, .. } = &intention
            && self.venue.best_bid(*coin).await? == 0
        {
            tracing::warn!(%coin, "nobody bids: the sale waits");
            self.rest(*coin);
            return Ok(Progress::Idle);
        }
        self.record(&intention)?;
        self.act(&intention).await
    }

    async fn record_deposits(&self) -> Result<bool, StepError> {
        let mut any = false;
        for rule in &self.rules.sales {
            let seen = self.venue.deposits(rule.coin).await?;
            let time = self.clock.now();
            let fills = locked(&self.shared).book.new_deposits(time, rule.coin, &seen);
            for fill in &fills {
                self.record(fill)?;
                any = true;
            }
        }
        Ok(any)
    }

    async fn look(&self) -> Result<(), StepError> {
        for coin in self.rules.sales.iter().map(|rule| rule.coin).chain([Coin::Btc]) {
            let balance = self.venue.balance(coin).await?;
            locked(&self.shared).balances.insert(coin, balance);
        }
        Ok(())
    }

    /// Sends an intention that was written a moment ago. Only here, and once, is its id ever sent.
    async fn act(&mut self, intention: &Fill) -> Result<Progress, StepError> {
        let answer = match intention {
            Fill::SaleIntended { id, coin, amount, .. } => {
                self.sent = Some((id.clone(), Instant::now()));
                let answer = self.venue.sell(id, *coin, *amount).await;
                self.sent = Some((id.clone(), Instant::now()));
                answer
            }
            Fill::WithdrawalIntended { id, address, amount, .. } => {
                self.sent = Some((id.clone(), Instant::now()));
                let answer = self.venue.withdraw(id, address, *amount).await;
                self.sent = Some((id.clone(), Instant::now()));
                answer
            }
            _ => return Ok(Progress::Idle),
        };
        match answer {
            Ok(()) => Ok(Progress::Moved),
            Err(error @ VenueError::Refused { .. }) => {
                let pending = locked(&self.shared).book.pending.clone();
                if let Some(pending) = pending {
                    self.void(&pending, error.to_string())?;
                    if let Pending::Sale { coin, .. } = pending {
                        self.rest(coin);
                    }
                }
                Ok(Progress::Refused)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn settle(&mut self, pending: &Pending) -> Result<Progress, StepError> {
        let time = self.clock.now();
        match pending {
            Pending::Sale { id, coin, amount } => match self.venue.order(id, *coin).await? {
                OrderState::Open => Ok(Progress::Idle),
                OrderState::Unknown => self.give_up(pending, id, *coin, *amount).await,
                OrderState::Done { amount: 0, status, .. } => {
                    self.void(pending, format!("nothing executed: {status}"))?;
                    self.rest(*coin);
                    Ok(Progress::Refused)
                }
                OrderState::Done { amount, gross, fee, .. } => {
                    self.record(&Fill::Sold { time, id: id.clone(), amount, gross, fee })?;
                    self.resting.remove(coin);
                    Ok(Progress::Moved)
                }
            },
            Pending::Withdrawal { id, amount } => match self.venue.withdrawal(id).await? {
                WithdrawalState::Open => Ok(Progress::Idle),
                WithdrawalState::Unknown => self.give_up(pending, id, Coin::Btc, amount.0).await,
                WithdrawalState::Failed(why) => {
                    self.void(pending, why)?;
                    Ok(Progress::Refused)
                }
                WithdrawalState::Sent { txid, fee } => {
                    self.record(&Fill::Withdrawn { time, id: id.clone(), txid, fee })?;
                    Ok(Progress::Moved)
                }
            },
        }
    }

    /// An id that the venue does not know is given up only when no request that carries it can still be accepted, and
    /// when the amount lies free in the account, which it would not if the id had been executed.
    async fn give_up(
        &self,
        pending: &Pending,
        id: &str,
        coin: Coin,
        amount: u64,
    ) -> Result<Progress, StepError> {
        let since = match &self.sent {
            Some((sent, when)) if sent == id => *when,
            _ => self.started,
        };
        if since.elapsed() < self.venue.request_lifetime() {
            return Ok(Progress::Idle);
        }
        let balance = self.venue.balance(coin).await?;
        locked(&self.shared).balances.insert(coin, balance);
        if balance.free < amount {
            tracing::error!(
                id,
                free = balance.free,
                amount,
                "unknown to the exchange, yet its amount is gone"
            );
            return Ok(Progress::Idle);
        }
        self.void(pending, "the exchange knows no such id".into())?;
        Ok(Progress::Moved)
    }

    /// Lets a coin be for a while, so that its closed market holds up neither other coins nor withdrawals.
    fn rest(&mut self, coin: Coin) {
        let last = self.resting.get(&coin).map_or(Duration::ZERO, |(_, pause)| *pause);
        let pause = last.saturating_mul(2).clamp(SHORTEST_REST, LONGEST_PAUSE);
        self.resting.insert(coin, (Instant::now() + pause, pause));
    }

    fn void(&self, pending: &Pending, why: String) -> Result<(), StepError> {
        let time = self.clock.now();
        self.record(&match pending {
            Pending::Sale { id, .. } => Fill::SaleVoid { time, id: id.clone(), why },
            Pending::Withdrawal { id, .. } => Fill::WithdrawalVoid { time, id: id.clone(), why },
        })
    }

    /// Checks a record against the books, writes it to the disk, and only then books it.
    fn record(&self, fill: &Fill) -> Result<(), StepError> {
        let mut state = locked(&self.shared);
        let mut book = state.book.clone();
        book.apply(fill)?;
        state.journal.append(fill)?;
        state.book = book;
        tracing::info!(record = ?fill, "journal");
        Ok(())
    }
}
