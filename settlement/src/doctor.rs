//! A look at everything that settlement stands on, one finding each: what is well, what is not, and what to do about it.
//! It reads only, and goes on after a failure, so that one look shows every problem.

use std::path::Path;

use alloy::{
    eips::BlockId, network::TransactionBuilder, primitives::Address, providers::Provider,
    rpc::types::TransactionRequest, sol, sol_types::SolCall,
};
use bitcoin::OutPoint;
use evm::{Deployment, DynProvider, Finality, bindings::IEpochLedger, block_at, block_numbered};
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::{
    backend::Connection,
    config::Config,
    court,
    error::Error,
    ownership::{Owners, OwnershipConfig},
    plan::fee_ceil,
    state::State,
    store::Store,
    treasury::Treasury,
    vault::Coin,
};

sol! {
    /// The part of OpenZeppelin's AccessManager that is asked here.
    interface IAuthority {
        /// Whether `caller` may call `selector` of `target` at once.
        function canCall(address caller, address target, bytes4 selector) external view returns (bool allowed, uint32 delay);
    }
}

/// Blocks by which the two endpoints' finalized blocks may differ.
const LAG: u64 = 64;
/// Seconds by which the two chains' newest blocks may differ: a Bitcoin block may take long, and its time may lie ahead.
const DRIFT: u64 = 2 * 3_600;
/// Virtual bytes of a payout beside its payees: inputs, baton, marker.
const OVERHEAD: u64 = 1_000;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// Whether it is well.
    pub ok: bool,
    /// What was seen; what to do if it is not well.
    pub words: String,
}

/// Looks at one thing after the other.
pub async fn examine(path: &Path) -> Vec<Finding> {
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(error) => return vec![finding("configuration", Err(error.to_string()))],
    };
    let mut found = vec![finding("configuration", Ok(format!("network {}", config.network)))];
    let mut evm_time = None;
    match Deployment::read(&config.deployment) {
        Ok(deployment) => {
            found.push(finding("deployment file", Ok(deployment.epoch_ledger.to_string())));
            evm_time = evm_findings(&config, &deployment, &mut found).await;
        }
        Err(error) => found.push(finding("deployment file", Err(error.to_string()))),
    }
    bitcoin_findings(&config, evm_time, &mut found).await;
    if config.database.exists() {
        let books = async { Store::read(&config.database).await?.audit_books().await };
        found.push(finding("books", books.await.map_err(|error| error.to_string())));
        if let (Some(asked), Ok(deployment)) =
            (&config.ownership, Deployment::read(&config.deployment))
        {
            let owners = Owners::new(&config, &deployment);
            found.push(finding("payout scripts", owners_words(&config, asked, &owners).await));
        }
    }
    for signer in &config.signers {
        let answer = UnixStream::connect(&signer.socket).await;
        let words = answer.map(|_| "listens".to_owned()).map_err(|error| {
            format!("{}: {error}; start it with `signer run`", signer.socket.display())
        });
        found.push(finding(format!("signer {}", signer.name), words));
    }
    found
}

/// Who is paid much and has shown no key. Nobody's payment waits for it, so it is no problem either.
async fn owners_words(
    config: &Config,
    asked: &OwnershipConfig,
    owners: &Owners,
) -> Result<String, String> {
    let unproven = async { owners.unproven(&Store::read(&config.database).await?).await };
    let unproven = unproven.await.map_err(|error: Error| error.to_string())?;
    if unproven.is_empty() {
        return Ok(format!("everybody paid {} sat or more has shown the key", asked.above_sat));
    }
    let list: Vec<String> =
        unproven.iter().map(|each| format!("{} ({} sat)", each.account, each.sats)).collect();
    Ok(format!("asked for a proof, see docs/OWNERSHIP.md: {}", list.join(", ")))
}

fn finding(name: impl Into<String>, words: Result<String, String>) -> Finding {
    let ok = words.is_ok();
    let words = words.unwrap_or_else(|words| words);
    Finding { name: name.into(), ok, words }
}

/// Findings at the EVM side; the time of the newest block, Unix seconds.
async fn evm_findings(
    config: &Config,
    deployment: &Deployment,
    found: &mut Vec<Finding>,
) -> Option<u64> {
    let mut ends = Vec::new();
    for url in &config.evm.rpc {
        let end = endpoint(url, deployment).await;
        let words = end
            .as_ref()
            .map(|(_, number)| format!("chain {}, finalized block {number}", deployment.chain_id));
        found.push(finding(format!("EVM endpoint {url}"), words.map_err(Clone::clone)));
        ends.extend(end.ok());
    }
    if let [first, second] = ends.as_slice() {
        found.push(finding("EVM endpoints agree", agree(first, second).await));
    }
    let (reader, _) = ends.first()?;
    found.push(finding("operator role", operator(config, deployment, reader).await));
    found.push(finding("ledger", ledger(config, deployment, reader).await));
    found.push(finding("bond", bond(deployment, reader).await));
    Some(block_at(reader, Finality::Latest).await.ok()?.timestamp)
}

async fn endpoint(url: &str, deployment: &Deployment) -> Result<(DynProvider, u64), String> {
    let words = |error: evm::Error| format!("{error}; check evm.rpc and that the node runs");
    let reader = evm::connect(url).map_err(words)?;
    deployment.check_chain(&reader).await.map_err(words)?;
    let block = block_at(&reader, Finality::Finalized).await.map_err(words)?;
    Ok((reader, block.number))
}

async fn agree(first: &(DynProvider, u64), second: &(DynProvider, u64)) -> Result<String, String> {
    let (lower, apart) = (first.1.min(second.1), first.1.abs_diff(second.1));
    if apart > LAG {
        return Err(format!("finalized blocks {} and {}: one node lags", first.1, second.1));
    }
    let mut hashes = Vec::new();
    for (reader, _) in [first, second] {
        let block = block_numbered(reader, lower).await.map_err(|error| error.to_string())?;
        hashes.push(block.map(|block| block.hash));
    }
    match hashes.as_slice() {
        [Some(one), Some(other)] if one == other => Ok(format!("same block {lower}")),
        _ => Err(format!("they have different blocks {lower}: stop, and find out which one lies")),
    }
}

async fn operator(
    config: &Config,
    deployment: &Deployment,
    reader: &DynProvider,
) -> Result<String, String> {
    let key = evm::read_key(&config.evm.key_file).map_err(|error| error.to_string())?;
    let caller: Address = key.address();
    let (target, selector) = (deployment.epoch_ledger, IEpochLedger::commitCall::SELECTOR.into());
    let call = IAuthority::canCallCall { caller, target, selector };
    let request = TransactionRequest::default()
        .with_to(deployment.access_manager)
        .with_input(call.abi_encode());
    let answer = reader.call(request).await.map_err(|error| error.to_string())?;
    let answer = IAuthority::canCallCall::abi_decode_returns(&answer)
        .map_err(|error| format!("no AccessManager at {}: {error}", deployment.access_manager))?;
    if !answer.allowed {
        return Err(format!("{caller} may not commit: grant it the operator role, without delay"));
    }
    let wei = reader.get_balance(caller).await.map_err(|error| error.to_string())?;
    if wei.is_zero() {
        return Err(format!("{caller} has nothing to pay gas with: fund it"));
    }
    Ok(format!("{caller} may commit"))
}

async fn ledger(
    config: &Config,
    deployment: &Deployment,
    reader: &DynProvider,
) -> Result<String, String> {
    let ledger = IEpochLedger::new(deployment.epoch_ledger, reader.clone());
    let asked = ledger.confirmations().block(BlockId::finalized()).call().await;
    let asked = asked.map_err(|error| {
        format!("no ledger answers at {}: {error}; check the deployment", deployment.epoch_ledger)
    })?;
    if config.bitcoin.confirmations < u32::from(asked) {
        return Err(format!("bitcoin.confirmations must be at least {asked}"));
    }
    let baton = ledger.baton().call().await.map_err(|error| error.to_string())?;
    if baton.txid.is_zero() {
        return Err(
            "it has no baton: fund `settlement address baton-genesis`, call setBaton".into()
        );
    }
    Ok(format!("asks for {asked} confirmations"))
}

async fn bond(deployment: &Deployment, reader: &DynProvider) -> Result<String, String> {
    let court = deployment.ledger_court;
    let bond = court::bond(court, reader).await.map_err(|error| error.to_string())?;
    let words = format!("{} quote units of {} required", bond.held, bond.required);
    if bond.sufficient {
        return Ok(words);
    }
    Err(format!("{words}: nothing is minted or sold; `post` more to {court} (docs/runbooks)"))
}

async fn bitcoin_findings(config: &Config, evm_time: Option<u64>, found: &mut Vec<Finding>) {
    let connection = match reach(config).await {
        Ok((connection, words, time)) => {
            found.push(finding("Bitcoin", words));
            if let (Some(evm), Some(time)) = (evm_time, time) {
                found.push(finding("clock", clocks(evm, time)));
            }
            connection
        }
        Err(error) => {
            let words = format!("{error}; check [bitcoin.backend], and that it runs");
            return found.push(finding("Bitcoin", Err(words)));
        }
    };
    match baton(config, &connection).await {
        Ok((coin, words)) => {
            found.push(finding("baton", words));
            found.push(finding("fee reserve", reserve(config, &connection, coin.as_ref()).await));
        }
        Err(error) => found.push(finding("database", Err(error.to_string()))),
    }
}

/// The connection, how it stands, and the time of its newest block.
async fn reach(
    config: &Config,
) -> Result<(Connection, Result<String, String>, Option<u64>), Error> {
    let connection = Connection::open(config).await?;
    if let Connection::Node(node) = &connection {
        let info = node.chain_info().await?;
        let time = info.get("time").and_then(Value::as_u64);
        return Ok((connection, synced(&info, config.bitcoin.birthday_height), time));
    }
    let height = connection.height().await?;
    let header = connection.header_at(height).await?;
    connection.check_proof(height, header).await?;
    let words = match config.bitcoin.birthday_height > height {
        true => Err(format!("the server has {height} blocks, birthday_height lies above")),
        false => Ok(format!("a light server at block {height}, which it proves")),
    };
    Ok((connection, words, Some(header.time.into())))
}

/// Blocks are read one by one, so no index is needed, but every block since the birthday is.
fn synced(info: &Value, birthday: u32) -> Result<String, String> {
    let number = |name: &str| info.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (blocks, headers) = (number("blocks"), number("headers"));
    if headers > blocks.saturating_add(1) {
        return Err(format!("it has {blocks} of {headers} blocks: wait until it has caught up"));
    }
    let pruned = number("pruneheight");
    if pruned > u64::from(birthday) {
        return Err(format!(
            "blocks below {pruned} are pruned, {birthday} is needed: run it with prune=0"
        ));
    }
    Ok(format!("synced at block {blocks}; no txindex is needed"))
}

fn clocks(evm: u64, bitcoin: u64) -> Result<String, String> {
    let apart = evm.abs_diff(bitcoin);
    if apart <= DRIFT {
        return Ok(format!("the chains' newest blocks are {apart} s apart"));
    }
    Err(format!(
        "the chains' newest blocks are {apart} s apart: one node is stuck, or its clock is wrong"
    ))
}

/// The newest planned baton (none before the first payout) and what became of it.
async fn baton(
    config: &Config,
    node: &Connection,
) -> Result<(Option<Coin>, Result<String, String>), Error> {
    if !config.database.exists() {
        return Ok((None, Ok("no database yet: `settlement run` makes it".into())));
    }
    let store = Store::read(&config.database).await?;
    let Some((epoch, coin)) = store.newest_baton().await? else {
        return Ok((None, Ok("no epoch has been paid yet".into())));
    };
    let state = store.state(epoch).await?;
    let sent =
        state.as_ref().is_none_or(|state| !matches!(state, State::Planned(_) | State::Signed(_)));
    let place: OutPoint = coin.outpoint;
    let words = match (node.unspent(&coin).await?, sent) {
        (Some(sats), _) if sats == coin.output.value.to_sat() => {
            Ok(format!("{place}, {sats} sat, unspent"))
        }
        (Some(sats), _) => {
            Err(format!("{place} holds {sats} sat, the database says {}", coin.output.value))
        }
        (None, false) => Ok(format!("{place} is planned, its transaction is not sent yet")),
        (None, true) => Err(format!(
            "{place} is spent or unknown to the node: stop settlement and see docs/runbooks"
        )),
    };
    Ok((Some(coin), words))
}

/// Baton and reserve coins pay the fee of one full payout, at least.
async fn reserve(
    config: &Config,
    node: &Connection,
    baton: Option<&Coin>,
) -> Result<String, String> {
    let words = |error: Error| error.to_string();
    let policy = &config.policy;
    let rate = node.fee_rate_ceil(policy.confirm_within_blocks).await.map_err(words)?;
    let rate =
        rate.unwrap_or(policy.fallback_fee_rate).clamp(policy.min_fee_rate, policy.max_fee_rate);
    let bytes = u64::try_from(policy.max_batch_bytes).unwrap_or(u64::MAX).saturating_add(OVERHEAD);
    let fee = fee_ceil(bytes, rate).map_err(|error| error.to_string())?;
    let need = fee.saturating_add(policy.min_baton);
    let mut have = baton.map_or(0, |coin| coin.output.value.to_sat());
    if config.database.exists() {
        have = have.saturating_add(reserve_coins(config).await.map_err(words)?);
    }
    if have >= need || baton.is_none() {
        return Ok(format!("{have} sat; a full payout takes up to {need} sat"));
    }
    Err(format!(
        "{have} sat, a full payout takes up to {need} sat: pay to `settlement address treasury` at the reserve index"
    ))
}

async fn reserve_coins(config: &Config) -> Result<u64, Error> {
    let Some(index) = config.vault.reserve_index else { return Ok(0) };
    let changes = Store::read(&config.database).await?.wallet().await?;
    let (lookahead, birthday) = (config.vault.lookahead, config.bitcoin.birthday_height);
    let treasury = Treasury::load(&config.vault()?, changes, lookahead, birthday)?;
    let coins = treasury.coins(config.bitcoin.funding_confirmations);
    let ours = coins.iter().filter(|found| found.coin.index == index);
    Ok(ours.fold(0, |sum, found| found.coin.output.value.to_sat().saturating_add(sum)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lagging_pruned_or_stuck_node_is_a_problem() {
        let info = |blocks: u64, pruned: u64| json!({ "blocks": blocks, "headers": 900, "pruneheight": pruned });
        assert!(synced(&info(900, 0), 5).is_ok());
        assert!(synced(&info(899, 5), 5).is_ok(), "a block that has just come");
        assert!(synced(&info(800, 0), 5).unwrap_err().contains("800 of 900"));
        assert!(synced(&info(900, 6), 5).unwrap_err().contains("pruned"));
        assert!(clocks(10_000, 10_000 + DRIFT).is_ok());
        assert!(clocks(10_000, 10_001 + DRIFT).is_err());
    }

    #[tokio::test]
    async fn one_look_shows_every_problem_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");
        std::fs::copy(example, &path).unwrap();
        let found = examine(&path).await;
        let bad = |name: &str| found.iter().any(|f| f.name == name && !f.ok && !f.words.is_empty());
        assert!(found.first().is_some_and(|finding| finding.ok), "{found:?}");
        for name in ["deployment file", "Bitcoin", "signer a", "signer b", "signer c"] {
            assert!(bad(name), "{name}: {found:?}");
        }
        std::fs::write(&path, "nonsense").unwrap();
        let found = examine(&path).await;
        assert!(found.len() == 1 && found.iter().all(|finding| !finding.ok), "{found:?}");
    }
}
