//! How the pool can be told to misbehave.

use std::time::Duration;

use eyre::{Result, eyre};

/// The pool's present behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// An honest pool.
    None,
    /// Every share is refused with error 20 and not paid.
    RejectAll,
    /// Connections are closed at once, new ones after their first line.
    DropConnections,
    /// Connections stay open; nothing is answered or sent.
    Stall,
    /// A line that is not JSON goes out before each message.
    Garbage,
    /// Answers to `mining.submit` come late.
    SlowReply(Duration),
    /// Connections are closed; new subscriptions get an extranonce2 of 1 byte.
    WrongExtranonceSize,
    /// Each connection gets a new extranonce1 by `mining.set_extranonce`.
    SetExtranonce,
    /// Port closed and connections gone for so long, then honest again.
    Disappear(Duration),
    /// Statements show 10 % more than was earned.
    InflateStatement,
}

impl Mode {
    /// Parses `reject_all`, `slow_reply_ms:300` and so on.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (name, number) = text.split_once(':').unwrap_or((text, ""));
        let time = || -> Result<Duration> { Ok(Duration::from_millis(number.parse()?)) };
        Ok(match name {
            "none" => Self::None,
            "reject_all" => Self::RejectAll,
            "drop_connections" => Self::DropConnections,
            "stall" => Self::Stall,
            "garbage" => Self::Garbage,
            "slow_reply_ms" => Self::SlowReply(time()?),
            "wrong_extranonce_size" => Self::WrongExtranonceSize,
            "set_extranonce" => Self::SetExtranonce,
            "disappear_ms" => Self::Disappear(time()?),
            "inflate_statement" => Self::InflateStatement,
            _ => return Err(eyre!("unknown mode {text:?}")),
        })
    }

    /// Whether connections open at the change to this mode must close.
    pub(crate) fn closes(self) -> bool {
        matches!(self, Self::DropConnections | Self::WrongExtranonceSize | Self::Disappear(_))
    }
}
