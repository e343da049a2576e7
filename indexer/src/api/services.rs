//! What other services say of themselves, passed on with their word's limits: it is a statement, not chain data.

use std::time::Duration;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;

use super::{Answer, App, Shared};

/// A service that takes longer is shown as down.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
pub(super) struct Fleet {
    /// The switching service's `/status`, null when it is down.
    fleet: Option<Value>,
    /// Why it is null.
    why: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Conversion {
    /// The conversion service's `/status`, null when it is down.
    conversion: Option<Value>,
    /// Why it is null.
    why: Option<String>,
}

pub(super) async fn fleet(State(app): Shared) -> Answer<Fleet> {
    let (fleet, why) = ask(&app, app.fleet_url.as_deref(), "switching").await;
    app.snapshot().await?.reply(Fleet { fleet, why })
}

pub(super) async fn conversion(State(app): Shared) -> Answer<Conversion> {
    let (conversion, why) = ask(&app, app.conversion_url.as_deref(), "conversion").await;
    app.snapshot().await?.reply(Conversion { conversion, why })
}

async fn ask(app: &App, base: Option<&str>, name: &str) -> (Option<Value>, Option<String>) {
    let Some(base) = base else {
        return (None, Some(format!("no address of the {name} service is configured")));
    };
    let url = format!("{}/status", base.trim_end_matches('/'));
    let answer = app.http.get(url).timeout(PATIENCE).send().await;
    let answer = match answer.and_then(reqwest::Response::error_for_status) {
        Ok(answer) => answer.json().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(status) => (Some(status), None),
        Err(error) => {
            tracing::debug!(%error, name, "service does not answer");
            (None, Some(format!("the {name} service does not answer")))
        }
    }
}
