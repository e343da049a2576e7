//! What the story checks at its end, by arithmetic of its own: nothing here is shared with settlement or the verifier.

use std::collections::BTreeMap;

use alloy::primitives::{Address, Bytes, U256};
use domain::EpochId;
use evm::bindings::{IEpochLedger, IFleetOracle, IHashProof, IPayoutRegistry, ITwabToken};
use eyre::{Result, ensure, eyre};
use serde_json::{Value, json};

use super::{World, people, say};
use crate::{devnet::DevKey, rpc};

/// A mainnet address, and a script of no known form: both are refused, with words.
///
/// # Errors
/// When one of them is taken.
pub async fn bad_input_is_refused(world: &World) -> Result<()> {
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    let refused = people::script_of(world, mainnet).await;
    let why = refused.err().ok_or_else(|| eyre!("a mainnet address was taken on regtest"))?;
    ensure!(why.to_string().contains("wrong_network"), "unexpected answer: {why}");
    say::done("a mainnet address typed into the interface is refused");
    let registry =
        IPayoutRegistry::new(world.deployment.payout_registry, world.evm.as_key(DevKey::Anya)?);
    let odd = Bytes::from_static(&[0x51]);
    let refused = evm::land("setScript", registry.setScript(odd, 0)).await;
    let why = refused.err().ok_or_else(|| eyre!("a script of no known form was taken"))?;
    ensure!(why.to_string().contains("UnknownScript"), "unexpected answer: {why}");
    say::done("a payout script of an unknown form is refused by the contract");
    Ok(())
}

/// Every payee's Bitcoin output carries what the balance-seconds say, to the satoshi, and nobody else is paid.
///
/// # Errors
/// When an amount differs.
pub async fn paid_to_the_satoshi(
    world: &World,
    epoch: EpochId,
    addresses: &BTreeMap<String, String>,
) -> Result<()> {
    let expected = expected_credit(world, epoch).await?;
    let transaction = payout_transaction(world, epoch).await?;
    let outputs = transaction["vout"].as_array().cloned().unwrap_or_default();
    let payees: Vec<&Value> = outputs.iter().skip(2).collect();
    ensure!(
        payees.len() == addresses.len(),
        "{} outputs for {} payees",
        payees.len(),
        addresses.len()
    );
    for (payee, _) in people::PAYEES {
        let name = payee.name();
        let address = addresses.get(&name).ok_or_else(|| eyre!("{name} has no address"))?;
        let sats = expected.get(&payee.account(world)).copied().unwrap_or_default();
        let output = payees.iter().find(|out| out["scriptPubKey"]["address"] == address.as_str());
        let output = output.ok_or_else(|| eyre!("{name} is not paid at {address}"))?;
        let paid = sats_of(&output["value"])?;
        ensure!(U256::from(paid) == sats, "{name} is paid {paid} sat, earned {sats}");
        say::done(&format!("{name} is paid {paid} sat at {address}: as the seconds held say"));
    }
    Ok(())
}

/// Cumulative credit of every payee through `epoch`, floored to sats.
async fn expected_credit(world: &World, epoch: EpochId) -> Result<BTreeMap<Address, U256>> {
    let mut acc: BTreeMap<Address, U256> = BTreeMap::new();
    let contracts = world.series();
    for piece in pieces(world, epoch).await? {
        let pot = U256::from(piece.sats) << 64;
        for (payee, _) in people::PAYEES {
            let account = payee.account(world);
            let own = share(world, contracts.unit, account, pot, piece.workEpoch).await?;
            let mut sum = own;
            for (wrapper, token) in
                [(contracts.pool, contracts.lp_share), (contracts.queue, contracts.claim_token)]
            {
                let whole = share(world, contracts.unit, wrapper, pot, piece.workEpoch).await?;
                sum += share(world, token, account, whole, piece.workEpoch).await?;
            }
            *acc.entry(account).or_default() += sum;
        }
    }
    Ok(acc.into_iter().map(|(account, acc)| (account, acc >> 64)).collect())
}

/// floor(amount × balance-seconds / total), zero if nobody held any.
async fn share(
    world: &World,
    token: Address,
    account: Address,
    amount: U256,
    epoch: u32,
) -> Result<U256> {
    let token = ITwabToken::new(token, world.evm.reader()?);
    let total = token.totalBalanceSeconds(epoch).call().await?;
    if total.is_zero() {
        return Ok(U256::ZERO);
    }
    let held = token.balanceSeconds(account, epoch).call().await?;
    Ok(amount * held / total)
}

async fn pieces(world: &World, through: EpochId) -> Result<Vec<IFleetOracle::Piece>> {
    let reports =
        events::<IFleetOracle::ReportPosted>(world, world.deployment.fleet_oracle).await?;
    let reports = reports.into_iter().filter(|it| it.epoch <= through.0);
    Ok(reports.flat_map(|it| it.report.series).flat_map(|series| series.pots).collect())
}

/// The payout transaction of `epoch` as the BTC node sees it.
///
/// # Errors
/// When the epoch is not proven or the node does not know the transaction.
pub async fn payout_transaction(world: &World, epoch: EpochId) -> Result<Value> {
    let proofs = events::<IEpochLedger::PayoutProven>(world, world.deployment.epoch_ledger).await?;
    let proof = proofs.iter().find(|it| it.epoch == epoch.0);
    let mut txid = proof.ok_or_else(|| eyre!("epoch {epoch} is not proven"))?.txid.0;
    txid.reverse();
    let transaction =
        world.bitcoin.call("getrawtransaction", json!([hex::encode(txid), 2])).await?;
    let confirmations = transaction["confirmations"].as_u64().unwrap_or_default();
    ensure!(confirmations >= 6, "the payout has {confirmations} confirmations");
    Ok(transaction)
}

/// The epoch's commitment.
///
/// # Errors
/// When there is none, or a node does not answer.
pub async fn commitment(world: &World, epoch: EpochId) -> Result<IEpochLedger::Commitment> {
    let (ledger, from) = (world.deployment.epoch_ledger, world.deployment.block);
    let found = evm::record::committed(&world.evm.reader()?, ledger, from, epoch.0).await?;
    Ok(found.ok_or_else(|| eyre!("epoch {epoch} is not committed"))?.commitment)
}

async fn events<E: alloy::sol_types::SolEvent>(world: &World, address: Address) -> Result<Vec<E>> {
    let reader = world.evm.reader()?;
    let tip = evm::block_at(&reader, evm::Finality::Latest).await?.number;
    let from = world.deployment.block;
    let logs = evm::logs_between(&reader, &[address], Some(E::SIGNATURE_HASH), from, tip).await?;
    Ok(evm::decoded::<E>(&logs)?.into_iter().map(|(event, _)| event).collect())
}

/// A JSON number of bitcoin in sats, without passing through a float.
fn sats_of(value: &Value) -> Result<u64> {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    ensure!(fraction.len() <= 8 && !text.contains('e'), "not an amount of bitcoin: {text}");
    Ok(format!("{whole}{fraction:0<8}").parse()?)
}

/// The machines stayed connected through every switch, and no switch cost a share.
///
/// # Errors
/// When there were fewer than two switches, a disconnect, or a share lost that no new block explains.
pub async fn machines_lost_nothing(world: &World) -> Result<()> {
    let engine = rpc::get(&format!("{}/status", world.switching)).await?;
    let switches = number(&engine["switches"]);
    ensure!(switches >= 2, "only {switches} switches: {}", engine["switches"]);
    let lost = &engine["shares_without_verdict"];
    for kind in
        ["stale_unexplained", "unanswered", "invalid", "duplicate", "low_difficulty", "stale"]
    {
        ensure!(number(&lost[kind]) == 0, "{kind} shares: {lost}");
    }
    let machines = rpc::get(&format!("{}/stats", world.machines)).await?;
    let machines = machines.as_array().cloned().unwrap_or_default();
    ensure!(!machines.is_empty(), "the machines report nothing");
    let (mut accepted, mut overtaken) = (0, 0);
    for machine in &machines {
        let (name, cut) = (&machine["serial"], number(&machine["disconnects"]));
        ensure!(cut == 0, "{name} was disconnected {cut} times");
        for (code, count) in machine["rejected"].as_object().into_iter().flatten() {
            // A new block of the same chain overtakes a share (21); nothing else may be refused.
            ensure!(code == "21", "{name} had shares refused with code {code}: {count}");
            overtaken += number(count);
        }
        accepted += number(&machine["accepted"]);
    }
    ensure!(accepted > 0, "no share was accepted");
    say::done(&format!(
        "{switches} switches, no disconnect, {accepted} shares accepted, none lost to a switch; \
         {overtaken} were overtaken by a block of their own chain"
    ));
    Ok(())
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

/// The fleet's own shares prove to the contract about as many hashes as pools acknowledged. As of the finalized block:
/// the verifier looks no further.
///
/// # Errors
/// When nothing is proven in time, or more than luck explains.
pub async fn hashrate_is_proven(world: &World, epoch: EpochId) -> Result<()> {
    let contract = IHashProof::new(world.deployment.hash_proof, world.evm.reader()?);
    let fleet = world.deployment.fleet();
    world
        .wait_until("the proof of hashrate", async || {
            let claim = contract.claimOf(fleet, epoch.0);
            let claim = claim.block(alloy::eips::BlockId::finalized()).call().await?;
            Ok(!claim.hashes.is_zero())
        })
        .await?;
    let over = contract.claimedOver(fleet, epoch.0, 1).call().await?;
    let reports = events::<IFleetOracle::ReportPosted>(world, world.deployment.fleet_oracle);
    let report = reports.await?.into_iter().find(|it| it.epoch == epoch.0);
    let report = report.ok_or_else(|| eyre!("epoch {epoch} has no report"))?.report;
    let work = report.series.iter().map(|series| U256::from(series.work));
    let acknowledged = work.fold(U256::ZERO, U256::saturating_add);
    let proven = over.hashes;
    let shares = contract.k().call().await?;
    ensure!(proven <= acknowledged * U256::from(5), "{proven} proven, {acknowledged} acknowledged");
    let tenths = over.errorPpm / U256::from(1_000);
    say::done(&format!(
        "the fleet's {shares} lowest shares prove {proven} hashes to a contract, beside {acknowledged} that pools \
         acknowledged; the standard error of one epoch is {}.{} %",
        tenths / U256::from(10),
        tenths % U256::from(10)
    ));
    Ok(())
}

/// A stranger's recomputation from the two chains says yes. Returns its table.
///
/// # Errors
/// When the verifier finds anything wrong; the message shows its table.
pub async fn verifier_agrees(world: &World) -> Result<String> {
    let table = world.run_to_end("verify").await?;
    say::done("the verifier recomputes every epoch from the two chains and agrees:");
    for line in table.lines() {
        say::line(&format!("      {line}"));
    }
    Ok(table)
}

/// A second transaction that pays the epoch again, signed by the real signers, is a double spend to the node; and by now
/// the signers would not sign another.
///
/// # Errors
/// When the node takes it, or the signers sign.
pub async fn second_payout_is_refused(world: &World, epoch: EpochId, raw: &str) -> Result<()> {
    let first = payout_transaction(world, epoch).await?;
    let decoded = world.bitcoin.call("decoderawtransaction", json!([raw])).await?;
    ensure!(decoded["txid"] != first["txid"], "the second payout is the first one");
    ensure!(
        decoded["vin"][0]["txid"] == first["vin"][0]["txid"],
        "it does not spend the same baton"
    );
    let refused = world.bitcoin.call("sendrawtransaction", json!([raw])).await;
    let why = refused.err().ok_or_else(|| eyre!("the node took a second payout of {epoch}"))?;
    ensure!(why.to_string().contains("missingorspent"), "unexpected answer: {why}");
    say::done(&format!("the second payout is refused by bitcoind: {why}"));
    let refused = world.second_payout(epoch).await;
    let why = refused.err().ok_or_else(|| eyre!("the signers signed a third payout of {epoch}"))?;
    say::done(&format!("and no other is signed any more: {why}"));
    Ok(())
}
