//! What holders are told after the court has put something right: settlement's statement and the verifier's view have the
//! same lines, and their sums are the chain's. And the verifier's lies about the court are noticed.

use alloy::primitives::Address;
use evm::bindings::IPayoutRegistry;
use serde_json::{Value, json};
use xtask::{
    devnet::{DevKey, dev_key},
    paths,
    process::Process,
};

use super::world::{POT, World};

/// The verifier's output with more arguments; whether it succeeded.
pub async fn verify(world: &World, more: &[&str]) -> (bool, Value) {
    let output = tokio::process::Command::new(paths::ours("verify").unwrap())
        .args(["--evm", &world.net.evm.url, "--bitcoin", &world.net.bitcoin.url, "--log", "warn"])
        .arg("--cookie")
        .arg(&world.net.bitcoin.cookie)
        .arg("--deployment")
        .arg(&world.net.deployment_path)
        .arg("--source")
        .arg(paths::root())
        .arg("--json")
        .args(more)
        .output()
        .await
        .unwrap();
    let told = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), told)
}

/// Roots, payouts, their place in Bitcoin and the sums are what the verifier computes from the two chains.
pub async fn money_is_right(world: &World) {
    // what has just been proven becomes final
    world.net.evm.mine(3).await.unwrap();
    let (_, told) = verify(world, &[]).await;
    let verdicts = told["report"]["verdicts"].as_array().unwrap();
    for check in [6, 7, 8, 9] {
        let verdict = verdicts.iter().find(|verdict| verdict["check"] == check).unwrap();
        assert_eq!(verdict["outcome"], "passed", "{verdict}");
    }
}

fn number(value: &Value) -> u128 {
    value.as_str().unwrap_or("0").parse().unwrap()
}

/// Credit (2^-64 sat) and sats paid that the lines add up to.
fn sums(lines: &[Value]) -> (u128, u128) {
    let (mut acc, mut paid) = (0_i128, 0_i128);
    let signed = |value: u128| i128::try_from(value).unwrap();
    for line in lines {
        if line["kind"] == "correction" {
            let counted = signed(number(&line["counted"]));
            let counted = if line["direction"] == "added" { counted } else { -counted };
            let of_credit = line["series"].as_u64().unwrap_or_default() > 0;
            *(if of_credit { &mut acc } else { &mut paid }) += counted;
            continue;
        }
        let sum = |list: &Value| match list {
            Value::Array(list) => list.iter().map(|each| number(&each["acc"])).sum(),
            one => number(one),
        };
        acc += signed(sum(&line["credit"])) - signed(sum(&line["taken"]));
        paid += signed(number(&line["payment"]["sats"])) + signed(number(&line["due"]));
    }
    (acc.try_into().unwrap(), paid.try_into().unwrap())
}

/// The one correction among the lines, without what the two tell in their own ways.
fn correction(lines: &[Value]) -> Option<Value> {
    let found: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "correction").collect();
    assert!(found.len() < 2, "{lines:?}");
    let names = ["epoch", "direction", "counted", "fault", "fault_epoch", "court_tx", "pending"];
    let line = found.first()?;
    Some(names.iter().map(|name| ((*name).to_owned(), line[*name].clone())).collect())
}

/// Both tell everybody with a leaf in `last` the same, those of `corrected` that they were corrected (and which way), and
/// all of it adds up to the root.
pub async fn told_alike(world: &World, fault: u32, last: u32, corrected: &[(Address, &str)]) {
    let root = world.root(last).await;
    let config = world.config.to_str().unwrap();
    let tree = world.cli(&["dry-run", "--config", config, "--epoch", &last.to_string()]);
    let tree: Value = serde_json::from_str(&tree).unwrap();
    let (mut acc, mut paid, mut seen) = (0, 0, 0);
    for leaf in tree["leaves"].as_array().unwrap() {
        let account = leaf["account"].as_str().unwrap();
        let ask = ["statement", "--config", config, "--account", account];
        let statement: Value = serde_json::from_str(&world.cli(&ask)).unwrap();
        let ours = statement["lines"].as_array().unwrap().clone();
        let (_, view) = verify(world, &["--account", account]).await;
        let theirs = view["statement"]["lines"].as_array().unwrap().clone();
        let own = sums(&ours);
        assert_eq!(own, sums(&theirs), "{statement} {view}");
        assert_eq!(correction(&ours), correction(&theirs), "{statement} {view}");
        (acc, paid) = (acc + own.0, paid + own.1);
        let is = |(who, _): &&(Address, &str)| account.parse() == Ok(*who);
        let expected = corrected.iter().find(is);
        assert_eq!(correction(&ours).is_some(), expected.is_some(), "{statement}");
        let (Some(line), Some((_, direction))) = (correction(&ours), expected) else { continue };
        assert_eq!(line["direction"], *direction, "{line}");
        assert_eq!((&line["fault"], &line["fault_epoch"]), (&"wrongShare".into(), &fault.into()));
        let csv = world.cli(&[&ask[..], &["--csv"]].concat());
        assert!(csv.contains(line["court_tx"].as_str().unwrap()), "{csv}");
        seen += 1;
    }
    assert_eq!(seen, corrected.len());
    assert_eq!((acc, paid), (root.accSum, u128::from(root.paidSum)), "all leaves of {last}");
}

/// A correction or an exhibit altered on its way to the verifier, or a ruling kept back, fails check 6.
pub async fn lies_about_the_court_are_noticed(world: &World) {
    let (good, told) = verify(world, &["--tamper", "6"]).await;
    let trials = told["trials"].as_array().unwrap();
    assert!(good && trials.len() == 4, "{told}");
    assert!(trials.iter().all(|trial| trial["end"]["end"] == "noticed"), "{told}");
}

/// `settlement ownership` about one account and address; whether it succeeded, and what it said.
fn ownership(world: &World, what: &str, account: Address, more: &[&str]) -> (bool, String) {
    let (config, account) = (world.config.to_str().unwrap(), account.to_string());
    let args = [&["ownership", what, "--config", config, "--account", &account], more].concat();
    let output = std::process::Command::new(paths::ours("settlement").unwrap()).args(args).output();
    let output = output.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// A proof by bitcoind's own keys: it signs the transaction that stands for the message, as it would a payment.
async fn proof(world: &World, account: Address, address: &str) -> String {
    let (good, said) = ownership(world, "message", account, &["--address", address]);
    assert!(good, "{said}");
    let ask: Value = serde_json::from_str(&said).unwrap();
    let wallet = world.net.bitcoin.wallet("boris");
    let call = json!([ask["to_sign"], ask["prevtxs"]]);
    let signed = wallet.call("signrawtransactionwithwallet", call).await.unwrap();
    assert_eq!(signed["complete"], true, "{signed}");
    signed["hex"].as_str().unwrap().to_owned()
}

fn unproven(world: &World) -> Vec<Address> {
    let list = world.cli(&["ownership", "list", "--config", world.config.to_str().unwrap()]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let each = list["unproven"].as_array().unwrap().iter();
    each.map(|one| one["account"].as_str().unwrap().parse().unwrap()).collect()
}

async fn metric(process: &Process) -> String {
    let ready = process.output().unwrap();
    let url = ready.lines().find_map(|line| line.strip_prefix("ready settlement ")).unwrap();
    let text = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    text.lines().find(|line| line.contains("scripts_unproven")).unwrap().to_owned()
}

#[tokio::test]
async fn owners_show_their_keys_and_are_paid_whether_they_do_or_not() {
    let mut world = World::start().await;
    let config = std::fs::read_to_string(&world.config).unwrap();
    let asked = "[ownership]\nabove_sat = 1000\ndir = \"ownership\"\n[policy]";
    std::fs::write(&world.config, config.replace("[policy]", asked)).unwrap();
    let (anya, boris) = (dev_key(DevKey::Anya).address(), dev_key(DevKey::Boris).address());

    // every kind of key that bitcoind has
    for kind in ["bech32", "bech32m", "p2sh-segwit", "legacy"] {
        let address = world.net.bitcoin.new_address("boris", kind).await.unwrap();
        let hex = proof(&world, boris, &address).await;
        let with = ["--address", &address, "--signature", &hex];
        let (good, said) = ownership(&world, "check", boris, &with);
        assert!(good, "{kind}: {said}");
        let (good, said) = ownership(&world, "check", anya, &with);
        assert!(!good && said.contains("not by the key"), "{kind}: {said}");
    }
    let address = world.net.bitcoin.new_address("boris", "legacy").await.unwrap();
    let (_, said) = ownership(&world, "message", boris, &["--address", &address]);
    let ask: Value = serde_json::from_str(&said).unwrap();
    let wallet = world.net.bitcoin.wallet("boris");
    let old = wallet.call("signmessage", json!([address, ask["message"]])).await.unwrap();
    let with = ["--address", &address, "--signature", old.as_str().unwrap()];
    assert!(ownership(&world, "check", boris, &with).0, "what signmessage prints");

    // Boris changes to an address of his own; from the fourth epoch on it is paid, and asked about
    let address = world.net.bitcoin.new_address("boris", "bech32").await.unwrap();
    let script = world.cli(&["script", "--network", "regtest", &address]);
    let registry = world.net.deployment.payout_registry;
    let registry = IPayoutRegistry::new(registry, world.net.evm.as_key(DevKey::Boris).unwrap());
    let bytes: alloy::primitives::Bytes = script.parse().unwrap();
    evm::land("setScript", registry.setScript(bytes, 0)).await.unwrap();
    let process = world.settle(None).await;
    for _ in 0..5 {
        let epoch = world.earn(POT).await;
        world.until_proven(epoch, &process).await;
    }
    let script = script.trim_start_matches("0x");
    assert!(world.received(script).await > 0, "paid without a proof");
    let mut both = [anya, boris];
    both.sort();
    assert_eq!(unproven(&world), both);
    assert!(metric(&process).await.ends_with(" 2"));
    let hex = proof(&world, boris, &address).await;
    let (good, said) = ownership(&world, "add", anya, &["--signature", &hex]);
    assert!(!good && said.contains("not kept"), "{said}");
    let (good, said) = ownership(&world, "add", boris, &["--signature", &hex]);
    assert!(good, "beside the running service, for the script that the registry has: {said}");
    assert_eq!(unproven(&world), [anya]);
    assert!(metric(&process).await.ends_with(" 1"));
    let said = super::court::doctor(&world.config);
    let line = said.lines().find(|line| line.contains(" payout scripts: ")).unwrap_or_default();
    assert!(line.starts_with("ok") && line.contains(&anya.to_string()), "{said}");
}
