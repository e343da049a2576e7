//! A pool that checks nothing and remembers everything.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
};
use tokio_util::sync::CancellationToken;

use super::{COINB1, COINB2, PREV, header_hash, word};

#[derive(Debug)]
pub(crate) struct PoolState {
    pub(crate) extranonce1: String,
    pub(crate) extranonce2_size: usize,
    pub(crate) difficulty: &'static str,
    pub(crate) mask: &'static str,
    /// Answer to a submit: `Ok(true)`, an error code, or silence.
    pub(crate) answer: Option<Result<(), i64>>,
    pub(crate) submits: Vec<Vec<String>>,
    pub(crate) sessions: u32,
    writer: Option<Arc<tokio::sync::Mutex<OwnedWriteHalf>>>,
    job: Option<(String, bool)>,
}

pub(crate) struct Pool {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<PoolState>>,
    stop: CancellationToken,
}

fn notify(id: &str, clean: bool) -> String {
    let params =
        json!([id, PREV, COINB1, COINB2, [PREV], "20000000", "207fffff", "64c25820", clean]);
    json!({"id": null, "method": "mining.notify", "params": params}).to_string()
}

impl Pool {
    pub(crate) async fn start(extranonce1: &str, difficulty: &'static str) -> Self {
        Self::listen("127.0.0.1:0", extranonce1, difficulty).await
    }

    pub(crate) async fn listen(address: &str, extranonce1: &str, difficulty: &'static str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = PoolState {
            extranonce1: extranonce1.into(),
            extranonce2_size: 8,
            difficulty,
            mask: "1fffe000",
            answer: Some(Ok(())),
            submits: vec![],
            sessions: 0,
            writer: None,
            job: Some(("first".into(), true)),
        };
        let (state, stop) = (Arc::new(Mutex::new(state)), CancellationToken::new());
        let (shared, stopped) = (state.clone(), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serve = serve(stream, shared.clone());
                tokio::spawn(stopped.clone().run_until_cancelled_owned(serve));
            }
        }));
        Self { address, state, stop }
    }

    pub(crate) async fn send(&self, line: String) {
        let writer = self.state.lock().unwrap().writer.clone().unwrap();
        writer.lock().await.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    pub(crate) async fn notify(&self, id: &str, clean: bool) {
        self.state.lock().unwrap().job = Some((id.into(), clean));
        self.send(notify(id, clean)).await;
    }

    pub(crate) fn submits(&self) -> Vec<Vec<String>> {
        self.state.lock().unwrap().submits.clone()
    }

    pub(crate) fn kill(&self) {
        self.stop.cancel();
        self.state.lock().unwrap().writer = None;
    }

    /// Header hash of a submit, by the pool's own book.
    pub(crate) fn hash(&self, submit: &[String], mask: u32) -> [u8; 32] {
        let extranonce1 = self.state.lock().unwrap().extranonce1.clone();
        let coinbase = hex::decode(format!("{COINB1}{extranonce1}{}{COINB2}", submit[2])).unwrap();
        let bits = submit.get(5).map_or(0, |bits| word(bits));
        let version = (0x2000_0000 & !mask) | (bits & mask);
        header_hash(&coinbase, version, word(&submit[3]), word(&submit[4]))
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<PoolState>>) {
    let (read, write) = stream.into_split();
    let write = Arc::new(tokio::sync::Mutex::new(write));
    {
        let mut state = state.lock().unwrap();
        state.sessions += 1;
        state.writer = Some(write.clone());
    }
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let call: Value = serde_json::from_str(&line).unwrap();
        let reply =
            |result: Value| Some(json!({"id": call["id"], "result": result, "error": null}));
        let mut more = vec![];
        let answer = {
            let mut state = state.lock().unwrap();
            match call["method"].as_str().unwrap() {
                "mining.configure" => {
                    reply(json!({"version-rolling": true, "version-rolling.mask": state.mask}))
                }
                "mining.subscribe" => reply(json!([[], state.extranonce1, state.extranonce2_size])),
                "mining.authorize" => {
                    more.push(format!(
                        r#"{{"id":null,"method":"mining.set_difficulty","params":[{}]}}"#,
                        state.difficulty
                    ));
                    more.extend(state.job.as_ref().map(|(id, clean)| notify(id, *clean)));
                    reply(json!(true))
                }
                "mining.submit" => {
                    state.submits.push(serde_json::from_value(call["params"].clone()).unwrap());
                    match state.answer {
                        Some(Ok(())) => reply(json!(true)),
                        Some(Err(code)) => Some(
                            json!({"id": call["id"], "result": null, "error": [code, "no", null]}),
                        ),
                        None => None,
                    }
                }
                other => panic!("{other}"),
            }
        };
        for line in answer.map(|answer| answer.to_string()).into_iter().chain(more) {
            write.lock().await.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        }
    }
}
