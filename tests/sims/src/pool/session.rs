//! Stratum V1 connections of miners and proxies.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::StreamExt;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::codec::{FramedRead, LinesCodec};

use super::{
    Pool,
    engine::{self, EXTRANONCE2},
    ledger::Outcome,
    misbehave::Mode,
    share::{self, Found, Reject, Submit, Terms},
    template::PoolJob,
};
use crate::{process::lock, work};

/// Longest line that a client may send, bytes.
const MAX_LINE: usize = 16_384;

/// Accepts connections; closes its port while the pool has "disappeared".
pub(crate) async fn listen(pool: Arc<Pool>, mut listener: TcpListener) {
    let mut mode = pool.mode.subscribe();
    loop {
        tokio::select! {
            () = pool.stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { tokio::spawn(serve(pool.clone(), stream)); }
                Err(error) => tracing::warn!("accept: {error}"),
            },
            _ = mode.changed() => {
                let now = *mode.borrow_and_update();
                if let Mode::Disappear(time) = now {
                    let address = listener.local_addr();
                    drop(listener);
                    tokio::time::sleep(time).await;
                    listener = loop {
                        let Ok(address) = address else { return };
                        if let Ok(again) = TcpListener::bind(address).await { break again; }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    };
                    pool.mode.send_if_modified(|mode| {
                        let still = *mode == now;
                        if still { *mode = Mode::None; }
                        still
                    });
                }
            }
        }
    }
}

#[derive(Debug)]
struct Session {
    pool: Arc<Pool>,
    out: mpsc::UnboundedSender<String>,
    extranonce1: Vec<u8>,
    /// The extranonce1 of jobs before `changed_at`, after `mining.set_extranonce`.
    old_extranonce1: Vec<u8>,
    changed_at: u64,
    extranonce2: usize,
    mask: u32,
    subscribed: bool,
    workers: BTreeSet<String>,
    last_prev: Option<work::Bytes32>,
    force_clean: bool,
}

async fn serve(pool: Arc<Pool>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let (out, mut lines_out) = mpsc::unbounded_channel::<String>();
    let writer = tokio::spawn(async move {
        while let Some(line) = lines_out.recv().await {
            if write.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    pool.connections.fetch_add(1, Ordering::Relaxed);
    let mut session = Session::new(pool.clone(), out);
    let mut lines = FramedRead::new(read, LinesCodec::new_with_max_length(MAX_LINE));
    let mut newest = pool.newest.subscribe();
    let mut mode = pool.mode.subscribe();
    loop {
        tokio::select! {
            () = pool.stop.cancelled() => break,
            _ = newest.changed() => session.send_job(),
            _ = mode.changed() => {
                let now = *mode.borrow_and_update();
                let stingy = session.extranonce2 != EXTRANONCE2;
                if now.closes() || stingy { break; }
                if now == Mode::SetExtranonce { session.set_extranonce(); }
            }
            line = lines.next() => {
                let Some(Ok(line)) = line else { break };
                if !session.line(&line).await || *pool.mode.borrow() == Mode::DropConnections {
                    break;
                }
            }
        }
    }
    pool.connections.fetch_sub(1, Ordering::Relaxed);
    writer.abort();
}

impl Session {
    fn new(pool: Arc<Pool>, out: mpsc::UnboundedSender<String>) -> Self {
        let mut extranonce1 = pool.new_extranonce1().to_vec();
        let mut extranonce2 = EXTRANONCE2;
        if *pool.mode.borrow() == Mode::WrongExtranonceSize {
            extranonce1.resize(extranonce1.len() + EXTRANONCE2 - 1, 0);
            extranonce2 = 1;
        }
        Self {
            old_extranonce1: extranonce1.clone(),
            extranonce1,
            changed_at: 0,
            extranonce2,
            mask: 0,
            subscribed: false,
            workers: BTreeSet::new(),
            last_prev: None,
            force_clean: false,
            pool,
            out,
        }
    }

    fn send(&self, message: &Value) {
        let mode = *self.pool.mode.borrow();
        match mode {
            Mode::Stall => return,
            Mode::Garbage => {
                let _ = self.out.send("\u{1}{\"id\":null,\"method\":mining.notif\n".into());
            }
            _ => {}
        }
        let _ = self.out.send(format!("{message}\n"));
    }

    fn reply(&self, id: &Value, result: Result<Value, Reject>) {
        let message = match result {
            Ok(result) => json!({"id": id, "result": result, "error": null}),
            Err(reject) => json!({"id": id, "result": null, "error": reject.to_json()}),
        };
        self.send(&message);
    }

    fn send_job(&mut self) {
        if !self.subscribed || self.workers.is_empty() {
            return;
        }
        let Some(job) = self.pool.newest.borrow().clone() else { return };
        let clean = self.last_prev != Some(job.work.prev) || self.force_clean;
        self.last_prev = Some(job.work.prev);
        self.force_clean = false;
        self.send(&json!({"id": null, "method": "mining.notify", "params": job.notify(clean)}));
    }

    fn set_extranonce(&mut self) {
        if !self.subscribed {
            return;
        }
        self.old_extranonce1 = self.extranonce1.clone();
        self.extranonce1 = self.pool.new_extranonce1().to_vec();
        self.changed_at = lock(&self.pool.jobs).issued + 1;
        self.force_clean = true;
        let params = json!([hex::encode(&self.extranonce1), self.extranonce2]);
        self.send(&json!({"id": null, "method": "mining.set_extranonce", "params": params}));
    }

    /// Handles one line; false closes the connection.
    async fn line(&mut self, line: &str) -> bool {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            tracing::debug!("line that is not JSON: closing");
            return false;
        };
        let id = message.get("id").cloned().unwrap_or(Value::Null);
        let params = message.get("params").cloned().unwrap_or(Value::Null);
        let first = params.get(0).and_then(Value::as_str).unwrap_or_default().to_owned();
        match message.get("method").and_then(Value::as_str) {
            Some("mining.configure") => {
                let answer = self.configure(&params);
                self.reply(&id, Ok(answer));
            }
            Some("mining.subscribe") => {
                self.subscribed = true;
                let name = hex::encode(&self.extranonce1);
                let methods = json!([["mining.set_difficulty", name], ["mining.notify", name]]);
                self.reply(&id, Ok(json!([methods, name, self.extranonce2])));
            }
            Some("mining.authorize") => self.authorize(&id, first),
            Some("mining.submit") => self.submit(&id, &params).await,
            Some("mining.extranonce.subscribe" | "mining.suggest_difficulty" | "mining.ping") => {
                self.reply(&id, Ok(json!(true)));
            }
            Some(_) => self.reply(&id, Err(Reject::Invalid("Unknown method"))),
            None => {}
        }
        true
    }

    fn configure(&mut self, params: &Value) -> Value {
        let wanted = params.get(0).and_then(Value::as_array).cloned().unwrap_or_default();
        if !wanted.iter().any(|name| name == "version-rolling") {
            return json!({});
        }
        let asked = params.pointer("/1/version-rolling.mask").and_then(Value::as_str);
        let asked = asked.and_then(|text| work::u32_hex(text).ok()).unwrap_or(u32::MAX);
        self.mask = asked & self.pool.version_mask;
        json!({"version-rolling": true, "version-rolling.mask": format!("{:08x}", self.mask)})
    }

    fn authorize(&mut self, id: &Value, worker: String) {
        let account = worker.split('.').next().unwrap_or_default();
        if self.pool.cfg.account(account).is_none() {
            self.reply(id, Err(Reject::Unauthorized));
            return;
        }
        self.workers.insert(worker);
        self.reply(id, Ok(json!(true)));
        if self.workers.len() == 1 {
            let difficulty = work::difficulty_of_hashes(self.pool.cfg.share_hashes).to_f64();
            let params = json!([difficulty]);
            self.send(&json!({"id": null, "method": "mining.set_difficulty", "params": params}));
            self.send_job();
        }
    }

    async fn submit(&mut self, id: &Value, params: &Value) {
        let mode = *self.pool.mode.borrow();
        if mode == Mode::Stall {
            return;
        }
        let parsed = share::parse(params, self.extranonce2);
        let worker = params.get(0).and_then(Value::as_str).unwrap_or_default().to_owned();
        let judged = match parsed {
            _ if mode == Mode::RejectAll => Err(Reject::Invalid("Share rejected")),
            Ok(submit) => self.judge(&submit).map(|(job, found)| (job, submit, found)),
            Err(reject) => Err(reject),
        };
        let outcome = match &judged {
            Ok(_) => Outcome::Accepted,
            Err(Reject::Stale) => Outcome::Stale,
            Err(_) => Outcome::Rejected,
        };
        if self.workers.contains(&worker) {
            let (hashes, rate) = (self.pool.cfg.share_hashes, self.pool.cfg.pps_sats_per_mhash);
            let account = worker.split('.').next().unwrap_or_default();
            let now = self.pool.now();
            self.pool.with_ledger(|ledger| {
                ledger.book((account, &worker), outcome, now, hashes, rate);
            });
        }
        let answer = judged.as_ref().map(|_| json!(true)).map_err(|reject| *reject);
        if let Mode::SlowReply(time) = mode {
            let (out, id) = (self.out.clone(), id.clone());
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                let message = match answer {
                    Ok(result) => json!({"id": id, "result": result, "error": null}),
                    Err(reject) => json!({"id": id, "result": null, "error": reject.to_json()}),
                };
                let _ = out.send(format!("{message}\n"));
            });
        } else {
            self.reply(id, answer);
        }
        if let Ok((job, submit, found)) = judged
            && share::is_block(&job, &found)
        {
            engine::offer_block(&self.pool, &job, submit.ntime, &found).await;
        }
    }

    fn judge(&self, submit: &Submit) -> Result<(Arc<PoolJob>, Found), Reject> {
        if !self.subscribed {
            return Err(Reject::NotSubscribed);
        }
        if !self.workers.contains(&submit.worker) {
            return Err(Reject::Unauthorized);
        }
        let job = lock(&self.pool.jobs).by_id.get(&submit.job_id).cloned();
        let job = job.ok_or(Reject::Stale)?;
        let extranonce1 = match job.sequence < self.changed_at {
            true => &self.old_extranonce1,
            false => &self.extranonce1,
        };
        let terms = Terms {
            job: &job,
            extranonce1,
            version_mask: self.mask,
            now: self.pool.now(),
            share_target: &self.pool.share_target,
        };
        let found = share::check(terms, submit)?;
        let mut jobs = lock(&self.pool.jobs);
        if !jobs.by_id.contains_key(&submit.job_id) {
            return Err(Reject::Stale);
        }
        if !jobs.seen.insert(found.hash) {
            return Err(Reject::Duplicate);
        }
        drop(jobs);
        Ok((job, found))
    }
}
