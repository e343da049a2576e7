//! Machines: subscription, authorisation, leaving. A machine keeps its extranonce for the life of its connection.

use std::time::{Duration, Instant};

use domain::{Production, SeriesId};

use super::Proxy;
use crate::{
    downstream::{FromMiner, MinerEvent},
    outbox::Outbox,
    stratum::codec::{self, MinerCall, RequestId},
};

/// How long a connection may stay without a known machine.
const STRANGER: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug)]
pub(super) struct Miner {
    pub(super) outbox: Outbox,
    since: Instant,
    /// Version bits the machine says it can roll, and those it was last told it may.
    rolls: Option<u32>,
    told_mask: u32,
    /// Extranonce prefix, once subscribed.
    pub(super) prefix: Option<Vec<u8>>,
    /// Who it is, once authorised.
    pub(super) machine: Option<(String, SeriesId)>,
    /// The user name it gave.
    pub(super) user: String,
    /// Shares refused by us, and accepted by us alone.
    pub(super) refused: u64,
    pub(super) local: u64,
}

impl Miner {
    /// Whether it gets jobs.
    pub(super) const fn works(&self) -> bool {
        self.prefix.is_some() && self.machine.is_some()
    }

    /// The version bits it may roll on a job that was given under `mask`.
    pub(super) fn mask(&self, mask: u32) -> u32 {
        self.rolls.unwrap_or(0) & mask
    }
}

impl Proxy {
    pub(super) fn on_miner(&mut self, FromMiner { conn, what }: FromMiner) {
        match what {
            MinerEvent::Opened(outbox) if self.miners.len() >= self.max_connections() => {
                tracing::warn!(conn, "too many connections for this fleet: one more is refused");
                outbox.close();
            }
            MinerEvent::Opened(outbox) => {
                let miner = Miner {
                    outbox,
                    since: Instant::now(),
                    rolls: None,
                    told_mask: 0,
                    prefix: None,
                    machine: None,
                    user: String::new(),
                    refused: 0,
                    local: 0,
                };
                self.miners.insert(conn, miner);
            }
            MinerEvent::Call { id, call } => self.on_call(conn, id, call),
            MinerEvent::Closed => self.miner_gone(conn),
        }
    }

    /// Twice the fleet, for machines that come back before their old connection is gone, and some room to look in.
    fn max_connections(&self) -> usize {
        self.series.len().saturating_mul(2).saturating_add(64)
    }

    fn on_call(&mut self, conn: u64, id: Option<RequestId>, call: MinerCall) {
        match call {
            MinerCall::Configure(rolls) => self.configure(conn, id.as_ref(), rolls),
            MinerCall::Subscribe => self.subscribe(conn, id.as_ref()),
            MinerCall::Authorize(user) => self.authorize(conn, id.as_ref(), user),
            MinerCall::Submit(submit) => self.on_submit(conn, id, &submit),
            MinerCall::Agreed => self.send(conn, &codec::reply(id.as_ref(), "true")),
            MinerCall::Unknown(method) => {
                self.send(
                    conn,
                    &codec::refuse(id.as_ref(), 20, &format!("unknown method {method}")),
                );
            }
        }
    }

    pub(super) fn send(&self, conn: u64, line: &str) {
        if let Some(miner) = self.miners.get(&conn) {
            miner.outbox.send(line);
        }
    }

    fn configure(&mut self, conn: u64, id: Option<&RequestId>, rolls: Option<u32>) {
        let all = self.down_mask();
        let Some(miner) = self.miners.get_mut(&conn) else { return };
        miner.rolls = rolls;
        miner.told_mask = miner.mask(all);
        let result = match rolls {
            Some(_) => {
                format!(
                    "{{\"version-rolling\":true,\"version-rolling.mask\":\"{:08x}\"}}",
                    miner.told_mask
                )
            }
            None => "{}".to_owned(),
        };
        miner.outbox.send(&codec::reply(id, &result));
    }

    fn subscribe(&mut self, conn: u64, id: Option<&RequestId>) {
        let Some(miner) = self.miners.get_mut(&conn) else { return };
        if miner.prefix.is_none() {
            miner.prefix = self.prefixes.take();
        }
        let Some(prefix) = &miner.prefix else {
            tracing::error!("every extranonce prefix is taken: raise extranonce.prefix_bytes");
            miner.outbox.send(&codec::refuse(id, 20, "no extranonce is free"));
            miner.outbox.close();
            return;
        };
        let prefix = hex::encode(prefix);
        let size = self.config.extranonce.miner_bytes;
        let result = format!(
            "[[[\"mining.set_difficulty\",\"{conn:x}\"],[\"mining.notify\",\"{conn:x}\"]],\"{prefix}\",{size}]"
        );
        miner.outbox.send(&codec::reply(id, &result));
        if miner.works() {
            self.welcome(conn);
        }
    }

    fn authorize(&mut self, conn: u64, id: Option<&RequestId>, user: String) {
        let serial = user.rsplit_once('.').map_or(user.as_str(), |(_, serial)| serial).to_owned();
        let series = self.series.get(&serial).copied();
        let Some(miner) = self.miners.get_mut(&conn) else { return };
        let same = miner.machine.as_ref().is_none_or(|(machine, _)| *machine == serial);
        let Some(series) = series.filter(|_| same) else {
            tracing::warn!(user, "a machine that is not of the fleet was refused");
            miner.outbox.send(&codec::refuse(
                id,
                24,
                "unauthorized worker: not a machine of this fleet",
            ));
            return;
        };
        miner.outbox.send(&codec::reply(id, "true"));
        if miner.machine.is_some() {
            return;
        }
        (miner.machine, miner.user) = (Some((serial.clone(), series)), user);
        let works = miner.works();
        self.replace_older(conn, &serial);
        self.record(Production::MachineJoined { time: self.now, machine: serial, series });
        if works {
            self.welcome(conn);
        }
    }

    /// A machine works on one connection: an older one is a leftover of a cable pulled or a power cut.
    fn replace_older(&mut self, conn: u64, serial: &str) {
        let is_it =
            |miner: &Miner| miner.machine.as_ref().is_some_and(|(machine, _)| machine == serial);
        let older = self.miners.iter().find(|(other, miner)| **other != conn && is_it(miner));
        if let Some(older) = older.map(|(other, _)| *other) {
            tracing::warn!(
                machine = serial,
                "the machine connected again; its older connection is closed"
            );
            self.miner_gone(older);
        }
    }

    /// Difficulty and job for a machine that has just become ready.
    fn welcome(&self, conn: u64) {
        if let Some(difficulty) = &self.difficulty {
            let params = format!("[{}]", difficulty.text());
            self.send(conn, &codec::call(None, "mining.set_difficulty", &params));
        }
        if let Some(issue) = self.table.given().filter(|_| self.current.is_some()) {
            self.send(conn, &issue.clean_line);
        }
    }

    pub(super) fn send_difficulty(&self) {
        let Some(difficulty) = &self.difficulty else { return };
        let line = codec::call(None, "mining.set_difficulty", &format!("[{}]", difficulty.text()));
        for miner in self.miners.values().filter(|miner| miner.works()) {
            miner.outbox.send(&line);
        }
    }

    pub(super) fn send_mask(&mut self) {
        let all = self.down_mask();
        for miner in self.miners.values_mut() {
            let mask = miner.mask(all);
            if miner.rolls.is_some() && mask != miner.told_mask {
                miner.told_mask = mask;
                let params = format!("[\"{mask:08x}\"]");
                miner.outbox.send(&codec::call(None, "mining.set_version_mask", &params));
            }
        }
    }

    pub(super) fn miner_gone(&mut self, conn: u64) {
        let Some(miner) = self.miners.remove(&conn) else { return };
        miner.outbox.close();
        if let Some(prefix) = &miner.prefix {
            self.prefixes.release(prefix);
        }
        if let Some((machine, _)) = miner.machine {
            self.record(Production::MachineLeft { time: self.now, machine });
        }
    }

    pub(super) fn time_out_strangers(&mut self) {
        for miner in self.miners.values().filter(|miner| !miner.works()) {
            if miner.since.elapsed() > STRANGER {
                miner.outbox.close();
            }
        }
    }
}
