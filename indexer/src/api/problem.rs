//! Errors as callers see them: RFC 9457, with a stable `code` and a sentence that says what to do.

use axum::{
    Json,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// What is wrong and how to put it right.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    fix: String,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { status, code, detail: detail.into(), fix: fix.into() }
    }

    /// The caller sent something that cannot be right.
    pub(super) fn bad(
        code: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail, fix)
    }

    pub(super) fn not_found(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail, fix)
    }

    pub(super) fn nothing_indexed() -> Self {
        let detail = "no block is indexed yet";
        let fix = "wait until GET /health/ready answers 200";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail, fix)
    }

    pub(super) fn node(why: impl std::fmt::Display) -> Self {
        let fix = "try again; if it lasts, the operator's EVM node is down";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "node_unavailable", why.to_string(), fix)
    }

    /// The stable code, for tests.
    #[cfg(test)]
    pub(super) fn code(&self) -> &'static str {
        self.code
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
            "fix": self.fix,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, kind, Json(body).into_response().into_body()).into_response()
    }
}

impl From<crate::Error> for Problem {
    fn from(error: crate::Error) -> Self {
        tracing::error!(%error, "request failed");
        let fix = "this is our fault: report it with the time of the request";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the index could not be read", fix)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        crate::Error::from(error).into()
    }
}

pub(super) async fn no_such_path(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no {}", uri.path()), "see the README for the API's paths")
}
