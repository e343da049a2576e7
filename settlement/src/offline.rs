//! PSBT files for co-signers that are on no socket: a hardware wallet, a cold machine. Out as base64 files that any wallet
//! reads; back in after every signature has been checked, into a folder that settlement looks into when it collects
//! signatures.

use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use bitcoin::{Psbt, Txid};
use domain::EpochId;

use crate::{config::Config, error::Error, export, psbt};

fn fail(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::File { path: path.display().to_string(), why: why.to_string() }
}

/// Writes the unsigned PSBTs of a planned epoch to `dir`, one file a transaction; returns their paths. Those of a dearer
/// variant that waits for signatures have its txid in their name.
///
/// # Errors
/// When the epoch is not planned, or a file cannot be written.
pub async fn export(config: &Config, epoch: EpochId, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(dir).map_err(|error| fail(dir, error))?;
    let mut paths = Vec::new();
    for request in export::psbts(config, epoch).await? {
        let unsigned = psbt::from_hex(&request.psbt)?;
        let name = format!("epoch-{}-batch-{}", request.epoch, request.batch);
        let mut path = dir.join(format!("{name}.psbt"));
        if paths.contains(&path) {
            // a dearer variant
            path = dir.join(format!("{name}-{}.psbt", unsigned.unsigned_tx.compute_txid()));
        }
        whole(&path, &unsigned.to_string())?;
        paths.push(path);
    }
    Ok(paths)
}

/// Takes in a file that a co-signer has signed: its signatures are checked against the planned transaction. Returns the
/// transaction that they are for.
///
/// # Errors
/// When it is of no transaction of the epoch, or a signature is missing or wrong.
pub async fn import(config: &Config, epoch: EpochId, file: &Path) -> Result<Txid, Error> {
    let signed = read(file)?;
    for request in export::psbts(config, epoch).await? {
        let mut unsigned = psbt::from_hex(&request.psbt)?;
        if unsigned.unsigned_tx != signed.unsigned_tx {
            continue;
        }
        psbt::merge_signed(&mut unsigned, &signed)?;
        let txid = unsigned.unsigned_tx.compute_txid();
        std::fs::create_dir_all(&config.psbt_dir).map_err(|e| fail(&config.psbt_dir, e))?;
        let text = unsigned.to_string();
        let mark = alloy::primitives::keccak256(&text);
        let mark: String = alloy::hex::encode(mark).chars().take(16).collect();
        whole(&config.psbt_dir.join(format!("{txid}-{mark}.psbt")), &text)?;
        return Ok(txid);
    }
    Err(fail(file, format!("it is of no transaction that epoch {epoch} is planned to be paid by")))
}

/// What co-signers have handed in for a transaction.
pub(crate) fn handed_in(dir: &Path, txid: Txid) -> Vec<Psbt> {
    let prefix = format!("{txid}-");
    let Ok(files) = std::fs::read_dir(dir) else { return Vec::new() };
    let named = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(&prefix))
    };
    let mut paths: Vec<PathBuf> =
        files.filter_map(Result::ok).map(|file| file.path()).filter(named).collect();
    paths.sort();
    paths.iter().filter_map(|path| read(path).ok()).collect()
}

/// A PSBT file: base64 or raw.
fn read(path: &Path) -> Result<Psbt, Error> {
    let bytes = std::fs::read(path).map_err(|error| fail(path, error))?;
    let text = std::str::from_utf8(&bytes).map(str::trim);
    match text.ok().and_then(|text| Psbt::from_str(text).ok()) {
        Some(psbt) => Ok(psbt),
        None => Psbt::deserialize(&bytes).map_err(|error| fail(path, format!("no PSBT: {error}"))),
    }
}

/// Writes a file whole or not at all.
pub(crate) fn whole(path: &Path, text: &str) -> Result<(), Error> {
    let new = path.with_extension("new");
    let file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
    let mut file = file.map_err(|error| fail(path, error))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&new, path))
        .map_err(|error| fail(path, error))
}
