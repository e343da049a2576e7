//! Which Bitcoin script an account is paid to, and from which epoch.

use evm::bindings::IPayoutRegistry::IPayoutRegistryEvents as Event;

use super::At;
use crate::{
    Error,
    store::{
        table::{Cell, PAYOUT_SCRIPTS},
        writer::BlockWriter,
    },
};

pub(super) async fn apply(writer: &mut BlockWriter<'_>, at: At, event: Event) -> Result<(), Error> {
    match event {
        Event::ScriptRegistered(registered) => {
            let row = vec![
                ("account", Cell::hex(registered.account)),
                ("from_epoch", registered.fromEpoch.into()),
                ("script", hex::encode(&registered.script).into()),
                ("minimum", Cell::int(registered.minimum)),
                ("block", Cell::int(at.block)),
                ("txid", Cell::hex(at.txid)),
            ];
            writer.put(&PAYOUT_SCRIPTS, row).await
        }
        Event::ScriptCancelled(cancelled) => {
            let key = [Cell::hex(cancelled.account), cancelled.fromEpoch.into()];
            writer.delete(&PAYOUT_SCRIPTS, &key).await
        }
    }
}
