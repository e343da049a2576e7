//! One field of one answer changed at the transport, and the whole verification run on it: it must not pass.

use std::{collections::BTreeSet, sync::Arc};

use alloy::{
    primitives::{Bytes, hex},
    rpc::types::Log,
    sol_types::{SolCall, SolEvent},
};
use bitcoin::{Amount, MerkleBlock, Transaction, block::Header, consensus};
use evm::bindings::{IEpochLedger, IFleetOracle, IPayoutRegistry, ISeriesRegistry, ITwabToken};
use eyre::Result;
use serde_json::{Value, json};
use verifier::{
    checks,
    rpc::Rewrite,
    world::{Sources, World},
};

use super::{SMALL, bytes::Rng, story, word};

/// Mutates `count` bundles and prints how many were refused.
///
/// # Errors
/// When the honest bundle does not verify.
pub(super) async fn bench(count: usize) -> Result<bool> {
    let (refused, passed) = run(count).await?;
    for what in &passed {
        eprintln!("NOT refused: {what}");
    }
    let good = refused == count;
    println!(
        "verifier mutations: {refused} of {count} mutated bundles refused ({count}) {}",
        word(good)
    );
    Ok(good)
}

/// Returns how many were refused, and what was done to the others.
pub(super) async fn run(count: usize) -> Result<(usize, Vec<String>)> {
    let sources = story::make(SMALL);
    let answers = record(&sources).await?;
    let mut rng = Rng(8);
    let (mut refused, mut passed) = (0, Vec::new());
    let mut done = BTreeSet::new();
    while refused + passed.len() < count {
        let (mutant, what) = match rng.below(20) {
            0 => mutate_journal(&sources, &mut rng),
            _ => match mutate_answer(&sources, &answers, &mut rng) {
                Some(mutant) => mutant,
                None => continue,
            },
        };
        if !done.insert(what.clone()) {
            continue;
        }
        let good = match World::read(&mutant).await {
            Ok(world) => checks::run(&world).await.good(),
            Err(_) => false,
        };
        if good { passed.push(what) } else { refused += 1 }
    }
    Ok((refused, passed))
}

/// What an honest run asks, and what it is told.
struct Answers(Vec<(bool, String, Value, Value)>);

async fn record(sources: &Sources) -> Result<Answers> {
    let list = Arc::new(std::sync::Mutex::new(Answers(Vec::new())));
    let spy = |evm: bool| -> Rewrite {
        let list = Arc::clone(&list);
        Arc::new(move |method: &str, params: &Value, value: &mut Value| {
            let entry = (evm, method.to_owned(), params.clone(), value.clone());
            list.lock().unwrap().0.push(entry);
            false
        })
    };
    let mut spied = sources.clone();
    spied.evm = sources.evm.tampered(spy(true));
    spied.bitcoin = sources.bitcoin.tampered(spy(false));
    let report = checks::run(&World::read(&spied).await?).await;
    if !report.good() {
        eyre::bail!("the honest bundle does not verify:\n{}", report.text());
    }
    drop(spied);
    let answers = std::mem::replace(&mut *list.lock().unwrap(), Answers(Vec::new()));
    Ok(answers)
}

fn mutate_journal(sources: &Sources, rng: &mut Rng) -> (Sources, String) {
    let mut mutant = sources.clone();
    let bytes = mutant.journal.as_mut().unwrap();
    // the bodies hold letters and digits; either is changed into another
    let place = loop {
        let place = rng.below(bytes.len() as u64) as usize;
        if bytes[place].is_ascii_alphanumeric() {
            break place;
        }
    };
    bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
    (mutant, format!("journal byte {place}"))
}

fn mutate_answer(sources: &Sources, answers: &Answers, rng: &mut Rng) -> Option<(Sources, String)> {
    let (evm, method, params, answer) = pick(answers, rng)?;
    let (changed, what) = mutation(method, params, answer, rng)?;
    assert_ne!(changed, *answer, "{what}");
    let brief: String = params.to_string().chars().rev().take(60).collect();
    let told = format!("{method} ..{}: {what}", brief.chars().rev().collect::<String>());
    let (method, params) = (method.clone(), params.clone());
    let rewrite: Rewrite = Arc::new(move |asked: &str, with: &Value, value: &mut Value| {
        let same = asked == method && *with == params;
        if same {
            *value = changed.clone();
        }
        same
    });
    let mut mutant = sources.clone();
    if *evm {
        mutant.evm = sources.evm.tampered(rewrite);
    } else {
        mutant.bitcoin = sources.bitcoin.tampered(rewrite);
    }
    Some((mutant, told))
}

type Entry = (bool, String, Value, Value);

/// A method first, then one of its answers, so that the many header calls do not crowd out the rest.
fn pick<'a>(answers: &'a Answers, rng: &mut Rng) -> Option<&'a Entry> {
    const METHODS: [&str; 8] = [
        "eth_getLogs",
        "eth_getLogs",
        "eth_getLogs",
        "eth_call",
        "eth_getTransactionByHash",
        "getrawtransaction",
        "gettxoutproof",
        "getblockheader",
    ];
    let method = METHODS[rng.below(METHODS.len() as u64) as usize];
    let list: Vec<&Entry> = answers.0.iter().filter(|entry| entry.1 == method).collect();
    // the newest header has nothing on it: half of its mutants have work enough, and are as good as the original
    let tip =
        answers.0.iter().rfind(|entry| entry.1 == method).filter(|_| method == "getblockheader");
    let entry = list.get(rng.below(list.len() as u64) as usize).copied()?;
    (tip.is_none_or(|tip| tip.2 != entry.2)).then_some(entry)
}

fn mutation(
    method: &str,
    params: &Value,
    answer: &Value,
    rng: &mut Rng,
) -> Option<(Value, String)> {
    match method {
        "eth_getLogs" => logs(answer, rng),
        "eth_call" => returned(params, answer, rng),
        "eth_getTransactionByHash" => {
            // of the calldata, the signatures: the report itself is taken from the log
            let mut input = hex::decode(answer["input"].as_str()?).ok()?;
            // three of 65 bytes, padded to 224, end it
            let place = input.len() - 224 + rng.below(195) as usize;
            input[place] ^= 1 << rng.below(8);
            Some((json!({"input": hex::encode_prefixed(&input)}), format!("calldata byte {place}")))
        }
        "getrawtransaction" => transaction(answer, rng),
        "gettxoutproof" => {
            let mut block: MerkleBlock = decode(answer)?;
            let what = header(&mut block.header, rng);
            Some((json!(consensus::encode::serialize_hex(&block)), what))
        }
        _ => {
            let mut head: Header = decode(answer)?;
            let what = header(&mut head, rng);
            Some((json!(consensus::encode::serialize_hex(&head)), what))
        }
    }
}

fn decode<T: consensus::Decodable>(answer: &Value) -> Option<T> {
    consensus::deserialize(&hex::decode(answer.as_str()?).ok()?).ok()
}

fn header(header: &mut Header, rng: &mut Rng) -> String {
    let kind = rng.below(5);
    let bit = rng.below(31) as u32;
    match kind {
        0 => header.nonce ^= 1 << bit,
        1 => header.time ^= 1 << bit,
        2 => {
            header.bits =
                bitcoin::CompactTarget::from_consensus(header.bits.to_consensus() ^ 1 << bit)
        }
        3 => header.prev_blockhash = bitcoin::hashes::Hash::all_zeros(),
        _ => header.merkle_root = bitcoin::hashes::Hash::all_zeros(),
    }
    format!("header field {kind}, bit {bit}")
}

fn transaction(answer: &Value, rng: &mut Rng) -> Option<(Value, String)> {
    let mut tx: Transaction = decode(answer)?;
    let n = rng.below(tx.output.len() as u64) as usize;
    let kind = rng.below(6);
    match kind {
        0 => {
            tx.output[n].value = Amount::from_sat(tx.output[n].value.to_sat() ^ 1 << rng.below(20))
        }
        1 => {
            let mut script = tx.output[n].script_pubkey.to_bytes();
            let place = rng.below(script.len() as u64) as usize;
            script[place] ^= 1;
            tx.output[n].script_pubkey = script.into();
        }
        2 => {
            tx.output.remove(n);
        }
        3 => tx.output.push(tx.output[n].clone()),
        4 => tx.input[0].previous_output.vout ^= 1,
        _ => tx.version = bitcoin::transaction::Version(7),
    }
    Some((
        json!(consensus::encode::serialize_hex(&tx)),
        format!("transaction field {kind} of output {n}"),
    ))
}

/// One bit of a word that a contract returned, for the calls whose every word counts.
fn returned(params: &Value, answer: &Value, rng: &mut Rng) -> Option<(Value, String)> {
    const COUNT: [[u8; 4]; 8] = [
        ITwabToken::totalSupplyCall::SELECTOR,
        ITwabToken::balanceSecondsCall::SELECTOR,
        ITwabToken::totalBalanceSecondsCall::SELECTOR,
        IEpochLedger::commitmentHashCall::SELECTOR,
        IEpochLedger::batonCall::SELECTOR,
        IEpochLedger::confirmationsCall::SELECTOR,
        IFleetOracle::reportHashCall::SELECTOR,
        IPayoutRegistry::entryAtCall::SELECTOR,
    ];
    let data = hex::decode(params[0]["data"].as_str()?).ok()?;
    if !COUNT.iter().any(|selector| data.starts_with(selector)) {
        return None;
    }
    let mut bytes = hex::decode(answer.as_str()?).ok()?;
    let (word, bit) = (rng.below(bytes.len() as u64 / 32) as usize, rng.below(7));
    bytes[word * 32 + 31] ^= 1 << bit;
    if data.starts_with(&IEpochLedger::confirmationsCall::SELECTOR) {
        // fewer confirmations than the ledger asks for is a laxer rule, and the test network has none
        bytes[31] = 200;
    }
    Some((json!(hex::encode_prefixed(&bytes)), format!("word {word}, bit {bit}")))
}

fn logs(answer: &Value, rng: &mut Rng) -> Option<(Value, String)> {
    let mut list: Vec<Log> = serde_json::from_value(answer.clone()).ok()?;
    if list.is_empty() {
        return None;
    }
    let n = rng.below(list.len() as u64) as usize;
    let log = &mut list[n];
    let topic = *log.topic0()?;
    let what = match rng.below(8) {
        0 => {
            if matters_not(&log.inner.data.topics()[0]) {
                return None;
            }
            list.remove(n);
            "removed".to_owned()
        }
        1 if log.inner.data.topics().len() > 1 => {
            let at = 1 + rng.below(log.inner.data.topics().len() as u64 - 1) as usize;
            // who paid for a signer's stake claims nothing
            if at == 2 && topic == IFleetOracle::Staked::SIGNATURE_HASH {
                return None;
            }
            let bit = rng.below(8);
            log.inner.data.topics_mut_unchecked()[at].0[31] ^= 1 << bit;
            format!("topic {at}, bit {bit}")
        }
        _ => field(log, rng)?,
    };
    Some((serde_json::to_value(&list).ok()?, format!("log {n} ({topic}): {what}")))
}

fn matters_not(topic: &alloy::primitives::B256) -> bool {
    // Without one of these nothing that is claimed is false: a series without its creation has no check of upgrades, a
    // role without its grant has fewer members.
    let granted = alloy::primitives::keccak256("RoleGranted(uint64,address,uint32,uint48,bool)");
    *topic == ISeriesRegistry::SeriesCreated::SIGNATURE_HASH || *topic == granted
}

/// One byte of a log's data, such that the event still decodes, and as another event.
fn field(log: &mut Log, rng: &mut Rng) -> Option<String> {
    let mut data = log.inner.data.data.to_vec();
    if data.is_empty() {
        return None;
    }
    let (place, bit) = (rng.below(data.len() as u64) as usize, rng.below(8));
    data[place] ^= 1 << bit;
    let mut changed = log.clone();
    changed.inner.data.data = Bytes::from(data);
    let counts = differs::<IFleetOracle::ReportPosted>(log, &changed)
        || differs::<IFleetOracle::SignerSet>(log, &changed)
        || differs::<IEpochLedger::Committed>(log, &changed)
        || differs::<IEpochLedger::PayoutProven>(log, &changed)
        || differs::<IEpochLedger::BatonSet>(log, &changed)
        || differs::<IEpochLedger::WrapperAdded>(log, &changed)
        || differs::<IPayoutRegistry::ScriptRegistered>(log, &changed)
        || differs::<IPayoutRegistry::ScriptCancelled>(log, &changed)
        || differs::<ITwabToken::Transfer>(log, &changed);
    *log = changed;
    counts.then(|| format!("data byte {place}, bit {bit}"))
}

fn differs<E: SolEvent + PartialEq>(one: &Log, two: &Log) -> bool {
    if one.topic0() != Some(&E::SIGNATURE_HASH) {
        return false;
    }
    let (one, two) = (E::decode_log_data(&one.inner.data), E::decode_log_data(&two.inner.data));
    matches!((one, two), (Ok(one), Ok(two)) if one != two)
}
