//! Machines: the listening socket and a reader per connection. Decides nothing: calls go to the proxy, in order.
//!
//! A malformed line is answered to the machine that sent it, counted and logged; after some of them the connection is
//! closed. Nothing a machine sends can hurt another.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::BufReader,
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use crate::{
    lines::{LineIn, read_line},
    outbox::Outbox,
    stratum::codec::{self, LineError, Message, MinerCall, RequestId},
};

/// Longest line from a machine.
const MAX_LINE: usize = 16 * 1024;
/// Malformed lines after which a machine is disconnected.
const MAX_MALFORMED: u32 = 10;

/// An event of one connection.
#[derive(Debug)]
pub struct FromMiner {
    /// Number of the connection, never used again.
    pub conn: u64,
    /// What happened.
    pub what: MinerEvent,
}

/// What happened on a connection.
#[derive(Debug)]
pub enum MinerEvent {
    /// It was made.
    Opened(Outbox),
    /// The machine called.
    Call {
        /// Its name for the call.
        id: Option<RequestId>,
        /// The call.
        call: MinerCall,
    },
    /// It ended.
    Closed,
}

/// Accepts machines.
#[derive(Debug)]
pub struct Downstream {
    listener: TcpListener,
    events: mpsc::Sender<FromMiner>,
    malformed: Arc<AtomicU64>,
    next: AtomicU64,
}

impl Downstream {
    /// Binds the listening socket.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(address: SocketAddr, events: mpsc::Sender<FromMiner>) -> std::io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_keepalive(true)?; // inherited: a machine that lost power is noticed
        socket.bind(address)?;
        let (malformed, next) = (Arc::default(), AtomicU64::new(1));
        Ok(Self { listener: socket.listen(1024)?, events, malformed, next })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Malformed lines so far.
    #[must_use]
    pub fn malformed(&self) -> Arc<AtomicU64> {
        self.malformed.clone()
    }

    /// Accepts until dropped.
    pub async fn accept(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let conn = self.next.fetch_add(1, Ordering::Relaxed);
                    let (events, malformed) = (self.events.clone(), self.malformed.clone());
                    tokio::spawn(Connection { conn, peer, events, malformed }.serve(stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

struct Connection {
    conn: u64,
    peer: SocketAddr,
    events: mpsc::Sender<FromMiner>,
    malformed: Arc<AtomicU64>,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        let gone = CancellationToken::new();
        let outbox = Outbox::new(write, gone.clone());
        if self.emit(MinerEvent::Opened(outbox.clone())).await {
            tokio::select! {
                () = self.read(BufReader::new(read), &outbox) => {}
                () = outbox.drain() => {}
                () = gone.cancelled() => {}
            }
        }
        outbox.close();
        self.emit(MinerEvent::Closed).await;
    }

    async fn emit(&self, what: MinerEvent) -> bool {
        self.events.send(FromMiner { conn: self.conn, what }).await.is_ok()
    }

    async fn read(&self, mut from: BufReader<tokio::net::tcp::OwnedReadHalf>, outbox: &Outbox) {
        let mut malformed = 0_u32;
        loop {
            let call = match read_line(&mut from, MAX_LINE).await {
                Ok(LineIn::Line(line)) if line.trim_ascii().is_empty() => continue,
                Ok(LineIn::Line(line)) => parse(&line),
                Ok(LineIn::TooLong) => {
                    Err((None, LineError(format!("malformed line: longer than {MAX_LINE} bytes"))))
                }
                Ok(LineIn::End) | Err(_) => return,
            };
            match call {
                Ok(Some((id, call))) => {
                    if !self.emit(MinerEvent::Call { id, call }).await {
                        return;
                    }
                }
                Ok(None) => {}
                Err((id, why)) => {
                    malformed = malformed.saturating_add(1);
                    self.malformed.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(peer = %self.peer, %why, malformed, "malformed line from a machine");
                    outbox.send(&codec::refuse(id.as_ref(), 20, &why.0));
                    if malformed >= MAX_MALFORMED {
                        tracing::warn!(peer = %self.peer, "too many malformed lines: disconnecting");
                        return;
                    }
                }
            }
        }
    }
}

type Call = (Option<RequestId>, MinerCall);

/// A machine's line; answers to our own calls are nothing.
fn parse(line: &[u8]) -> Result<Option<Call>, (Option<RequestId>, LineError)> {
    match Message::parse(line).map_err(|error| (None, error))? {
        Message::Answer { .. } => Ok(None),
        Message::Call { id, method, params } => match MinerCall::parse(&method, &params) {
            Ok(call) => Ok(Some((id, call))),
            Err(error) => Err((id, error)),
        },
    }
}
