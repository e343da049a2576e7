//! The derived tables, and values of their cells.

use serde_json::Value as Json;

/// A derived table: only these are written while a block is applied, and only these are undone.
#[derive(Debug)]
pub(crate) struct Table {
    /// Name in SQL.
    pub(crate) name: &'static str,
    /// Columns of the primary key, in order.
    pub(crate) key: &'static [&'static str],
    /// All other columns.
    pub(crate) rest: &'static [&'static str],
}

macro_rules! tables {
    ($($constant:ident = $name:literal [$($key:literal),+] [$($rest:literal),*];)+) => {
        $(pub(crate) const $constant: Table = Table { name: $name, key: &[$($key),+], rest: &[$($rest),*] };)+
        /// Every derived table.
        pub(crate) const DERIVED: &[&Table] = &[$(&$constant),+];
    };
}

tables! {
    SERIES = "series" ["id"] ["unit", "algorithm", "generation", "hashrate_per_unit", "millijoule_per_terahash",
        "service_date", "opex_per_unit", "policy", "model", "name", "symbol", "backed_units", "machines",
        "last_machine_root", "unbacked"];
    MACHINE_BATCHES = "machine_batches" ["series", "nonce"]
        ["machines", "units", "machine_root", "evidence", "block", "txid"];
    UPGRADES = "upgrades" ["series", "nonce"] ["state", "funder", "vendor", "retired_root", "machine_root", "generation",
        "model", "machines", "hashrate", "millijoule_per_terahash", "service_date", "opex_per_unit", "price", "arrived",
        "carried", "evidence", "ready_at", "hashrate_per_unit_before", "hashrate_per_unit_after", "remainder", "block",
        "txid"];
    DUPLICATE_SERIALS = "duplicate_serials" ["block", "log_index"] ["root_a", "root_b", "machine", "penalty", "txid"];
    HOLDERS = "holders" ["token", "account"] ["balance", "since"];
    CHECKPOINTS = "checkpoints" ["token", "account", "timestamp"] ["cumulative", "balance"];
    TRADES = "trades" ["block", "log_index"] ["timestamp", "series", "venue", "side", "maker", "taker", "base",
        "quote", "units", "quote_amount", "order_hash", "txid"];
    ORDER_STATES = "order_states" ["hash"] ["maker", "filled", "cancelled"];
    CANCELLED_GROUPS = "cancelled_groups" ["maker", "group_id"] ["block"];
    MAKER_EPOCHS = "maker_epochs" ["maker"] ["epoch", "block"];
    POOL_EVENTS = "pool_events" ["block", "log_index"]
        ["timestamp", "series", "kind", "account", "units", "quote", "shares", "epoch", "txid"];
    POOL_EPOCHS = "pool_epochs" ["series", "epoch"] ["cash", "inventory", "shares"];
    TICKETS = "tickets" ["series", "ticket"] ["owner", "units", "settled_units", "quote", "taken_back"];
    QUEUE_CLAIMS = "queue_claims" ["block", "log_index"] ["series", "owner", "recipient", "quote", "txid"];
    REPORTS = "reports" ["epoch", "round"] ["gap", "by_quorum", "hash", "prev_hash", "config_digest", "quote_per_btc",
        "quote_spread", "observed_at", "evidence_root", "signers", "block", "timestamp", "txid"];
    REPORT_RECEIPTS = "report_receipts" ["epoch", "round", "position"] ["txid", "vout", "sats"];
    REPORT_SERIES = "report_series" ["epoch", "round", "series"]
        ["work", "live_hashrate", "hardware_price", "deductions"];
    REPORT_PIECES = "report_pieces" ["epoch", "round", "series", "work_epoch"] ["sats"];
    SIGNER_SETS = "signer_sets" ["block", "log_index"] ["signers", "quorum", "config_digest"];
    STAKE_EVENTS = "stake_events" ["block", "log_index"]
        ["timestamp", "signer", "kind", "amount", "epoch", "round", "txid"];
    VALUATION_REPORTS = "valuation_reports" ["epoch"] ["round", "hash", "after_report", "quote_per_btc",
        "quote_spread", "observed_at", "block", "timestamp", "txid"];
    VALUATIONS = "valuations" ["series", "epoch"] ["schedule", "hardware", "discounted", "raw", "published",
        "previous", "quote_per_btc", "block"];
    VALUE_PARAMS = "value_params" ["series"]
        ["initial_value", "scrap_ppm", "decay_ppm", "discount_ppm", "life_epochs"];
    PAYOUT_SCRIPTS = "payout_scripts" ["account", "from_epoch"] ["script", "minimum", "block", "txid"];
    COMMITMENTS = "commitments" ["epoch"] ["root_hash", "acc_sum", "paid_sum", "accounts", "min_pay", "fee_rate",
        "anchor_height", "anchor_hash", "deferred", "funding", "total", "block", "timestamp", "txid"];
    PAYOUT_BATCHES = "payout_batches" ["epoch", "batch"] ["outputs_hash", "total"];
    PAYOUT_PROOFS = "payout_proofs" ["epoch", "batch"]
        ["bitcoin_txid", "bitcoin_block", "block", "timestamp", "txid"];
    PAYOUT_OUTPUTS = "payout_outputs" ["epoch", "batch", "vout"] ["script", "sats"];
    WRAPPERS = "wrappers" ["series", "wrapper"] ["share_token", "first_loss", "block"];
    BATONS = "batons" ["block", "log_index"] ["bitcoin_txid", "vout"];
    COURT_FAULTS = "court_faults" ["block", "log_index"]
        ["timestamp", "fault", "epoch", "account", "challenger", "txid"];
    COURT_CORRECTIONS = "court_corrections" ["block", "log_index"]
        ["timestamp", "epoch", "account", "series", "change", "txid"];
    COURT_PENALTIES = "court_penalties" ["block", "log_index"]
        ["timestamp", "pool", "amount", "to_challenger", "txid"];
    COURT_DEMANDS = "court_demands" ["account", "epoch"]
        ["asked_by", "asked_at", "state", "changed_at", "txid"];
    COURT_BOND = "court_bond" ["name"] ["held", "leaving", "leaving_from"];
    POSTED_ORDERS = "posted_orders" ["hash"] ["series", "maker", "taker", "base", "quote", "side", "base_amount",
        "quote_amount", "expiry", "group_id", "salt", "signature", "received_at"];
}

impl Table {
    /// The table of that name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        DERIVED.iter().copied().find(|table| table.name == name)
    }

    /// `a = ? and b = ?` over the key.
    pub(crate) fn key_matches(&self) -> String {
        self.key.iter().map(|c| format!("{c} = ?")).collect::<Vec<_>>().join(" and ")
    }

    /// `'a', a, 'b', b` over all columns, for `json_object`.
    pub(crate) fn as_json(&self) -> String {
        let columns = self.key.iter().chain(self.rest);
        columns.map(|c| format!("'{c}', {c}")).collect::<Vec<_>>().join(", ")
    }
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Fits 63 bits.
    Int(i64),
    /// Text, hex or a large integer in decimal.
    Text(String),
    /// Nothing.
    Null,
}

impl Cell {
    /// As it stands in the undo journal.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Int(value) => Json::from(*value),
            Self::Text(text) => Json::from(text.as_str()),
            Self::Null => Json::Null,
        }
    }

    /// The inverse of [`Cell::to_json`].
    pub(crate) fn from_json(json: &Json) -> Self {
        match json {
            Json::String(text) => Self::Text(text.clone()),
            Json::Number(number) => number.as_i64().map_or(Self::Null, Self::Int),
            _ => Self::Null,
        }
    }

    /// A number that may not fit 63 bits: its decimal digits as text.
    pub(crate) fn decimal(value: impl std::fmt::Display) -> Self {
        Self::Text(value.to_string())
    }

    /// An address or hash in lower-case hex with 0x.
    pub(crate) fn hex(value: impl std::fmt::LowerHex) -> Self {
        Self::Text(format!("{value:#x}"))
    }

    /// Sats, seconds, heights. Above 2^63 (far past all bitcoin) the largest number stands in, so that no log, however
    /// absurd, stops the index; the raw log keeps the truth.
    pub(crate) fn int(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

macro_rules! small {
    ($($from:ty),+) => { $(impl From<$from> for Cell {
        fn from(value: $from) -> Self { Self::Int(i64::from(value)) }
    })+ };
}
small!(u8, u16, u32, bool);

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
