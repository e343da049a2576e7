//! Somebody who holds the keys, or the socket, and wants more: variants of a payout, signed without the signers' rules,
//! and requests that honest settlement would not make.

use bitcoin::{
    Amount, EcdsaSighashType, Psbt, PublicKey, ScriptBuf, Transaction, TxOut, Witness,
    bip32::{ChildNumber, Xpriv},
    ecdsa::Signature,
    opcodes::all::OP_CHECKMULTISIG,
    script::Builder,
    secp256k1::{All, Message, Secp256k1},
    sighash::SighashCache,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use super::{desk::plain_key, world::World};

/// The same payees from the same baton with one sat less of fee, signed with the keys of signers a and b.
pub async fn cheaper_variant(world: &World, paid: &Transaction) -> Transaction {
    let mut variant = paid.clone();
    variant.output[0].value += Amount::ONE_SAT;
    let secp = Secp256k1::new();
    let keys = ["a", "b", "c"].map(|name| {
        let path = plain_key(&world.dir, name);
        std::fs::read_to_string(path).unwrap().trim().parse::<Xpriv>().unwrap()
    });
    for position in 0..variant.input.len() {
        let spent = output(world, &variant, position).await;
        let (script, pairs) = find(&secp, &keys, world, &spent.script_pubkey);
        let hash = SighashCache::new(&variant)
            .p2wsh_signature_hash(position, &script, spent.value, EcdsaSighashType::All)
            .unwrap();
        let message = Message::from(hash);
        let mut witness = Witness::new();
        witness.push([]);
        // two of three, in the order of their public keys
        for (_, key) in pairs.iter().take(2) {
            let signature = secp.sign_ecdsa(&message, &key.private_key);
            witness.push(Signature::sighash_all(signature).to_vec());
        }
        witness.push(script.as_bytes());
        variant.input[position].witness = witness;
    }
    variant
}

/// Witness script and keys, by public key, of one of our outputs.
fn find(
    secp: &Secp256k1<All>,
    keys: &[Xpriv; 3],
    world: &World,
    script_pubkey: &ScriptBuf,
) -> (ScriptBuf, Vec<(PublicKey, Xpriv)>) {
    let epochs = (world.net.deployment.first_epoch.0..world.next).map(|epoch| (0, epoch));
    for (branch, index) in [(1, 1), (0, 0)].into_iter().chain(epochs) {
        let path = [ChildNumber::from(branch), ChildNumber::from(index)];
        let mut pairs: Vec<(PublicKey, Xpriv)> = keys
            .iter()
            .map(|key| {
                let key = key.derive_priv(secp, &path).unwrap();
                (PublicKey::new(key.private_key.public_key(secp)), key)
            })
            .collect();
        pairs.sort_by_key(|(public, _)| public.to_bytes());
        let mut script = Builder::new().push_int(2);
        for (public, _) in &pairs {
            script = script.push_key(public);
        }
        let script = script.push_int(3).push_opcode(OP_CHECKMULTISIG).into_script();
        if script.to_p2wsh() == *script_pubkey {
            return (script, pairs);
        }
    }
    panic!("not one of our scripts: {script_pubkey}");
}

async fn output(world: &World, tx: &Transaction, position: usize) -> TxOut {
    let place = tx.input[position].previous_output;
    transaction(world, &place.txid.to_string()).await.output[place.vout as usize].clone()
}

async fn transaction(world: &World, txid: &str) -> Transaction {
    let raw = world.net.bitcoin.call("getrawtransaction", json!([txid])).await.unwrap();
    bitcoin::consensus::deserialize(&hex::decode(raw.as_str().unwrap()).unwrap()).unwrap()
}

pub async fn broadcast(world: &World, tx: &Transaction) -> eyre::Result<Value> {
    let raw = bitcoin::consensus::encode::serialize_hex(tx);
    world.net.bitcoin.call("sendrawtransaction", json!([raw, 0])).await
}

/// The PSBT that settlement would send to a signer for the only batch of a planned epoch.
pub fn planned_psbt(world: &World, epoch: u32) -> Psbt {
    let config = world.config.to_str().unwrap();
    let line = world.cli(&["psbt", "--config", config, "--epoch", &epoch.to_string()]);
    let line: Value = serde_json::from_str(&line).unwrap();
    Psbt::deserialize(&hex::decode(line["psbt"].as_str().unwrap()).unwrap()).unwrap()
}

/// The same transaction with another first input.
pub fn other_input(honest: &Psbt) -> Psbt {
    let mut other = honest.clone();
    other.unsigned_tx.input[0].previous_output.vout ^= 1;
    other
}

/// Asks signer a.
pub async fn ask(world: &World, epoch: u32, batch: u16, psbt: &Psbt) -> Value {
    let (read, mut write) =
        UnixStream::connect(world.dir.join("a.sock")).await.unwrap().into_split();
    let hex = hex::encode(psbt.serialize());
    let mut line = json!({ "epoch": epoch, "batch": batch, "psbt": hex }).to_string();
    line.push('\n');
    write.write_all(line.as_bytes()).await.unwrap();
    let mut answer = String::new();
    BufReader::new(read).read_line(&mut answer).await.unwrap();
    serde_json::from_str(&answer).unwrap()
}
