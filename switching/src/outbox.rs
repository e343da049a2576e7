//! The sending half of a socket: bytes go to the kernel in the caller's turn, what does not fit waits in a bounded queue.
//!
//! Sending in the caller's turn is what makes a switch one loop of writes. A peer that stops reading is cut off when its
//! queue is full; it can delay nobody.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{net::tcp::OwnedWriteHalf, sync::Notify};
use tokio_util::sync::CancellationToken;

/// Bytes that may wait for a slow peer.
const MAX_BACKLOG: usize = 256 * 1024;

/// A shared sending half. The connection ends when `gone` is cancelled.
#[derive(Clone, Debug)]
pub struct Outbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    half: OwnedWriteHalf,
    backlog: Mutex<Vec<u8>>,
    wake: Notify,
    gone: CancellationToken,
}

/// What became of bytes that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel has all of them.
    Kernel,
    /// Some wait until the peer reads.
    Queued,
    /// The connection is over.
    Gone,
}

impl Outbox {
    /// Wraps a sending half; `gone` ends the connection and is cancelled when it ends.
    #[must_use]
    pub fn new(half: OwnedWriteHalf, gone: CancellationToken) -> Self {
        let (backlog, wake) = (Mutex::default(), Notify::new());
        Self { inner: Arc::new(Inner { half, backlog, wake, gone }) }
    }

    /// Sends whole lines, in order, without waiting.
    pub fn send(&self, line: &str) -> Sent {
        let inner = &self.inner;
        if inner.gone.is_cancelled() {
            return Sent::Gone;
        }
        let mut backlog = inner.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = line.as_bytes();
        while backlog.is_empty() && !rest.is_empty() {
            match inner.half.try_write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return self.end(),
            }
        }
        if rest.is_empty() {
            return Sent::Kernel;
        }
        if backlog.len().saturating_add(rest.len()) > MAX_BACKLOG {
            return self.end();
        }
        backlog.extend_from_slice(rest);
        inner.wake.notify_one();
        Sent::Queued
    }

    /// Ends the connection.
    pub fn close(&self) {
        self.inner.gone.cancel();
    }

    fn end(&self) -> Sent {
        self.close();
        Sent::Gone
    }

    /// Sends what waits, as the peer reads; returns when the connection is over.
    pub async fn drain(&self) {
        loop {
            self.inner.wake.notified().await;
            while !self.is_empty() {
                if self.inner.half.writable().await.is_err() || !self.push() {
                    self.close();
                    return;
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.inner.backlog.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// One write of what waits; false if the connection broke.
    fn push(&self) -> bool {
        let mut backlog = self.inner.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        match self.inner.half.try_write(&backlog) {
            Ok(written) => {
                let written = written.min(backlog.len());
                backlog.drain(..written);
                true
            }
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}
