//! The control's payer: no baton, whichever coins come first.

use bitcoin::{
    ScriptBuf, Transaction, TxIn, TxOut, Witness, absolute::LockTime, transaction::Version,
};
use settlement::rim::Bitcoin;

use super::rim::SimBitcoin;

/// A payment from whichever coins come first, with change, and 2,000 sat of fee.
pub(super) fn from_any_coins(
    node: &SimBitcoin,
    mut output: Vec<TxOut>,
    need: u64,
    script_pubkey: ScriptBuf,
) -> Option<Transaction> {
    let (mut input, mut have) = (Vec::new(), 0);
    for found in node.coins(1) {
        let previous_output = found.coin.outpoint;
        input.push(TxIn { previous_output, witness: Witness::new(), ..TxIn::default() });
        have += found.coin.output.value.to_sat();
        if have >= need + 3_000 {
            let value = bitcoin::Amount::from_sat(have - need - 2_000);
            output.push(TxOut { value, script_pubkey });
            let (version, lock_time) = (Version::TWO, LockTime::ZERO);
            return Some(Transaction { version, lock_time, input, output });
        }
    }
    None
}
