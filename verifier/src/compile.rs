//! This source, compiled again, to compare with the code on chain.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use alloy::primitives::{B256, Keccak256, hex};
use serde::Deserialize;

use crate::Error;

/// Where npm puts forge.
const FORGE: &str = "node_modules/@foundry-rs/forge-linux-amd64/bin/forge";

/// Runtime code of one contract as compiled, with the places that the constructor fills in.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Runtime code with zeros where immutables go.
    pub code: Vec<u8>,
    /// Byte ranges of immutables, ascending.
    pub immutables: Vec<(usize, usize)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    deployed_bytecode: Option<Deployed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deployed {
    object: String,
    #[serde(default)]
    immutable_references: BTreeMap<String, Vec<Range>>,
}

#[derive(Clone, Copy, Deserialize)]
struct Range {
    start: usize,
    length: usize,
}

/// Compiles the contracts of the source in `root`, or reads what an earlier run compiled from the same bytes.
/// `Ok(Err(why))` when the tools for it are not there.
///
/// # Errors
/// When the source cannot be read or does not compile.
pub async fn compile(
    root: &Path,
    names: &[&str],
) -> Result<Result<BTreeMap<String, Compiled>, String>, Error> {
    let forge = root.join(FORGE);
    if !root.join("foundry.toml").is_file() {
        return Ok(Err(format!(
            "{} holds no foundry.toml; name the source by --source",
            root.display()
        )));
    }
    if !forge.is_file() {
        return Ok(Err(format!("{FORGE} is not in {}; run `npm ci` there", root.display())));
    }
    // forge finds its compiler by the folder it runs in, so every path is absolute
    let root = &root.canonicalize().map_err(|error| Error::file(root, error))?;
    let forge = root.join(FORGE);
    let scratch = root.join("cache/verify").join(source_hash(root)?.to_string());
    let out = scratch.join("out");
    if !scratch.join("done").is_file() {
        tracing::info!("compiling the contracts again; this takes a minute or two");
        let run = tokio::process::Command::new(&forge)
            .current_dir(root)
            .args(["build", "contracts", "scripts/deploy", "--out"])
            .arg(&out)
            .arg("--cache-path")
            .arg(scratch.join("cache"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| Error::file(&forge, error))?;
        if !run.status.success() {
            let words = String::from_utf8_lossy(&run.stderr).into_owned();
            return Err(Error::file(&forge, words));
        }
        std::fs::write(scratch.join("done"), "").map_err(|error| Error::file(&scratch, error))?;
    }
    let mut compiled = BTreeMap::new();
    for name in names {
        compiled.insert((*name).to_owned(), read_artifact(&out, name)?);
    }
    Ok(Ok(compiled))
}

fn read_artifact(out: &Path, name: &str) -> Result<Compiled, Error> {
    let path = out.join(format!("{name}.sol/{name}.json"));
    let text = std::fs::read_to_string(&path).map_err(|error| Error::file(&path, error))?;
    let artifact: Artifact =
        serde_json::from_str(&text).map_err(|error| Error::file(&path, error))?;
    let deployed = artifact
        .deployed_bytecode
        .ok_or_else(|| Error::file(&path, "the artifact has no runtime code"))?;
    let code = hex::decode(&deployed.object).map_err(|error| Error::file(&path, error))?;
    let mut immutables: Vec<(usize, usize)> = deployed
        .immutable_references
        .values()
        .flatten()
        .map(|range| (range.start, range.start.saturating_add(range.length)))
        .collect();
    immutables.sort_unstable();
    Ok(Compiled { code, immutables })
}

/// Hash over the names and bytes of everything that the compiler reads.
fn source_hash(root: &Path) -> Result<B256, Error> {
    let mut files: Vec<PathBuf> =
        ["foundry.toml", "package-lock.json", "scripts/solc"].map(PathBuf::from).to_vec();
    for folder in ["contracts", "scripts/deploy"] {
        collect(root, Path::new(folder), &mut files)?;
    }
    files.sort();
    let mut hasher = Keccak256::new();
    for file in files {
        let path = root.join(&file);
        let Ok(bytes) = std::fs::read(&path) else { continue };
        hasher.update(file.display().to_string().as_bytes());
        hasher.update(bytes.len().to_be_bytes());
        hasher.update(&bytes);
    }
    Ok(hasher.finalize())
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let path = root.join(folder);
    let fail = |error: std::io::Error| Error::file(&path, error);
    for entry in std::fs::read_dir(&path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = folder.join(entry.file_name());
        if entry.file_type().map_err(fail)?.is_dir() {
            collect(root, &name, files)?;
        } else {
            files.push(name);
        }
    }
    Ok(())
}

impl Compiled {
    /// Whether `code` is this contract's, whatever the constructor filled in.
    #[must_use]
    pub fn matches(&self, code: &[u8]) -> bool {
        if code.len() != self.code.len() {
            return false;
        }
        let mut masked = code.to_vec();
        for (start, end) in &self.immutables {
            if let (Some(hole), Some(zeros)) =
                (masked.get_mut(*start..*end), self.code.get(*start..*end))
            {
                hole.copy_from_slice(zeros);
            }
        }
        masked == self.code
    }

    /// The immutables of deployed code, as 32-byte words.
    #[must_use]
    pub fn words(&self, code: &[u8]) -> Vec<B256> {
        self.immutables
            .iter()
            .filter_map(|(start, end)| B256::try_from(code.get(*start..*end)?).ok())
            .collect()
    }
}
