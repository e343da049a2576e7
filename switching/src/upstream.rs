//! Pools: one connection per venue, always warm, that keeps the last job whether or not anybody works on it.
//!
//! In: a pool's lines. Out: [`VenueEvent`]s in the order in which they happened. What a pool changes on the way
//! (extranonce, mask, difficulty) travels with the next job, as the protocol means it.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio::{io::BufReader, net::TcpStream, sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Password, Venue},
    lines::{LineIn, read_line},
    outbox::Outbox,
    stratum::{
        codec::{self, LineError, Message, Outcome},
        difficulty::Difficulty,
        job::{Layout, PoolJob},
    },
};

/// Longest line from a pool: a coinbase with many outputs is long.
const MAX_LINE: usize = 256 * 1024;
/// Malformed lines after which a connection is given up.
const MAX_MALFORMED: u32 = 10;
/// Longest wait to connect and be authorised.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest silence of a pool.
const SILENCE: Duration = Duration::from_secs(180);
/// Shortest and longest wait before connecting again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// Longest extranonce that is believed.
const MAX_EXTRANONCE: usize = 32;
/// Version bits that BIP 320 sets aside.
pub const BIP320_MASK: u32 = 0x1fff_e000;

/// What we call ourselves.
const AGENT: &str = "liquid-hashrate/0.1";

const CONFIGURE: u64 = 1;
const SUBSCRIBE: u64 = 2;
const AUTHORIZE: u64 = 3;
/// Ids of our submits start here.
pub const FIRST_SUBMIT: u64 = 16;

/// An event of the venue with that index.
#[derive(Debug)]
pub struct FromVenue {
    /// Index in the configuration.
    pub venue: usize,
    /// What happened.
    pub what: VenueEvent,
}

/// What happened at a pool.
#[derive(Debug)]
pub enum VenueEvent {
    /// Connected and authorised; shares go to this outbox.
    Up(Outbox),
    /// New work.
    Job {
        /// The work.
        job: Box<PoolJob>,
        /// Where its extranonce goes.
        layout: Layout,
        /// Difficulty of its shares.
        difficulty: Difficulty,
        /// Version bits that may be rolled.
        mask: u32,
    },
    /// The answer to a submit.
    Answer {
        /// Our id.
        id: u64,
        /// The pool's words.
        outcome: Outcome,
    },
    /// The connection ended, or could not be made.
    Down {
        /// Why.
        why: String,
    },
}

/// How a session ended.
#[derive(Debug)]
struct End {
    why: String,
    wait: Option<Duration>,
}

impl From<String> for End {
    fn from(why: String) -> Self {
        Self { why, wait: None }
    }
}

impl From<LineError> for End {
    fn from(error: LineError) -> Self {
        error.0.into()
    }
}

/// What keeps a venue connected.
#[derive(Debug)]
pub struct Upstream {
    /// Index in the configuration.
    pub venue: usize,
    /// Its configuration.
    pub config: Venue,
    /// Password at the pool.
    pub password: Password,
    /// Bytes of extranonce2 that our machines need.
    pub needed: usize,
    /// Where events go.
    pub events: mpsc::Sender<FromVenue>,
}

impl Upstream {
    /// Keeps the venue connected until the receiver of events is gone or the task is dropped.
    pub async fn keep(self) {
        let mut backoff = BACKOFF.0;
        loop {
            let mut was_up = false;
            let began = tokio::time::Instant::now();
            let end = match self.session(&mut was_up).await {
                Ok(never) => match never {},
                Err(end) => end,
            };
            if was_up && began.elapsed() > HANDSHAKE {
                backoff = BACKOFF.0; // a pool that drops us at once gets no storm of connections
            }
            let wait = end.wait.unwrap_or(backoff);
            tracing::warn!(venue = self.config.name, why = end.why, ?wait, "pool connection ended");
            if self.emit(VenueEvent::Down { why: end.why }).await.is_err() {
                return;
            }
            tokio::time::sleep(wait).await;
            backoff = backoff.saturating_mul(2).min(BACKOFF.1);
        }
    }

    async fn emit(&self, what: VenueEvent) -> Result<(), End> {
        let event = FromVenue { venue: self.venue, what };
        self.events.send(event).await.map_err(|_| End::from("shutting down".to_owned()))
    }

    async fn session(&self, was_up: &mut bool) -> Result<std::convert::Infallible, End> {
        let connected = timeout(HANDSHAKE, TcpStream::connect(&self.config.pool)).await;
        let stream = connected
            .map_err(|_| format!("no connection to {} within {HANDSHAKE:?}", self.config.pool))?
            .map_err(|error| format!("cannot connect to {}: {error}", self.config.pool))?;
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        let gone = CancellationToken::new();
        let _close = gone.clone().drop_guard();
        let outbox = Outbox::new(write, gone.clone());
        let mut session = Session::new(self, outbox.clone());
        tokio::select! {
            end = session.read(BufReader::new(read), was_up) => end,
            () = outbox.drain() => Err("the pool broke the connection".to_owned().into()),
            () = gone.cancelled() => Err("the pool does not take our shares".to_owned().into()),
        }
    }
}

/// One connection.
struct Session<'a> {
    upstream: &'a Upstream,
    outbox: Outbox,
    up: bool,
    mask: u32,
    extranonce: Option<(Vec<u8>, usize)>,
    difficulty: Difficulty,
    /// A job that came before we were authorised.
    early: Option<VenueEvent>,
}

impl<'a> Session<'a> {
    fn new(upstream: &'a Upstream, outbox: Outbox) -> Self {
        let difficulty = Difficulty::one();
        Self { upstream, outbox, up: false, mask: 0, extranonce: None, difficulty, early: None }
    }

    async fn read(
        &mut self,
        mut from: BufReader<tokio::net::tcp::OwnedReadHalf>,
        was_up: &mut bool,
    ) -> Result<std::convert::Infallible, End> {
        let mask = format!(
            "[[\"version-rolling\"],{{\"version-rolling.mask\":\"{BIP320_MASK:08x}\",\"version-rolling.min-bit-count\":2}}]"
        );
        self.outbox.send(&codec::call(Some(CONFIGURE), "mining.configure", &mask));
        let handshake = tokio::time::Instant::now() + HANDSHAKE;
        let mut malformed = 0_u32;
        loop {
            let deadline = if self.up { tokio::time::Instant::now() + SILENCE } else { handshake };
            let line = tokio::time::timeout_at(deadline, read_line(&mut from, MAX_LINE)).await;
            let line = line.map_err(|_| "the pool fell silent".to_owned())?;
            let outcome = match line.map_err(|error| error.to_string())? {
                LineIn::End => return Err("the pool closed the connection".to_owned().into()),
                LineIn::TooLong => Err(LineError(format!("a line of more than {MAX_LINE} bytes"))),
                LineIn::Line(line) if line.trim_ascii().is_empty() => continue,
                LineIn::Line(line) => Message::parse(&line),
            };
            match outcome {
                Ok(message) => self.take(message).await?,
                Err(why) => {
                    malformed = malformed.saturating_add(1);
                    tracing::warn!(venue = self.upstream.config.name, %why, "malformed line from a pool");
                    if malformed >= MAX_MALFORMED {
                        return Err(format!("{malformed} malformed lines, the last: {why}").into());
                    }
                }
            }
            *was_up |= self.up;
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Answer { id: CONFIGURE, outcome } => {
                self.mask = configured_mask(&outcome);
                let params = format!("[\"{AGENT}\"]");
                self.outbox.send(&codec::call(Some(SUBSCRIBE), "mining.subscribe", &params));
                Ok(())
            }
            Message::Answer { id: SUBSCRIBE, outcome } => self.subscribed(&outcome),
            Message::Answer { id: AUTHORIZE, outcome } => self.authorized(&outcome).await,
            Message::Answer { id, outcome } => {
                self.upstream.emit(VenueEvent::Answer { id, outcome }).await
            }
            Message::Call { id, method, params } => match method.as_str() {
                "mining.notify" => self.job(PoolJob::parse(&params)?).await,
                "client.get_version" => {
                    self.outbox.send(&codec::reply(id.as_ref(), &format!("\"{AGENT}\"")));
                    Ok(())
                }
                _ => self.set(&method, &params),
            },
        }
    }

    fn subscribed(&mut self, outcome: &Outcome) -> Result<(), End> {
        let Outcome::Result(result) = outcome else {
            return Err(format!("mining.subscribe: {outcome:?}").into());
        };
        let (_, extranonce1, size): (serde::de::IgnoredAny, String, usize) =
            serde_json::from_str(result.get())
                .map_err(|error| format!("mining.subscribe: {error}"))?;
        self.set_extranonce(&extranonce1, size)?;
        let user =
            serde_json::json!([self.upstream.config.account, self.upstream.password.reveal()]);
        self.outbox.send(&codec::call(Some(AUTHORIZE), "mining.authorize", &user.to_string()));
        Ok(())
    }

    async fn authorized(&mut self, outcome: &Outcome) -> Result<(), End> {
        if !matches!(outcome, Outcome::Result(result) if result.get() == "true") {
            let account = &self.upstream.config.account;
            return Err(format!("the pool does not authorise {account:?}: {outcome:?}").into());
        }
        self.up = true;
        self.upstream.emit(VenueEvent::Up(self.outbox.clone())).await?;
        match self.early.take() {
            Some(job) => self.upstream.emit(job).await,
            None => Ok(()),
        }
    }

    /// What a pool sets for the jobs to come, or orders.
    fn set(&mut self, method: &str, params: &[Box<RawValue>]) -> Result<(), End> {
        match method {
            "mining.set_difficulty" => {
                let number = params.first().map(|raw| raw.get()).unwrap_or_default();
                self.difficulty = Difficulty::parse(number).map_err(|error| error.to_string())?;
                Ok(())
            }
            "mining.set_version_mask" => {
                let text = codec::text(params, 0, method, "mask")?;
                let mask = codec::word(&text).ok_or_else(|| format!("version mask {text:?}"))?;
                self.mask = mask & BIP320_MASK;
                Ok(())
            }
            "mining.set_extranonce" => {
                let extranonce1 = codec::text(params, 0, method, "extranonce1")?;
                let size = params.get(1).and_then(|raw| serde_json::from_str(raw.get()).ok());
                let size = size.ok_or_else(|| format!("{method} without a size"))?;
                self.set_extranonce(&extranonce1, size)
            }
            "client.reconnect" => Err(reconnect(params)),
            other => {
                let venue = &self.upstream.config.name;
                tracing::info!(venue, method = other, "a pool's call is passed over");
                Ok(())
            }
        }
    }

    async fn job(&mut self, job: PoolJob) -> Result<(), End> {
        let (extranonce1, size) =
            self.extranonce.clone().ok_or("a job before mining.subscribe".to_owned())?;
        let layout = Layout::new(extranonce1, size, self.upstream.needed)
            .map_err(|error| error.to_string())?;
        let event = VenueEvent::Job {
            job: Box::new(job),
            layout,
            difficulty: self.difficulty.clone(),
            mask: self.mask,
        };
        if self.up {
            return self.upstream.emit(event).await;
        }
        self.early = Some(event);
        Ok(())
    }

    /// Takes a new extranonce for the jobs to come, or refuses the venue.
    fn set_extranonce(&mut self, extranonce1: &str, size: usize) -> Result<(), End> {
        let extranonce1 = hex::decode(extranonce1)
            .map_err(|error| format!("extranonce1 {extranonce1:?}: {error}"))?;
        if extranonce1.len() > MAX_EXTRANONCE || size > MAX_EXTRANONCE {
            return Err(format!("extranonce of {} + {size} bytes", extranonce1.len()).into());
        }
        Layout::new(extranonce1.clone(), size, self.upstream.needed)
            .map_err(|error| error.to_string())?;
        self.extranonce = Some((extranonce1, size));
        Ok(())
    }
}

/// A pool's reconnect order is followed to the configured address only: anything else would hand over the fleet.
fn reconnect(params: &[Box<RawValue>]) -> End {
    let seconds =
        params.get(2).and_then(|raw| serde_json::from_str::<u64>(raw.get()).ok()).unwrap_or(0);
    let wait = Duration::from_secs(seconds.min(60)).max(BACKOFF.0);
    let asked: Vec<&str> = params.iter().take(2).map(|raw| raw.get()).collect();
    let why = format!(
        "the pool asked us to reconnect ({}); the configured address is kept",
        asked.join(":")
    );
    End { why, wait: Some(wait) }
}

/// Bits the pool lets us roll; none if it does not know the extension.
fn configured_mask(outcome: &Outcome) -> u32 {
    #[derive(serde::Deserialize)]
    struct Reply {
        #[serde(rename = "version-rolling")]
        rolling: bool,
        #[serde(rename = "version-rolling.mask")]
        mask: String,
    }
    let Outcome::Result(result) = outcome else { return 0 };
    let reply: Option<Reply> = serde_json::from_str(result.get()).ok();
    let reply = reply.filter(|reply| reply.rolling);
    reply.and_then(|reply| codec::word(&reply.mask)).unwrap_or(0) & BIP320_MASK
}
