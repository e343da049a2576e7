//! Published evidence: the switching journal, from a folder or over HTTP.

use std::{collections::BTreeMap, path::PathBuf};

use alloy::primitives::{B256, keccak256};
use domain::{
    EpochId, Production,
    journal::{Head, Line},
};

use crate::{Error, cache::Cache};

/// Lines asked for at once over HTTP.
const PAGE: usize = 1_000;

/// Where evidence is published.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder with `journal.jsonl`.
    Folder(PathBuf),
    /// A base URL that answers `/journal?from=N&limit=M`.
    Url(String),
}

impl Source {
    /// A folder or URL as given on the command line.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.starts_with("http://") || text.starts_with("https://") {
            Self::Url(text.trim_end_matches('/').to_owned())
        } else {
            Self::Folder(PathBuf::from(text))
        }
    }

    /// The journal as bytes: one line of JSON a record. Pages that were kept are used as far as their lines are one chain
    /// of hashes and its end is what is published at that place now.
    ///
    /// # Errors
    /// When it is missing or does not answer.
    pub async fn fetch(&self, kept: Option<&Cache>) -> Result<Vec<u8>, Error> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join("journal.jsonl");
                std::fs::read(&path).map_err(|error| Error::file(&path, error))
            }
            Self::Url(url) => fetch_pages(url, kept).await,
        }
    }
}

async fn fetch_pages(url: &str, kept: Option<&Cache>) -> Result<Vec<u8>, Error> {
    let http = reqwest::Client::new();
    let mut lines = match kept {
        Some(kept) => kept_pages(&http, url, kept).await?,
        None => Vec::new(),
    };
    loop {
        let from = lines.len();
        let page = page(&http, url, from, PAGE).await?;
        if page.is_empty() {
            break;
        }
        if let (Some(kept), Ok(bytes)) = (kept, serde_json::to_vec(&page)) {
            kept.put("journal", &name(url, from), &bytes);
        }
        lines.extend(page);
    }
    Ok(lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect())
}

async fn page(
    http: &reqwest::Client,
    url: &str,
    from: usize,
    limit: usize,
) -> Result<Vec<String>, Error> {
    let page = format!("{url}/journal?from={from}&limit={limit}");
    let fail = |why: String| Error::Node { who: page.clone(), doing: "journal".into(), why };
    let answer = http.get(&page).send().await.map_err(|error| fail(error.to_string()))?;
    let text = answer.text().await.map_err(|error| fail(error.to_string()))?;
    lines_of(&text).map_err(fail)
}

fn name(url: &str, from: usize) -> Vec<u8> {
    format!("{url} {from}").into_bytes()
}

/// Lines of pages that were read before: a chain by their hashes, whose last line is published at its place now.
async fn kept_pages(http: &reqwest::Client, url: &str, kept: &Cache) -> Result<Vec<String>, Error> {
    let (mut lines, mut head): (Vec<String>, _) = (Vec::new(), Head::default());
    while let Some(bytes) = kept.get("journal", &name(url, lines.len())) {
        let page: Vec<String> = serde_json::from_slice(&bytes).unwrap_or_default();
        let follows = |text: &String| {
            let line = serde_json::from_str::<Line>(text);
            line.is_ok_and(|line| head.follow(&line).is_ok())
        };
        if page.is_empty() || !page.iter().all(follows) {
            kept.distrust("journal");
            return Ok(Vec::new());
        }
        lines.extend(page);
    }
    let Some(last) = lines.len().checked_sub(1) else { return Ok(lines) };
    let now = page(http, url, last, 1).await?;
    if now.first() == lines.last() {
        return Ok(lines);
    }
    tracing::warn!(line = last, "the published journal has changed: it is read again");
    Ok(Vec::new())
}

/// A page is lines of JSON, an array of records, or an object with such an array under `lines`.
fn lines_of(text: &str) -> Result<Vec<String>, String> {
    let raw = |text: &str| -> Result<Vec<String>, String> {
        let list: Vec<Box<serde_json::value::RawValue>> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(list.iter().map(|line| line.get().to_owned()).collect())
    };
    let start = text.trim_start();
    if start.starts_with('[') {
        return raw(start);
    }
    #[derive(serde::Deserialize)]
    struct Page {
        lines: Box<serde_json::value::RawValue>,
    }
    if let Ok(page) = serde_json::from_str::<Page>(start) {
        return raw(page.lines.get());
    }
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

/// The journal, parsed.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Hashes of the journal's lines by epoch: of each line the newest epoch that it or one before it is about.
    pub heads: BTreeMap<u32, Vec<B256>>,
    /// Lines and the records in them.
    pub records: Vec<Production>,
    /// End of the chain as far as it holds.
    pub head: Head,
    /// Where the chain breaks or a line is no record.
    pub faults: Vec<String>,
}

impl Evidence {
    /// Reads journal bytes. Broken lines are faults, not errors: the rest is still compared.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut evidence = Self::default();
        let (mut broken, mut newest) = (false, 0);
        for (number, text) in String::from_utf8_lossy(bytes).lines().enumerate() {
            if text.trim().is_empty() {
                continue;
            }
            let line: Line = match serde_json::from_str(text) {
                Ok(line) => line,
                Err(error) => {
                    evidence.faults.push(format!("journal line {number} is no line: {error}"));
                    continue;
                }
            };
            if !broken && let Err(error) = evidence.head.follow(&line) {
                evidence.faults.push(error.to_string());
                broken = true;
            }
            match line.record::<Production>() {
                Ok(record) => {
                    newest = newest.max(epoch_of(&record));
                    evidence.heads.entry(newest).or_default().push(line.hash);
                    evidence.records.push(record);
                }
                Err(error) => evidence.faults.push(error.to_string()),
            }
        }
        evidence
    }
}

fn epoch_of(record: &Production) -> u32 {
    match record {
        Production::Work { epoch, .. } => epoch.0,
        Production::Started { time }
        | Production::MachineJoined { time, .. }
        | Production::MachineLeft { time, .. }
        | Production::VenueUp { time, .. }
        | Production::VenueDown { time, .. }
        | Production::Switched { time, .. }
        | Production::Tagged { time, .. }
        | Production::Share { time, .. } => EpochId::at(*time).0,
    }
}

impl Evidence {
    /// Whether `root` is the evidence root of a report that names the journal alone, as it stood at any line of the
    /// epoch: signers read it before its last lines may have come.
    #[must_use]
    pub fn journal_root(&self, epoch: u32, root: B256) -> bool {
        let heads = self.heads.range(..=epoch).next_back().map(|(_, heads)| heads.as_slice());
        let leaf = |hash: &B256| keccak256([b"journal\0", hash.as_slice()].concat());
        heads.unwrap_or_default().iter().any(|hash| leaf(hash) == root)
    }
}
