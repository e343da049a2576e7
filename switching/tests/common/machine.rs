//! A machine that is told which nonces to send.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

use super::{Engine, header_hash, word};

pub(crate) struct Machine {
    lines: Lines<BufReader<OwnedReadHalf>>,
    pub(crate) write: OwnedWriteHalf,
    pub(crate) prefix: String,
    pub(crate) user: String,
    pub(crate) mask: u32,
    pub(crate) notifies: Vec<Value>,
    pub(crate) others: Vec<Value>,
    next: u64,
}

impl Machine {
    /// Connects, with the version bits it can roll.
    pub(crate) async fn connect(engine: &Engine, user: &str, mask: Option<&str>) -> Self {
        Self::connect_to(engine.addresses.stratum, user, mask).await
    }

    pub(crate) async fn connect_to(to: SocketAddr, user: &str, mask: Option<&str>) -> Self {
        let (read, write) = TcpStream::connect(to).await.unwrap().into_split();
        let mut machine = Self {
            lines: BufReader::new(read).lines(),
            write,
            prefix: String::new(),
            user: user.into(),
            mask: 0,
            notifies: vec![],
            others: vec![],
            next: 1,
        };
        if let Some(mask) = mask {
            let params = json!([["version-rolling"], {"version-rolling.mask": mask}]);
            let reply = machine.call("mining.configure", params).await;
            machine.mask = word(reply["result"]["version-rolling.mask"].as_str().unwrap());
        }
        let reply = machine.call("mining.subscribe", json!(["bmminer/2.0.0"])).await;
        machine.prefix = reply["result"][1].as_str().unwrap().into();
        assert_eq!(reply["result"][2], 2);
        machine
    }

    pub(crate) async fn authorized(engine: &Engine, user: &str) -> Self {
        let mut machine = Self::connect(engine, user, Some("1fffe000")).await;
        let reply = machine.authorize().await;
        assert_eq!(reply["result"], true, "{reply}");
        machine
    }

    pub(crate) async fn authorize(&mut self) -> Value {
        self.call("mining.authorize", json!([self.user, "x"])).await
    }

    pub(crate) async fn line(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(Duration::from_secs(5), self.lines.next_line()).await;
        let line = line.expect("a line in 5 s").ok().flatten()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    pub(crate) async fn raw(&mut self, line: &[u8]) {
        self.write.write_all(line).await.unwrap();
    }

    /// Calls, and collects notifications until the reply comes.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.raw(format!("{}\n", json!({"id": id, "method": method, "params": params})).as_bytes())
            .await;
        loop {
            let line = self.line().await.expect("connected");
            if line["id"] == id {
                return line;
            }
            self.keep(line);
        }
    }

    fn keep(&mut self, line: Value) {
        match line["method"] == "mining.notify" {
            true => self.notifies.push(line),
            false => self.others.push(line),
        }
    }

    /// The next job.
    pub(crate) async fn job(&mut self) -> Value {
        while self.notifies.is_empty() {
            let line = self.line().await.expect("connected");
            self.keep(line);
        }
        self.notifies.remove(0)["params"].clone()
    }

    /// Hash of the header that this machine would try.
    pub(crate) fn hash(&self, job: &Value, extranonce2: &str, nonce: u32, bits: u32) -> [u8; 32] {
        let text = |index: usize| job[index].as_str().unwrap();
        let coinbase = format!("{}{}{extranonce2}{}", text(2), self.prefix, text(3));
        let version = (word(text(5)) & !self.mask) | bits;
        header_hash(&hex::decode(coinbase).unwrap(), version, word(text(7)), nonce)
    }

    pub(crate) async fn submit(
        &mut self,
        job: &Value,
        extranonce2: &str,
        nonce: u32,
        bits: u32,
    ) -> Value {
        let nonce = format!("{nonce:08x}");
        let mut params = json!([self.user, job[0], extranonce2, job[7], nonce]);
        if self.mask != 0 {
            params.as_array_mut().unwrap().push(format!("{bits:08x}").into());
        }
        self.call("mining.submit", params).await
    }
}
