//! One block into the database, in one transaction.

use alloy::{consensus::Transaction, providers::Provider, rpc::types::Log};
use evm::{BlockRef, DynProvider};

use crate::{
    Error,
    derive::{self, Inputs, Sources},
    store::{Store, writer::BlockWriter},
};

/// Calldata of the transactions whose events do not say everything.
pub(super) async fn fetch_inputs(provider: &DynProvider, logs: &[Log]) -> Result<Inputs, Error> {
    let mut inputs = Inputs::new();
    for hash in Sources::wanted_inputs(logs) {
        let answer = provider.get_transaction_by_hash(hash).await;
        let fail = |why: String| evm::Error::Rpc { doing: format!("transaction {hash}"), why };
        let transaction = answer.map_err(|error| fail(error.to_string()))?;
        let transaction = transaction.ok_or_else(|| {
            fail("the node has its log and not the transaction; it may lag".into())
        })?;
        inputs.insert(hash, transaction.input().clone());
    }
    Ok(inputs)
}

/// Block row, raw logs, derived rows and their inverses: all or nothing.
pub(crate) async fn apply(
    store: &Store,
    sources: &Sources,
    block: BlockRef,
    logs: &[Log],
    inputs: &Inputs,
) -> Result<(), Error> {
    let mut transaction = store.write().await?;
    let mut writer = BlockWriter::begin(&mut transaction, block, logs).await?;
    for log in logs {
        derive::apply(&mut writer, sources, log, inputs).await?;
    }
    Ok(transaction.commit().await?)
}
