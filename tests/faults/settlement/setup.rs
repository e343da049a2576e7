//! Keys, signers and configuration of a world.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use xtask::{devnet::Devnet, paths, ports, process::Process};

use super::{PATIENCE, plain_key};

fn secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

pub(super) fn init_signer(dir: &Path, name: &str) -> String {
    let folder = dir.join(format!("signer-{name}"));
    std::fs::create_dir(&folder).unwrap();
    // a key that the tests know too, to play somebody who stole it
    let key =
        bitcoin::bip32::Xpriv::new_master(bitcoin::Network::Regtest, name.as_bytes()).unwrap();
    secret(&folder.join("key"), &key.to_string());
    secret(&plain_key(dir, name), &key.to_string());
    secret(&folder.join("passphrase"), &format!("the passphrase of {name}"));
    let output = Command::new(paths::ours("signer").unwrap())
        .args(["encrypt", "--dir"])
        .arg(&folder)
        .arg("--passphrase-file")
        .arg(folder.join("passphrase"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(super) fn vault(keys: &[String]) -> String {
    let list = |branch: u32| {
        let keys: Vec<String> = keys.iter().map(|key| format!("{key}/{branch}/*")).collect();
        format!("wsh(sortedmulti(2,{}))", keys.join(","))
    };
    format!("[vault]\nbaton = {:?}\ntreasury = {:?}\n", list(0), list(1))
}

pub(super) async fn start_signer(dir: &Path, net: &Devnet, vault: &str, name: &str) -> Process {
    let config = dir.join(format!("signer-{name}.toml"));
    let url = &net.evm.url;
    let text = format!(
        "dir = \"signer-{name}\"\npassphrase_file = \"signer-{name}/passphrase\"\nsocket = \"{name}.sock\"\nnetwork = \"regtest\"\n\
         deployment = {:?}\n[evm]\nrpc = [{url:?}, {url:?}]\n{vault}\
         [limits]\nmax_fee_sats = 50000\nmax_fee_rate = 10000\n",
        net.deployment_path
    );
    std::fs::write(&config, text).unwrap();
    let mut process = run_signer(dir, name);
    process.line("ready signer", PATIENCE).await.unwrap();
    process
}

pub(super) fn run_signer(dir: &Path, name: &str) -> Process {
    let mut command = Command::new(paths::ours("signer").unwrap());
    command.args(["run", "--config"]).arg(dir.join(format!("signer-{name}.toml")));
    Process::spawn(&format!("signer-{name}"), &mut command, dir).unwrap()
}

pub(super) fn write_config(dir: &Path, net: &Devnet, vault: &str) -> PathBuf {
    let url = &net.evm.url;
    let port = ports::any().unwrap();
    let mut text = format!(
        "database = \"settlement.sqlite\"\nlisten = \"127.0.0.1:{port}\"\nnetwork = \"regtest\"\n\
         poll_ms = 40\ndeployment = {:?}\n[evm]\nrpc = [{url:?}, {url:?}]\n\
         key_file = \"operator.key\"\n[bitcoin]\nrpc = {:?}\ncookie_file = {:?}\n\
         birthday_height = 100\nconfirmations = 6\nfunding_confirmations = 3\n{vault}\
         reserve_index = 0\nlookahead = 20\nthreshold = 2\n[policy]\nmin_pay = 10000\n\
         min_baton = 10000\ndefer_after_epochs = 3\nmax_batch_bytes = 75000\n\
         max_funding_inputs = 50\nconfirm_within_blocks = 6\nfallback_fee_rate = 2000\n\
         min_fee_rate = 1000\nmax_fee_rate = 10000\n",
        net.deployment_path, net.bitcoin.url, net.bitcoin.cookie
    );
    for name in ["a", "b", "c"] {
        text.push_str(&format!("[[signers]]\nname = {name:?}\nsocket = \"{name}.sock\"\n"));
    }
    let path = dir.join("settlement.toml");
    std::fs::write(&path, text).unwrap();
    path
}
