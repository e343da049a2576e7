//! What holders are told after the court has put something right: settlement's statement and the verifier's view have the
//! same lines, and their sums are the chain's. And the verifier's lies about the court are noticed.

use alloy::primitives::Address;
use serde_json::Value;
use xtask::paths;

use super::world::World;

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
    let root = world.ledger().rootOf(last).call().await.unwrap();
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
