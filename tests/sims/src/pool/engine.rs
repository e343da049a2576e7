//! The pool's heart: polls the node, issues jobs, submits blocks at the pace of node time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bitcoin::ScriptBuf;
use eyre::{Result, WrapErr, ensure, eyre};
use serde_json::{Value, json};

use super::{
    Pool,
    share::Found,
    template::{EXTRANONCE1, PoolJob, Template},
};
use crate::{node::script_of, process::lock};

/// Bytes of extranonce2 that an honest pool gives.
pub(crate) const EXTRANONCE2: usize = 8;

#[derive(Debug)]
struct State {
    tip: String,
    /// Node time from which the next block may be found.
    due: u64,
    /// When the job that may become a block was issued.
    opened: Option<Instant>,
    issued: Instant,
    complaint: String,
}

/// Mines the first blocks, once per state file.
pub(crate) async fn bootstrap(
    pool: &Pool,
    own: &ScriptBuf,
    count: u32,
    others: &[String],
) -> Result<()> {
    if lock(&pool.ledger).bootstrapped {
        return Ok(());
    }
    for other in others {
        let (address, count) = other
            .split_once(':')
            .ok_or_else(|| eyre!("--bootstrap-to {other:?} is not ADDRESS:N"))?;
        let count: u32 = count.parse().wrap_err("--bootstrap-to ADDRESS:N")?;
        mine(pool, &script_of(address)?, count).await?;
    }
    mine(pool, own, count).await?;
    pool.with_ledger(|ledger| ledger.bootstrapped = true);
    pool.save()
}

async fn mine(pool: &Pool, script: &ScriptBuf, count: u32) -> Result<()> {
    for _ in 0..count {
        let template = Template::fetch(&pool.node).await?;
        let job = template.job(0, script, &tag(pool), EXTRANONCE2)?;
        let (header, coinbase) = job.solve(&[0; EXTRANONCE1 + EXTRANONCE2])?;
        submit(pool, &job, &header, &coinbase).await?;
    }
    Ok(())
}

fn tag(pool: &Pool) -> Vec<u8> {
    format!("/sim-pool {} {}/", pool.cfg.coin, pool.cfg.seed).into_bytes()
}

async fn submit(pool: &Pool, job: &PoolJob, header: &[u8; 80], coinbase: &[u8]) -> Result<()> {
    let reply = pool.node.call("submitblock", json!([job.block(header, coinbase)?])).await?;
    ensure!(reply.is_null(), "node refused block {}: {reply}", job.height);
    Ok(())
}

/// Submits a share as a block if one is due; the first share that asks wins.
pub(crate) async fn offer_block(pool: &Pool, job: &PoolJob, ntime: u32, found: &Found) {
    let from = pool.block_from.load(Ordering::Acquire);
    let closed = u64::MAX;
    if u64::from(ntime) < from
        || pool
            .block_from
            .compare_exchange(from, closed, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
    {
        return;
    }
    match submit(pool, job, &found.header, &found.coinbase).await {
        Ok(()) => tracing::info!(height = job.height, "block found by a share"),
        Err(error) => tracing::warn!("block of a share: {error:#}"),
    }
    pool.poke.notify_one();
}

/// Polls until the pool stops.
pub(crate) async fn run(pool: Arc<Pool>, script: ScriptBuf) {
    let mut state = State {
        tip: String::new(),
        due: 0,
        opened: None,
        issued: Instant::now(),
        complaint: String::new(),
    };
    loop {
        match step(&pool, &script, &mut state).await {
            Ok(()) => state.complaint.clear(),
            Err(error) => {
                let text = format!("{error:#}");
                if text != state.complaint {
                    tracing::warn!("{text}");
                    state.complaint = text;
                }
            }
        }
        tokio::select! {
            () = pool.stop.cancelled() => return,
            () = pool.poke.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(pool.cfg.poll_ms)) => {}
        }
    }
}

async fn step(pool: &Pool, script: &ScriptBuf, state: &mut State) -> Result<()> {
    let template = Template::fetch(&pool.node).await?;
    let now = u64::from(template.curtime);
    pool.clock.fetch_max(now, Ordering::Relaxed);
    let wait = Duration::from_millis(pool.cfg.other_miners_after_ms);
    if template.previousblockhash != state.tip {
        pool.block_from.store(u64::MAX, Ordering::Release);
        let header = pool.node.call("getblockheader", json!([template.previousblockhash])).await?;
        let time = header.get("time").and_then(Value::as_u64).ok_or_else(|| eyre!("no time"))?;
        state.due = time + pool.cfg.block_interval_s;
        state.opened = None;
        state.tip = template.previousblockhash.clone();
        issue(pool, script, state, template, true)
    } else if state.opened.is_none() && now >= state.due {
        // A job whose own time is late enough: blocks are never nearer than the interval.
        issue(pool, script, state, template, false)?;
        state.opened = Some(Instant::now());
        pool.block_from.store(state.due, Ordering::Release);
        Ok(())
    } else if state.opened.is_some_and(|opened| opened.elapsed() >= wait) {
        pool.block_from.store(u64::MAX, Ordering::Release);
        state.opened = Some(Instant::now());
        let job = template.job(0, script, &tag(pool), EXTRANONCE2)?;
        let (header, coinbase) = job.solve(&[0xff; EXTRANONCE1 + EXTRANONCE2])?;
        submit(pool, &job, &header, &coinbase).await?;
        tracing::info!(height = job.height, "block found by other miners");
        pool.poke.notify_one();
        Ok(())
    } else if state.issued.elapsed() >= Duration::from_millis(pool.cfg.job_refresh_ms) {
        issue(pool, script, state, template, false)
    } else {
        Ok(())
    }
}

fn issue(
    pool: &Pool,
    script: &ScriptBuf,
    state: &mut State,
    template: Template,
    new_block: bool,
) -> Result<()> {
    let job = {
        let mut jobs = lock(&pool.jobs);
        jobs.issued += 1;
        let job = Arc::new(template.job(jobs.issued, script, &tag(pool), EXTRANONCE2)?);
        if new_block {
            jobs.by_id.clear();
            jobs.seen.clear();
        }
        jobs.by_id.insert(job.id.clone(), job.clone());
        job
    };
    state.issued = Instant::now();
    pool.newest.send_replace(Some(job));
    Ok(())
}
