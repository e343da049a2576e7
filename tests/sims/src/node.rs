//! bitcoind JSON-RPC: calls with cookie authentication, wallets, payments signed before they are sent.

use std::{fmt, path::PathBuf, time::Duration};

use eyre::{Context, Result, eyre};
use serde_json::{Map, Value, json};

use crate::amount;

/// An error that the node itself returned.
#[derive(Debug)]
pub(crate) struct RpcError {
    pub(crate) method: String,
    pub(crate) code: i64,
    pub(crate) message: String,
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node refused {}: {} ({})", self.method, self.message, self.code)
    }
}

impl std::error::Error for RpcError {}

/// One bitcoind and one of its wallets.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    url: String,
    cookie: PathBuf,
    wallet: String,
    http: reqwest::Client,
}

/// A transaction that is signed and not yet broadcast.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) txid: String,
    pub(crate) hex: String,
}

impl Node {
    pub(crate) fn new(url: &str, cookie: PathBuf, wallet: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        Ok(Self { url: url.trim_end_matches('/').into(), cookie, wallet: wallet.into(), http })
    }

    /// Calls a node method; the cookie is read each time, so a restarted node is no problem.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value> {
        self.post(self.url.clone(), method, params).await
    }

    /// Calls a method of this wallet.
    pub(crate) async fn wallet_call(&self, method: &str, params: Value) -> Result<Value> {
        self.post(format!("{}/wallet/{}", self.url, self.wallet), method, params).await
    }

    async fn post(&self, url: String, method: &str, params: Value) -> Result<Value> {
        let cookie = std::fs::read_to_string(&self.cookie)
            .wrap_err_with(|| format!("cannot read cookie {}", self.cookie.display()))?;
        let (user, password) =
            cookie.trim().split_once(':').ok_or_else(|| eyre!("cookie file has no colon"))?;
        let body = json!({"jsonrpc": "1.0", "id": "sim", "method": method, "params": params});
        let request = self.http.post(url).basic_auth(user, Some(password)).json(&body);
        let reply = request.send().await.wrap_err("node unreachable")?;
        let mut reply: Value = reply.json().await.wrap_err("node's reply is not JSON")?;
        if let Some(error) = reply.get("error").filter(|error| !error.is_null()) {
            return Err(RpcError {
                method: method.into(),
                code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
                message: error.get("message").and_then(Value::as_str).unwrap_or_default().into(),
            }
            .into());
        }
        Ok(reply.get_mut("result").map(Value::take).unwrap_or_default())
    }

    /// Waits until the node answers, for at most a minute.
    pub(crate) async fn wait(&self) -> Result<()> {
        let mut last = eyre!("never asked");
        for _ in 0..240 {
            match self.call("getblockchaininfo", json!([])).await {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Err(last.wrap_err(format!("node {} does not answer", self.url)))
    }

    /// Loads this wallet, or creates it.
    pub(crate) async fn open_wallet(&self) -> Result<()> {
        match self.call("loadwallet", json!([self.wallet])).await {
            Ok(_) => Ok(()),
            Err(error) => match error.downcast_ref::<RpcError>().map(|rpc| rpc.code) {
                Some(-35) => Ok(()),
                Some(-18) => {
                    self.call("createwallet", json!({"wallet_name": self.wallet})).await.map(|_| ())
                }
                _ => Err(error),
            },
        }
    }

    /// A new address of this wallet.
    pub(crate) async fn new_address(&self, label: &str) -> Result<String> {
        let address = self.wallet_call("getnewaddress", json!([label, "bech32"])).await?;
        address.as_str().map(Into::into).ok_or_else(|| eyre!("getnewaddress gave no string"))
    }

    /// Signs a payment without broadcasting it and without storing it in the wallet.
    pub(crate) async fn sign_payment(
        &self,
        outputs: &[(String, u64)],
        fee_rate: u64,
    ) -> Result<Signed> {
        let outputs: Vec<Value> = outputs
            .iter()
            .map(|(address, sats)| {
                let mut one = Map::new();
                one.insert(address.clone(), Value::String(amount::show(*sats)));
                Value::Object(one)
            })
            .collect();
        let options = json!({"add_to_wallet": false, "fee_rate": fee_rate});
        let reply =
            self.wallet_call("send", json!({"outputs": outputs, "options": options})).await?;
        let field = |name: &str| {
            let text = reply.get(name).and_then(Value::as_str).map(String::from);
            text.ok_or_else(|| eyre!("send gave no {name}: {reply}"))
        };
        Ok(Signed { txid: field("txid")?, hex: field("hex")? })
    }

    /// Broadcasts; a transaction that is already known or already confirmed is a success.
    pub(crate) async fn broadcast(&self, signed: &Signed) -> Result<()> {
        match self.call("sendrawtransaction", json!([signed.hex])).await {
            Ok(_) => Ok(()),
            Err(error) => {
                if self.confirmations(&signed.txid).await.is_ok_and(|n| n >= 0) {
                    return Ok(());
                }
                Err(error)
            }
        }
    }

    /// Confirmations of a transaction of this wallet: negative when a conflict confirmed.
    pub(crate) async fn confirmations(&self, txid: &str) -> Result<i64> {
        let reply = self.wallet_call("gettransaction", json!([txid])).await?;
        Ok(reply.get("confirmations").and_then(Value::as_i64).unwrap_or_default())
    }

    /// `curtime` of the next block, seconds: the node's clock, which follows `setmocktime`.
    pub(crate) async fn time(&self) -> Result<u64> {
        let reply = self.call("getblocktemplate", json!([{"rules": ["segwit"]}])).await?;
        reply.get("curtime").and_then(Value::as_u64).ok_or_else(|| eyre!("template has no curtime"))
    }
}

/// Index of the output of a serialised transaction that pays `sats` to `address`.
pub(crate) fn output_index(hex_tx: &str, address: &str, sats: u64) -> Result<u32> {
    let tx: bitcoin::Transaction = bitcoin::consensus::deserialize(&hex::decode(hex_tx)?)?;
    let script = script_of(address)?;
    let found = tx
        .output
        .iter()
        .position(|output| output.script_pubkey == script && output.value.to_sat() == sats);
    let index = found.ok_or_else(|| eyre!("transaction does not pay {sats} sat to {address}"))?;
    Ok(u32::try_from(index)?)
}

/// The output script of an address of any network.
pub(crate) fn script_of(address: &str) -> Result<bitcoin::ScriptBuf> {
    let parsed: bitcoin::Address<bitcoin::address::NetworkUnchecked> =
        address.parse().wrap_err_with(|| format!("{address:?} is not a Bitcoin address"))?;
    Ok(parsed.assume_checked().script_pubkey())
}
