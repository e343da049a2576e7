//! What people do beside the running service: pause and resume by two, sign by file, read the books.

use serde_json::{Value, json};
use xtask::devnet::{DevKey, dev_key, write_key};

use super::{
    check_paid_once,
    desk::plain_key,
    world::{POT, World},
};

/// What the running service tells a monitor.
pub async fn gauges(url: &str) -> String {
    reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap()
}

/// One operator's word goes into the folder that settlement reads.
fn order(world: &World, who: DevKey, action: &str) {
    let (key, config) = (world.dir.join("person.key"), world.config.to_str().unwrap());
    write_key(who, &key).unwrap();
    let args =
        ["order", "--config", config, "--action", action, "--key-file", key.to_str().unwrap()];
    let word = world.cli(&args);
    let name = format!("{}-{action}.json", dev_key(who).address());
    std::fs::create_dir_all(world.dir.join("orders")).unwrap();
    std::fs::write(world.dir.join("orders").join(name), word).unwrap();
}

#[tokio::test]
async fn two_people_pause_and_resume_and_one_does_not() {
    let mut world = World::start().await;
    let [anya, boris] = [DevKey::Anya, DevKey::Boris].map(|who| dev_key(who).address());
    let text = std::fs::read_to_string(&world.config).unwrap();
    let orders =
        format!("[orders]\ndir = \"orders\"\noperators = [\"{anya}\", \"{boris}\"]\n[[signers]]");
    std::fs::write(&world.config, text.replacen("[[signers]]", &orders, 1)).unwrap();
    let process = world.settle(None).await;
    let ready = process.output().unwrap();
    let url = ready.lines().find_map(|line| line.strip_prefix("ready settlement ")).unwrap();
    order(&world, DevKey::Anya, "pause");
    for _ in 0..10 {
        world.tick().await;
    }
    assert!(gauges(url).await.contains("settlement_paused 0"), "one person alone");
    order(&world, DevKey::Boris, "pause");
    for _ in 0..20 {
        world.tick().await;
    }
    let text = gauges(url).await;
    assert!(text.contains("settlement_paused 1") && text.contains("settlement_bonded"), "{text}");
    let epoch = world.earn(POT).await;
    for _ in 0..60 {
        world.tick().await;
    }
    assert_eq!(world.status(epoch)["state"], "planned", "nothing new is signed");
    order(&world, DevKey::Boris, "resume");
    for _ in 0..20 {
        world.tick().await;
    }
    assert_eq!(world.status(epoch)["state"], "planned", "one person alone");
    order(&world, DevKey::Anya, "resume");
    world.until_proven(epoch, &process).await;
    check_paid_once(&world, epoch, 1).await;
    let config = world.config.to_str().unwrap();
    let books = world.cli(&["ledger", "--config", config, "--epoch", &epoch.to_string()]);
    let books: Value = serde_json::from_str(&books).unwrap();
    let of = |name: &str| books["figures"][name].as_i64().unwrap();
    let given = books["opening_payables"].as_i64().unwrap() + of("pots");
    assert_eq!(given, of("paid") + of("owed") + books["residue"].as_i64().unwrap(), "{books}");
    assert_eq!(of("pots"), i64::try_from(POT).unwrap());
    assert_eq!(process.output().unwrap().matches("do not add up").count(), 0);
}

/// The bitcoin node's own wallet with one of the three keys: a co-signer that no line of ours is in.
async fn cold_wallet(world: &World) -> xtask::rpc::Rpc {
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let keys = ["a", "b", "c"].map(|name| {
        let text = std::fs::read_to_string(plain_key(&world.dir, name)).unwrap();
        let key: bitcoin::bip32::Xpriv = text.parse().unwrap();
        if name == "c" { text } else { bitcoin::bip32::Xpub::from_priv(&secp, &key).to_string() }
    });
    let make = json!(["cold", false, true, "", false, true]);
    world.net.bitcoin.call("createwallet", make).await.unwrap();
    let wallet = world.net.bitcoin.wallet("cold");
    for branch in 0..2 {
        let all: Vec<String> = keys.iter().map(|key| format!("{key}/{branch}/*")).collect();
        let descriptor = format!("wsh(sortedmulti(2,{}))", all.join(","));
        let info = wallet.call("getdescriptorinfo", json!([descriptor])).await.unwrap();
        let descriptor = format!("{descriptor}#{}", info["checksum"].as_str().unwrap());
        // the first payout spends the first baton, at index 0
        let import = json!([[{"desc": descriptor, "timestamp": "now", "range": [0, 5]}]]);
        let done = wallet.call("importdescriptors", import).await.unwrap();
        assert_eq!(done[0]["success"], true, "{done}");
    }
    wallet
}

#[tokio::test]
async fn a_co_signer_off_the_network_signs_by_file() {
    let mut world = World::start().await;
    world.stop_signer(1);
    world.stop_signer(2);
    let epoch = world.earn(POT).await;
    let process = world.settle(None).await;
    for _ in 0..60 {
        world.tick().await;
    }
    assert_eq!(world.status(epoch)["state"], "planned", "one signature is not enough");
    let (config, number) = (world.config.to_str().unwrap(), epoch.to_string());
    let dir = world.dir.join("stick");
    let args = ["psbt-export", "--config", config, "--epoch", &number, "--dir"];
    let path = world.cli(&[&args[..], &[dir.to_str().unwrap()]].concat());
    let unsigned = std::fs::read_to_string(&path).unwrap();
    let import = |file: &str| {
        std::process::Command::new(xtask::paths::ours("settlement").unwrap())
            .args(["psbt-import", "--config", config, "--epoch", &number, file])
            .output()
            .unwrap()
    };
    let refused = import(&path);
    assert!(!refused.status.success(), "it is not signed");
    let wallet = cold_wallet(&world).await;
    let signed = wallet.call("walletprocesspsbt", json!([unsigned.trim()])).await.unwrap();
    let back = dir.join("signed.psbt");
    std::fs::write(&back, signed["psbt"].as_str().unwrap()).unwrap();
    let taken = import(back.to_str().unwrap());
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    world.until_proven(epoch, &process).await;
    check_paid_once(&world, epoch, 1).await;
}
