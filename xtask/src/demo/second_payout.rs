//! A second payout of an epoch, asked for by somebody who may: the same payees at a higher fee, signed by the real signers.
//! It is what a fee bump would be, sent after the first transaction confirmed.

use std::{collections::BTreeMap, path::Path};

use bitcoin::{
    Amount, Psbt, PublicKey, Witness, consensus::encode::serialize_hex, ecdsa::Signature,
};
use eyre::{Result, bail, ensure, eyre};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

/// Sats by which the second transaction's fee is higher.
const MORE_FEE: Amount = Amount::from_sat(1_000);

/// Signs the variant with every signer in `sockets` and returns it as raw hex. `planned` is what
/// `settlement psbt --epoch N` printed.
///
/// # Errors
/// When a signer refuses or the plan does not parse.
pub async fn sign(planned: &str, sockets: &[&Path]) -> Result<String> {
    let line = planned.lines().next().ok_or_else(|| eyre!("settlement printed no PSBT"))?;
    let line: Value = serde_json::from_str(line)?;
    let hex = line["psbt"].as_str().ok_or_else(|| eyre!("no PSBT in {line}"))?;
    let mut psbt = Psbt::deserialize(&hex::decode(hex)?)?;
    let baton = psbt.unsigned_tx.output.first_mut().ok_or_else(|| eyre!("no output"))?;
    baton.value = baton.value.checked_sub(MORE_FEE).ok_or_else(|| eyre!("the baton is empty"))?;
    let unsigned = psbt.clone();
    for socket in sockets {
        for (input, signed) in psbt.inputs.iter_mut().zip(ask(socket, &line, &unsigned).await?) {
            input.partial_sigs.extend(signed);
        }
    }
    finish(psbt)
}

/// A signer's signatures, by public key, for every input.
async fn ask(
    socket: &Path,
    line: &Value,
    psbt: &Psbt,
) -> Result<Vec<BTreeMap<PublicKey, Signature>>> {
    let request = json!({"epoch": line["epoch"], "batch": line["batch"], "psbt": hex::encode(psbt.serialize())});
    let (read, mut write) = UnixStream::connect(socket).await?.into_split();
    write.write_all(format!("{request}\n").as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(read).read_line(&mut answer).await?;
    let mut answer: Value = serde_json::from_str(&answer)?;
    if let Some(refused) = answer["refused"].as_str() {
        bail!("{refused}");
    }
    Ok(serde_json::from_value(answer["signed"].take())?)
}

/// Writes the witnesses of 2-of-3 inputs: signatures in the order of their keys in the script.
fn finish(psbt: Psbt) -> Result<String> {
    let mut transaction = psbt.unsigned_tx;
    for (input, signed) in transaction.input.iter_mut().zip(psbt.inputs) {
        let script = signed.witness_script.ok_or_else(|| eyre!("no witness script"))?;
        let mut signatures: Vec<(usize, Vec<u8>)> = Vec::new();
        for (key, signature) in signed.partial_sigs {
            let key = key.to_bytes();
            let place = script.as_bytes().windows(key.len()).position(|part| part == key);
            signatures.push((place.ok_or_else(|| eyre!("a stranger's key"))?, signature.to_vec()));
        }
        ensure!(signatures.len() == 2, "{} signatures of two", signatures.len());
        signatures.sort();
        let mut witness = Witness::new();
        witness.push([]);
        for (_, signature) in signatures {
            witness.push(signature);
        }
        witness.push(script.as_bytes());
        input.witness = witness;
    }
    Ok(serialize_hex(&transaction))
}
