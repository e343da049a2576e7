//! Logs of a range of blocks, all of them, whatever the node's limits.

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};

use crate::Error;

/// Blocks asked for at once.
const RANGE: u64 = 2_000;

/// Every log of `addresses` in blocks `from..=to`, in chain order; with `topic`, only that event. Ranges that the node
/// refuses are halved down to single blocks.
///
/// # Errors
/// When the node refuses a single block.
pub async fn logs_between(
    provider: &impl Provider,
    addresses: &[Address],
    topic: Option<B256>,
    from: u64,
    to: u64,
) -> Result<Vec<Log>, Error> {
    let mut all = Vec::new();
    let (mut start, mut span) = (from, RANGE);
    while start <= to {
        let end = to.min(start.saturating_add(span.saturating_sub(1)));
        let mut filter = Filter::new().address(addresses.to_vec()).from_block(start).to_block(end);
        if let Some(topic) = topic {
            filter = filter.event_signature(topic);
        }
        match provider.get_logs(&filter).await {
            Ok(logs) => {
                all.extend(logs);
                start = end.saturating_add(1);
                span = RANGE.min(span.saturating_mul(2));
            }
            Err(_) if span > 1 => span /= 2,
            Err(error) => return Err(Error::rpc(format!("logs of block {start}"), error)),
        }
    }
    Ok(all)
}

/// Decodes those logs that are event `E`; others are left out.
///
/// # Errors
/// When a log has the event's topic and does not decode.
pub fn decoded<E: SolEvent>(logs: &[Log]) -> Result<Vec<(E, &Log)>, Error> {
    logs.iter()
        .filter(|log| log.topic0() == Some(&E::SIGNATURE_HASH))
        .map(|log| match E::decode_log(&log.inner) {
            Ok(event) => Ok((event.data, log)),
            Err(error) => Err(Error::Log {
                block: log.block_number.unwrap_or_default(),
                index: log.log_index.unwrap_or_default(),
                why: error.to_string(),
            }),
        })
        .collect()
}
