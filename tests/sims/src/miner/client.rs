//! The network side of one machine: connect, subscribe, submit, reconnect with backoff.

use std::{collections::HashSet, sync::Arc, time::Duration};

use eyre::{Result, bail, eyre};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, tcp::OwnedWriteHalf},
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{
    codec::{FramedRead, LinesCodec},
    sync::CancellationToken,
};

use super::{
    Args, Machine, Mode,
    hasher::Share,
    protocol::{AUTHORIZE, CONFIGURE, EXTRANONCE, Event, FIRST_SUBMIT, Protocol, SUBSCRIBE},
};
use crate::{process::lock, work};

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LAST_BACKOFF: Duration = Duration::from_secs(4);

type Inbox = mpsc::UnboundedReceiver<Share>;

/// Keeps a machine connected until `stop`.
pub(crate) async fn run(
    machine: Arc<Machine>,
    args: Args,
    mut inbox: Inbox,
    stop: CancellationToken,
) {
    let mut backoff = FIRST_BACKOFF;
    let mut epoch = 0;
    loop {
        match TcpStream::connect(&args.proxy).await {
            Err(_) => lock(&machine.stats).failed_connects += 1,
            Ok(stream) => {
                let mut session = Session::new(machine.clone(), &args, stream, epoch);
                let ended = tokio::select! {
                    () = stop.cancelled() => return,
                    ended = session.0.run(&args, &mut session.1, &mut inbox) => ended,
                };
                epoch = session.0.protocol.epoch + 1;
                if session.0.authorized {
                    backoff = FIRST_BACKOFF;
                }
                session.0.close();
                let why = ended.err().map(|error| error.to_string()).unwrap_or_default();
                tracing::debug!(serial = machine.serial, why, "disconnected");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(backoff) => {}
        }
        backoff = (backoff * 2).min(LAST_BACKOFF);
    }
}

struct Session {
    machine: Arc<Machine>,
    protocol: Protocol,
    write: OwnedWriteHalf,
    waiting: HashSet<u64>,
    next_id: u64,
    authorized: bool,
    last_job: String,
}

type Lines = FramedRead<tokio::net::tcp::OwnedReadHalf, LinesCodec>;

impl Session {
    fn new(machine: Arc<Machine>, args: &Args, stream: TcpStream, epoch: u64) -> (Self, Lines) {
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        let mask = match args.no_version_rolling {
            true => 0,
            false => work::u32_hex(&args.version_mask).unwrap_or_default(),
        };
        {
            let mut stats = lock(&machine.stats);
            stats.connects += 1;
            stats.connected = true;
        }
        let session = Self {
            machine,
            protocol: Protocol::new(mask, args.accept_set_extranonce, epoch),
            write,
            waiting: HashSet::new(),
            next_id: FIRST_SUBMIT,
            authorized: false,
            last_job: "0".into(),
        };
        (session, FramedRead::new(read, LinesCodec::new_with_max_length(1 << 20)))
    }

    fn close(&self) {
        lock(&self.machine.slot).stop();
        let mut stats = lock(&self.machine.stats);
        stats.connected = false;
        stats.disconnects += 1;
        stats.lost += stats.waiting;
        stats.waiting = 0;
    }

    async fn send(&mut self, id: u64, method: &str, params: Value) -> Result<()> {
        let line = format!("{}\n", json!({"id": id, "method": method, "params": params}));
        Ok(self.write.write_all(line.as_bytes()).await?)
    }

    async fn hello(&mut self, args: &Args) -> Result<()> {
        if !args.no_version_rolling {
            let offer = json!({
                "version-rolling.mask": args.version_mask,
                "version-rolling.min-bit-count": 2,
            });
            self.send(CONFIGURE, "mining.configure", json!([["version-rolling"], offer])).await?;
        }
        self.send(SUBSCRIBE, "mining.subscribe", json!([args.agent])).await?;
        if args.accept_set_extranonce {
            self.send(EXTRANONCE, "mining.extranonce.subscribe", json!([])).await?;
        }
        let user = self.machine.user.clone();
        self.send(AUTHORIZE, "mining.authorize", json!([user, args.password])).await
    }

    async fn run(&mut self, args: &Args, lines: &mut Lines, inbox: &mut Inbox) -> Result<()> {
        self.hello(args).await?;
        let mut mode = self.machine.mode.subscribe();
        let started = Instant::now();
        let mut tick = Instant::now();
        loop {
            let now = *mode.borrow_and_update();
            if now == Mode::Hang {
                mode.changed().await?;
                continue;
            }
            tokio::select! {
                line = lines.next() => match line {
                    Some(Ok(line)) => self.handle(&line)?,
                    Some(Err(error)) => bail!("{error}"),
                    None => bail!("closed by the other side"),
                },
                share = inbox.recv() => {
                    let share = share.ok_or_else(|| eyre!("no hasher"))?;
                    if self.authorized && share.epoch >= self.protocol.epoch {
                        self.share(share, now).await?;
                    }
                }
                _ = mode.changed() => {}
                () = sleep_until(tick), if now == Mode::Flood => {
                    tick = Instant::now() + Duration::from_millis(5);
                    self.flood().await?;
                }
                () = sleep_until(started + Duration::from_secs(2)), if now == Mode::Disconnect => {
                    bail!("told to disconnect");
                }
            }
        }
    }

    fn handle(&mut self, line: &str) -> Result<()> {
        match self.protocol.line(line) {
            Event::Job(task) => {
                {
                    let mut stats = lock(&self.machine.stats);
                    stats.jobs += 1;
                }
                self.last_job = task.job_id.clone();
                lock(&self.machine.slot).start(*task);
            }
            Event::Answer(AUTHORIZE, None) => self.authorized = true,
            Event::Answer(AUTHORIZE, Some(code)) => {
                tracing::warn!(serial = self.machine.serial, code, "not authorized");
                bail!("not authorized");
            }
            Event::Answer(SUBSCRIBE, Some(code)) => bail!("not subscribed: {code}"),
            Event::Answer(id, refused) => {
                if self.waiting.remove(&id) {
                    let mut stats = lock(&self.machine.stats);
                    stats.waiting -= 1;
                    match refused {
                        None => stats.accepted += 1,
                        Some(code) => *stats.rejected.entry(code).or_default() += 1,
                    }
                }
            }
            Event::Reconnect => bail!("told by client.reconnect"),
            Event::Nothing => {}
            Event::Bad => lock(&self.machine.stats).bad_lines += 1,
        }
        Ok(())
    }

    async fn share(&mut self, mut share: Share, mode: Mode) -> Result<()> {
        match mode {
            Mode::GarbageLine => self.write.write_all(b"\x00\xff{\"id\":garbage\n").await?,
            Mode::WrongNonce => share.nonce ^= 0x5a5a_5a5a,
            _ => {}
        }
        self.submit(&share).await?;
        if mode == Mode::Duplicate {
            self.submit(&share).await?;
        }
        Ok(())
    }

    async fn flood(&mut self) -> Result<()> {
        let nonce = u32::try_from(self.next_id & 0xffff_ffff).unwrap_or_default();
        let share = Share {
            job_id: self.last_job.clone(),
            extranonce2: "ff".repeat(4),
            ntime: 0,
            nonce,
            version_bits: 0,
            epoch: 0,
        };
        self.submit(&share).await
    }

    async fn submit(&mut self, share: &Share) -> Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        let mut params = vec![
            self.machine.user.clone(),
            share.job_id.clone(),
            share.extranonce2.clone(),
            format!("{:08x}", share.ntime),
            format!("{:08x}", share.nonce),
        ];
        if self.protocol.mask != 0 {
            params.push(format!("{:08x}", share.version_bits));
        }
        self.waiting.insert(id);
        {
            let mut stats = lock(&self.machine.stats);
            stats.submitted += 1;
            stats.waiting += 1;
        }
        self.send(id, "mining.submit", json!(params)).await
    }
}
