//! Plans on made-up coins: form, sums, determinism, and the size estimate against really signed transactions.

use bitcoin::{
    Network, Txid,
    bip32::{Xpriv, Xpub},
    hashes::Hash,
    secp256k1::Secp256k1,
};

use super::*;
use crate::psbt;

/// Three signing keys and the vault over them.
pub(crate) fn vault() -> (Vec<Xpriv>, Vault) {
    let secp = Secp256k1::new();
    let keys: Vec<Xpriv> =
        (1_u8..=3).map(|n| Xpriv::new_master(Network::Regtest, &[n; 32]).unwrap()).collect();
    let list = |branch: u32| {
        let keys = keys.iter().map(|key| format!("{}/{branch}/*", Xpub::from_priv(&secp, key)));
        format!("wsh(sortedmulti(2,{}))", keys.collect::<Vec<_>>().join(","))
    };
    let vault = Vault::parse(&list(0), &list(1), Network::Regtest).unwrap();
    (keys, vault)
}

/// A transaction that creates one output of ours, and the coin.
pub(crate) fn coin(
    vault: &Vault,
    keychain: Keychain,
    index: u32,
    sats: u64,
) -> (Transaction, Coin) {
    let script_pubkey = vault.script(keychain, index).unwrap();
    let output = TxOut { value: Amount::from_sat(sats), script_pubkey };
    let source = Coin {
        outpoint: OutPoint { txid: Txid::from_byte_array([9; 32]), vout: index },
        output: output.clone(),
        keychain,
        index,
    };
    let tx = unsigned(&[source], vec![output.clone()]);
    let outpoint = OutPoint { txid: tx.compute_txid(), vout: 0 };
    (tx, Coin { outpoint, output, keychain, index })
}

pub(crate) fn payees(count: u8, sats: u64) -> Vec<TxOut> {
    let script = |n: u8| ScriptBuf::from_bytes([&[0x00, 0x14], [n; 20].as_slice()].concat());
    let output = |n| TxOut { value: Amount::from_sat(sats), script_pubkey: script(n) };
    (0..count).map(output).collect()
}

fn order(vault: &Vault, batches: Vec<Vec<TxOut>>) -> (Vec<KnownTx>, Order) {
    let (baton_tx, baton) = coin(vault, Keychain::Baton, GENESIS, 500_000);
    let (funding_tx, funding) = coin(vault, Keychain::Treasury, 7, 2_000_000);
    let order = Order {
        epoch: 62_000,
        root: B256::repeat_byte(5),
        fee_rate: 1_500,
        baton,
        funding: vec![funding],
        batches,
    };
    (vec![baton_tx.into(), funding_tx.into()], order)
}

/// A one-batch transaction, and those it spends.
pub(crate) fn planned(vault: &Vault) -> (PlannedTx, Vec<KnownTx>) {
    let (previous, order) = order(vault, vec![payees(2, 30_000)]);
    (super::plan(vault, &order, 10_000).unwrap().txs.remove(0), previous)
}

const GENESIS: u32 = crate::vault::GENESIS_BATON;

fn sign(vault: &Vault, keys: &[Xpriv], planned: &PlannedTx, previous: &[KnownTx]) -> Transaction {
    let secp = Secp256k1::new();
    let mut psbt = psbt::build(vault, &planned.tx, &planned.coins, previous).unwrap();
    for key in keys.iter().take(2) {
        psbt.sign(key, &secp).unwrap();
    }
    psbt::finalise(psbt).unwrap()
}

#[test]
fn one_batch_is_one_transaction_and_its_fee_is_exact() {
    let (keys, vault) = vault();
    let (previous, order) = order(&vault, vec![payees(20, 30_000)]);
    let plan = super::plan(&vault, &order, 10_000).unwrap();
    assert_eq!(plan, super::plan(&vault, &order, 10_000).unwrap());
    let [planned] = plan.txs.as_slice() else { panic!("{plan:?}") };
    assert_eq!(planned.tx.output[0].script_pubkey, vault.script(Keychain::Baton, 62_000).unwrap());
    assert_eq!(planned.tx.output[1].script_pubkey, encode::marker(62_000, 0, &order.root));
    assert_eq!(planned.tx.output[2..], order.batches[0]);
    let vsize = signed_vsize_ceil(&vault, planned).unwrap();
    let outputs: u64 = planned.tx.output.iter().map(|o| o.value.to_sat()).sum();
    assert_eq!(2_500_000 - outputs, (vsize * 1_500).div_ceil(1_000));
    let signed = sign(&vault, &keys, planned, &previous);
    assert_eq!(signed.compute_txid(), planned.tx.compute_txid());
    let real = u64::try_from(signed.vsize()).unwrap();
    assert!(real <= vsize && vsize - real <= 4, "estimated {vsize}, really {real}");
}

#[test]
fn several_batches_fan_out_and_each_chunk_pays_its_own_fee() {
    let (keys, vault) = vault();
    let batches = vec![payees(3, 30_000), payees(2, 40_000), payees(1, 50_000)];
    let (mut previous, order) = order(&vault, batches);
    let plan = super::plan(&vault, &order, 10_000).unwrap();
    let [root, chunks @ ..] = plan.txs.as_slice() else { panic!("{plan:?}") };
    assert_eq!((root.batch, chunks.len(), root.tx.output.len()), (ROOT_BATCH, 3, 5));
    previous.push(root.tx.clone());
    for (chunk, number) in chunks.iter().zip(0_u16..) {
        assert_eq!(chunk.batch, number);
        let vout = 2 + u32::from(number);
        let from = OutPoint { txid: root.tx.compute_txid(), vout };
        assert_eq!(chunk.tx.input[0].previous_output, from);
        assert_eq!(chunk.tx.output[0].script_pubkey, encode::marker(62_000, number, &order.root));
        assert_eq!(chunk.tx.output[1..], order.batches[usize::from(number)]);
        let value = root.tx.output[usize::from(number) + 2].value.to_sat();
        let paid: u64 = chunk.tx.output.iter().map(|o| o.value.to_sat()).sum();
        let vsize = signed_vsize_ceil(&vault, chunk).unwrap();
        assert_eq!(value - paid, (vsize * 1_500).div_ceil(1_000));
        sign(&vault, &keys, chunk, &previous);
    }
    sign(&vault, &keys, root, &previous);
}

#[test]
fn short_coins_and_heavy_batches_are_refused() {
    let (_, vault) = vault();
    let (_, mut order) = order(&vault, vec![payees(20, 200_000)]);
    let error = super::plan(&vault, &order, 10_000).unwrap_err();
    assert!(matches!(error, PlanError::Short { have: 2_500_000, .. }), "{error}");
    order.batches = vec![(0..17).flat_map(|_| payees(200, 300)).collect()];
    let error = super::plan(&vault, &order, 10_000).unwrap_err();
    assert!(matches!(error, PlanError::TooHeavy { batch: 0, .. }), "{error}");
    order.batches = Vec::new();
    assert!(matches!(super::plan(&vault, &order, 0), Err(PlanError::Nothing(62_000))));
}

#[test]
fn descriptors_of_another_network_or_kind_are_refused() {
    let (_, vault) = vault();
    let text = |keychain| vault.descriptor(keychain).to_string();
    let (baton, treasury) = (text(Keychain::Baton), text(Keychain::Treasury));
    let error = |baton: &str, treasury: &str, network| {
        Vault::parse(baton, treasury, network).unwrap_err().to_string()
    };
    assert!(error(&baton, &treasury, Network::Bitcoin).contains("network bitcoin"));
    assert!(error(&baton, &baton, Network::Regtest).contains("same"));
    let fixed = treasury.split('#').next().unwrap().replace("/*", "/5");
    assert!(error(&baton, &fixed, Network::Regtest).contains("/*"));
    assert!(error("tr(x)", &treasury, Network::Regtest).contains("baton"));
}
