//! An Electrum server: protocol 1.4 over TCP, or over TLS with `ssl://`.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bitcoin::{BlockHash, ScriptBuf, Transaction, Txid, block::Header, consensus::encode};
use electrum_client::{ElectrumApi, Param, raw_client::RawClient};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};
use serde_json::Value;
use tokio::time::Instant;

use super::{Branch, Seen, Server, refusal};
use crate::{
    error::Error,
    node::{Broadcast, sats},
};

/// Longest wait for a server that says nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of one answer, or of a batch of them, at most.
const MOST: usize = 64 << 20;
/// Longest time for them.
const LONGEST: Duration = Duration::from_secs(120);

trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

type Session = RawClient<Bounded>;

/// What the server may still send in answer to one call, and until when: else it could fill the memory, or drip for ever.
#[derive(Debug)]
struct Allowance {
    bytes: usize,
    until: Instant,
}

impl Allowance {
    fn new() -> Self {
        let now = Instant::now();
        Self { bytes: MOST, until: now.checked_add(LONGEST).unwrap_or(now) }
    }
}

/// A stream that ends when the allowance does.
struct Bounded {
    wire: Box<dyn Wire>,
    allowance: Arc<Mutex<Allowance>>,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.wire.read(into)?;
        let mut left = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        left.bytes = left.bytes.saturating_sub(count);
        if left.bytes == 0 || Instant::now() > left.until {
            return Err(std::io::Error::other("the answer does not end"));
        }
        Ok(count)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.wire.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.wire.flush()
    }
}

/// A connection that is made when it is needed, and again after it broke.
pub struct Electrum {
    url: String,
    host: String,
    address: String,
    tls: bool,
    session: Mutex<Option<Session>>,
    allowance: Arc<Mutex<Allowance>>,
}

impl std::fmt::Debug for Electrum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Electrum({})", self.url)
    }
}

impl Electrum {
    /// For `tcp://HOST:PORT` or `ssl://HOST:PORT`. Nothing is connected yet.
    ///
    /// # Errors
    /// When the URL is another.
    pub fn new(url: &str) -> Result<Self, Error> {
        let wrong = || Error::Config(format!("{url:?} must be tcp://HOST:PORT or ssl://HOST:PORT"));
        let (scheme, address) = url.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme {
            "tcp" => false,
            "ssl" => true,
            _ => return Err(wrong()),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (url, address) = (url.to_owned(), address.to_owned());
        let allowance = Arc::new(Mutex::new(Allowance::new()));
        Ok(Self { url, host, address, tls, session: Mutex::new(None), allowance })
    }

    fn fail(&self, why: impl std::fmt::Display) -> Error {
        Error::node(self.url.clone(), why)
    }

    fn connect(&self) -> Result<Session, Error> {
        let mut addresses = self.address.to_socket_addrs().map_err(|error| self.fail(error))?;
        let address = addresses.next().ok_or_else(|| self.fail("the name has no address"))?;
        let tcp = TcpStream::connect_timeout(&address, PATIENCE).map_err(|e| self.fail(e))?;
        let limits = [tcp.set_read_timeout(Some(PATIENCE)), tcp.set_write_timeout(Some(PATIENCE))];
        limits.into_iter().collect::<Result<(), _>>().map_err(|error| self.fail(error))?;
        tcp.set_nodelay(true).map_err(|error| self.fail(error))?;
        let wire: Box<dyn Wire> = if self.tls {
            let name = ServerName::try_from(self.host.clone()).map_err(|error| self.fail(error))?;
            let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
            let config =
                ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            let tls = ClientConnection::new(Arc::new(config), name);
            Box::new(StreamOwned::new(tls.map_err(|error| self.fail(error))?, tcp))
        } else {
            Box::new(tcp)
        };
        let session = RawClient::from(Bounded { wire, allowance: Arc::clone(&self.allowance) });
        let hello = [Param::String("settlement".into()), Param::String("1.4".into())];
        session.raw_call("server.version", hello).map_err(|error| self.fail(error))?;
        Ok(session)
    }

    /// The inner error is the server's answer; after an outer one the connection is made anew.
    fn with<T>(
        &self,
        call: impl FnOnce(&Session) -> Result<T, electrum_client::Error>,
    ) -> Result<Result<T, Value>, Error> {
        let mut held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        *self.allowance.lock().unwrap_or_else(PoisonError::into_inner) = Allowance::new();
        let session = match held.take() {
            Some(session) => session,
            None => self.connect()?,
        };
        let answer = match call(&session) {
            Ok(answer) => Ok(answer),
            Err(electrum_client::Error::Protocol(refused)) => Err(refused),
            Err(error) => return Err(self.fail(error)),
        };
        *held = Some(session);
        Ok(answer)
    }

    fn call(&self, method: &str, params: Vec<Param>) -> Result<Value, Error> {
        let answer = self.with(|session| session.raw_call(method, params))?;
        answer.map_err(|refused| self.fail(format!("{method}: {refused}")))
    }

    fn number(&self, value: &Value, name: &str) -> Result<u32, Error> {
        let number = value.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        number.ok_or_else(|| self.fail(format!("no {name} in {value}")))
    }
}

impl Server for Electrum {
    fn height(&self) -> Result<u32, Error> {
        // what it says unasked of later blocks is dropped: it is asked again
        let answer = self.with(|session| {
            while session.block_headers_pop_raw()?.is_some() {}
            session.raw_call("blockchain.headers.subscribe", [])
        })?;
        let tip = answer.map_err(|refused| self.fail(refused))?;
        self.number(&tip, "height")
    }

    fn headers(&self, from: u32, count: u32) -> Result<Vec<Header>, Error> {
        let place = |number: u32| usize::try_from(number).map_err(|error| self.fail(error));
        let params = vec![Param::Usize(place(from)?), Param::Usize(place(count)?)];
        let answer = self.call("blockchain.block.headers", params)?;
        let text = answer.get("hex").and_then(Value::as_str).unwrap_or_default();
        let bytes = alloy::hex::decode(text).map_err(|error| self.fail(error))?;
        let decode = |one: &[u8]| encode::deserialize(one).map_err(|error| self.fail(error));
        bytes.chunks(80).map(decode).collect()
    }

    fn histories(&self, scripts: &[ScriptBuf]) -> Result<Vec<Vec<Seen>>, Error> {
        let asked = scripts.iter().map(ScriptBuf::as_script);
        let answer = self.with(|session| session.batch_script_get_history(asked))?;
        let answer = answer.map_err(|refused| self.fail(format!("get_history: {refused}")))?;
        let seen = |entry: electrum_client::GetHistoryRes| Seen {
            // 0 and -1: in the mempool
            height: u32::try_from(entry.height).ok().filter(|height| *height > 0),
            txid: entry.tx_hash,
        };
        Ok(answer.into_iter().map(|all| all.into_iter().map(seen).collect()).collect())
    }

    fn transaction(&self, txid: Txid) -> Result<Transaction, Error> {
        let answer =
            self.call("blockchain.transaction.get", vec![Param::String(txid.to_string())])?;
        let text = answer.as_str().unwrap_or_default();
        encode::deserialize_hex(text).map_err(|error| self.fail(error))
    }

    fn branch(&self, txid: Txid, height: u32) -> Result<Branch, Error> {
        let at = usize::try_from(height).map_err(|error| self.fail(error))?;
        let params = vec![Param::String(txid.to_string()), Param::Usize(at)];
        let answer = self.call("blockchain.transaction.get_merkle", params)?;
        let merkle = answer.get("merkle").and_then(Value::as_array);
        let merkle = merkle.ok_or_else(|| self.fail(format!("no merkle in {answer}")))?;
        let mut siblings = Vec::with_capacity(merkle.len().saturating_mul(32));
        for sibling in merkle {
            let bytes = alloy::hex::decode(sibling.as_str().unwrap_or_default());
            // shown in the order of block explorers
            siblings.extend(bytes.map_err(|error| self.fail(error))?.iter().rev());
        }
        Ok(Branch { index: self.number(&answer, "pos")?, siblings })
    }

    fn coinbase(&self, height: u32, _block: BlockHash) -> Result<Txid, Error> {
        let at = usize::try_from(height).map_err(|error| self.fail(error))?;
        let params = vec![Param::Usize(at), Param::Usize(0), Param::Bool(false)];
        let answer = self.call("blockchain.transaction.id_from_pos", params)?;
        let text = answer.as_str().unwrap_or_default();
        text.parse().map_err(|error| self.fail(format!("id_from_pos: {error}")))
    }

    fn fee_rate_ceil(&self, blocks: u16) -> Result<Option<u64>, Error> {
        let answer = self.call("blockchain.estimatefee", vec![Param::Usize(blocks.into())])?;
        // -1 where it has no estimate
        Ok(sats(&answer))
    }

    fn broadcast(&self, tx: &Transaction) -> Result<Broadcast, Error> {
        let raw = vec![Param::String(crate::packed::tx_hex(tx))];
        let answer =
            self.with(|session| session.raw_call("blockchain.transaction.broadcast", raw))?;
        Ok(match answer {
            Ok(_) => Broadcast::Known,
            Err(Value::String(words)) => refusal(&words),
            Err(refused) => match refused.get("message").and_then(Value::as_str) {
                Some(words) => refusal(words),
                None => refusal(&refused.to_string()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_both_kinds_are_taken() {
        for good in ["tcp://127.0.0.1:50001", "ssl://electrum.example:50002", "tcp://[::1]:1"] {
            assert!(Electrum::new(good).is_ok(), "{good}");
        }
        for bad in ["http://x:1", "tcp://x", "electrum.example:50002", "ssl://:50002", "tcp://x:y"]
        {
            let error = Electrum::new(bad).unwrap_err().to_string();
            assert!(error.contains("tcp://HOST:PORT"), "{error}");
        }
    }

    /// It hangs up in the middle of a line, or never ends one; the next call connects again.
    #[test]
    fn a_server_that_breaks_off_or_does_not_end_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Electrum::new(&format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
        let play = std::thread::spawn(move || {
            let (mut first, _) = listener.accept().unwrap();
            first.write_all(b"{\"id\":0,").unwrap();
            drop(first);
            let (mut second, _) = listener.accept().unwrap();
            while second.write_all(&[b' '; 65_536]).is_ok() {}
        });
        let error = server.height().unwrap_err().to_string();
        assert!(error.contains("EOF") || error.contains("reset"), "{error}");
        let error = server.height().unwrap_err().to_string();
        assert!(error.contains("does not end"), "{error}");
        drop(server);
        play.join().unwrap();
    }
}
