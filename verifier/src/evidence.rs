//! Published evidence: the switching journal, from a folder or over HTTP.

use std::path::PathBuf;

use domain::{
    Production,
    journal::{Head, Line},
};

use crate::Error;

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

    /// The journal as bytes: one line of JSON a record.
    ///
    /// # Errors
    /// When it is missing or does not answer.
    pub async fn fetch(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join("journal.jsonl");
                std::fs::read(&path).map_err(|error| Error::file(&path, error))
            }
            Self::Url(url) => fetch_pages(url).await,
        }
    }
}

async fn fetch_pages(url: &str) -> Result<Vec<u8>, Error> {
    let http = reqwest::Client::new();
    let (mut bytes, mut from) = (Vec::new(), 0_usize);
    loop {
        let page = format!("{url}/journal?from={from}&limit={PAGE}");
        let fail = |why: String| Error::Node { who: page.clone(), doing: "journal".into(), why };
        let answer = http.get(&page).send().await.map_err(|error| fail(error.to_string()))?;
        let text = answer.text().await.map_err(|error| fail(error.to_string()))?;
        let lines = lines_of(&text).map_err(fail)?;
        if lines.is_empty() {
            return Ok(bytes);
        }
        from = from.saturating_add(lines.len());
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
    }
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
        let mut broken = false;
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
                Ok(record) => evidence.records.push(record),
                Err(error) => evidence.faults.push(error.to_string()),
            }
        }
        evidence
    }
}
