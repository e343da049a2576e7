//! Settlement's arithmetic against the contracts' own, on a real EVM node: credit on random worlds, and headers across
//! a real change of difficulty, with the `bitcoin` crate as the third opinion.
#![allow(clippy::as_conversions, reason = "tests may")]

use std::collections::BTreeMap;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol,
    sol_types::SolValue,
};
use bitcoin::{block::Header, consensus::deserialize};
use domain::{EpochId, SeriesId};
use evm::{Deployment, DynProvider, bindings::IBitcoinRelay};
use serde::Deserialize;
use settlement::{
    allocate::{Cut, Terms, allocate},
    chain::Chain,
    error::Error,
    relay::{self, Headers},
    snapshot::Snapshots,
};
use tests::{
    payday::{Payday, who},
    report,
};
use xtask::{
    devnet::{DevKey, Devnet, Options},
    paths,
};

sol! {
    #[sol(rpc)]
    interface ICredit {
        function creditOf(uint32 epoch, uint16 series, address account, bytes report) external view returns (uint256);
    }
}

/// splitmix64: small, and the same everywhere.
struct Rng(u64);

impl Rng {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }
}

const PEOPLE: [DevKey; 4] = [DevKey::Anya, DevKey::Boris, DevKey::Lena, DevKey::FirstLoss];

/// A few random transfers, each some seconds after the one before.
async fn trade(day: &Payday, rng: &mut Rng, times: u64) {
    for _ in 0..times {
        day.net.evm.advance(1 + rng.below(4_000)).await.unwrap();
        let from = [DevKey::Anya, DevKey::Boris][rng.below(2) as usize];
        let to = who(PEOPLE[rng.below(4) as usize]);
        day.send(from, to, rng.below(3)).await.unwrap();
    }
}

#[tokio::test]
async fn settlement_credits_what_the_courts_rule_credits_on_random_worlds() {
    let dir = tempfile::tempdir().unwrap();
    let net = Devnet::start(dir.path(), Options::default()).await.unwrap();
    let first = net.deployment.first_epoch.0;
    let mut day = Payday::start(net).await.unwrap();
    let mut rng = Rng(47);
    day.buy(DevKey::Anya, 30).await.unwrap();
    day.send(DevKey::Anya, who(DevKey::Boris), 14).await.unwrap();
    day.deposit(DevKey::Lena, 2_000_000_000).await.unwrap();
    let mut compared = 0;
    for epoch in first + 1..first + 9 {
        if epoch == first + 3 {
            day.leave(DevKey::Anya).await.unwrap();
        }
        trade(&day, &mut rng, 4).await;
        report::enter_epoch(&day.net, epoch + 1).await.unwrap();
        day.receive(5_000_000).await.unwrap();
        let older = rng.below(1_000_000);
        let pieces = [(epoch - 1, 1 + older), (epoch, 1 + rng.below(3_000_000))];
        day.report(epoch, &pieces).await.unwrap();
        day.net.evm.mine(3).await.unwrap();
        compared += compare(&day, epoch).await;
    }
    assert!(compared >= 25, "{compared} credits above zero were compared");
}

/// Every account's credit by `allocate` and by `CreditRule`; returns how many were above zero.
async fn compare(day: &Payday, epoch: u32) -> usize {
    let deployment: Deployment = day.net.deployment.clone();
    let urls = [day.net.evm.url.clone(), day.net.evm.url.clone()];
    let chain = Chain::connect(&urls, deployment.clone()).await.unwrap();
    let at = chain.finalized().await.unwrap();
    let posted = chain.report(EpochId(epoch), &at).await.unwrap().unwrap();
    let encoded: Bytes = posted.body.clone().unwrap().abi_encode().into();
    let snapshots = Snapshots::new(chain.clone());
    let world = snapshots.world(EpochId(epoch), &at, &posted, Vec::new()).await.unwrap();
    let terms = Terms { min_pay: 0, defer: true, cut: Cut::MaxBytes(1_000) };
    let ours: BTreeMap<Address, u128> = allocate(&world, &terms)
        .unwrap()
        .leaves
        .iter()
        .map(|leaf| (leaf.account, leaf.acc.iter().map(|entry| entry.acc).sum()))
        .collect();
    let rule = ICredit::new(deployment.credit_rule, chain.reader().clone());
    let series = &deployment.series[0];
    let mut accounts: Vec<Address> = PEOPLE.map(who).to_vec();
    accounts.extend([deployment.primary_sale, series.pool, series.queue, Address::repeat_byte(9)]);
    accounts.extend(ours.keys());
    accounts.sort_unstable();
    accounts.dedup();
    for account in &accounts {
        let theirs = rule.creditOf(epoch, SeriesId(1).0, *account, encoded.clone()).call().await;
        let own = ours.get(account).copied().unwrap_or_default();
        assert_eq!(U256::from(own), theirs.unwrap(), "{account} in epoch {epoch}");
    }
    ours.len()
}

/// The main network's headers that the vectors hold; its tip is the last of them.
struct Mainnet(BTreeMap<u64, Header>);

impl Mainnet {
    fn read() -> Self {
        #[derive(Deserialize)]
        struct Vector {
            height: u64,
            header: String,
        }
        let text = std::fs::read_to_string(paths::root().join("tests/vectors/headers.json"));
        let list: Vec<Vector> = serde_json::from_str(&text.unwrap()).unwrap();
        let header = |v: Vector| (v.height, deserialize(&hex::decode(v.header).unwrap()).unwrap());
        Self(list.into_iter().map(header).collect())
    }

    fn bytes(&self, heights: std::ops::RangeInclusive<u64>) -> Vec<u8> {
        heights.flat_map(|h| bitcoin::consensus::serialize(&self.0[&h])).collect()
    }
}

impl Headers for Mainnet {
    async fn header(&self, height: u64) -> Result<Header, Error> {
        self.0.get(&height).copied().ok_or_else(|| Error::Config(format!("no header {height}")))
    }

    async fn tip(&self) -> Result<u64, Error> {
        Ok(*self.0.keys().last().unwrap())
    }
}

/// A relay that retargets, anchored at block 403,200 of the main network.
async fn deploy(net: &Devnet, real: &Mainnet) -> IBitcoinRelay::IBitcoinRelayInstance<DynProvider> {
    let path = paths::root().join("out/BitcoinRelay.sol/BitcoinRelay.json");
    let artifact: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut code: Vec<u8> =
        hex::decode(artifact["bytecode"]["object"].as_str().unwrap().trim_start_matches("0x"))
            .unwrap();
    let limit = U256::from(0xffff) << 208_usize;
    let anchor = Bytes::from(real.bytes(403_200..=403_200));
    let arguments = (limit, false, U256::from(2), U256::from(403_200), anchor);
    code.extend(arguments.abi_encode_params());
    let sender = net.evm.as_key(DevKey::Relayer).unwrap();
    let request = TransactionRequest::default().with_deploy_code(code);
    let receipt = sender.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    IBitcoinRelay::new(receipt.contract_address.unwrap(), sender)
}

#[tokio::test]
async fn the_relay_is_shown_a_real_retarget_and_takes_what_was_selected() {
    let dir = tempfile::tempdir().unwrap();
    let net = Devnet::start(dir.path(), Options::default()).await.unwrap();
    let real = Mainnet::read();
    let relay = deploy(&net, &real).await;
    for _ in 0..2 {
        // the second time there is nothing to do
        let unit = relay::follow(&relay, &real).await.unwrap();
        assert_eq!(unit, relay::work_of(&real.0[&405_216]));
    }
    assert_eq!(relay.newestPeriod().call().await.unwrap(), U256::from(201));
    let unit = relay::work_of(&real.0[&405_216]);
    for first in 405_214..=405_217_u64 {
        let run: Vec<Header> = real.0.range(first..).map(|(_, header)| *header).collect();
        for confirmations in 1..=4 {
            let Some(count) = relay::enough(&run, unit, confirmations) else {
                let all = relay.checkHeaders(real.bytes(first..=405_217).into()).call().await;
                assert!(all.unwrap().count < U256::from(confirmations), "from {first}");
                continue;
            };
            let found = |count: u64| {
                let bytes = real.bytes(first..=first + count - 1);
                let relay = relay.clone();
                async move { relay.checkHeaders(bytes.into()).call().await.unwrap().count }
            };
            let count = count as u64;
            assert!(found(count).await >= U256::from(confirmations), "from {first}");
            if count > 1 {
                assert!(found(count - 1).await < U256::from(confirmations), "one fewer, {first}");
            }
        }
    }
    agrees_with_the_bitcoin_crate(&relay, &real).await;
}

/// The four real headers with bits flipped: the relay takes what the `bitcoin` crate takes.
async fn agrees_with_the_bitcoin_crate(
    relay: &IBitcoinRelay::IBitcoinRelayInstance<DynProvider>,
    real: &Mainnet,
) {
    let (old, new) = (real.0[&405_214].bits, real.0[&405_216].bits);
    let boundary = real.0[&405_216].block_hash();
    let good = |headers: &[Header]| {
        let worked = headers.iter().all(|header| header.validate_pow(header.target()).is_ok());
        let linked = headers.windows(2).all(|two| two[1].prev_blockhash == two[0].block_hash());
        let start = headers[0].bits == old || headers[0].bits == new;
        let changes = headers.windows(2).all(|two| {
            two[0].bits == two[1].bits || (two[1].bits == new && two[1].block_hash() == boundary)
        });
        worked && linked && start && changes
    };
    let mut rng = Rng(49);
    let mut taken = 0;
    for round in 0..120_u64 {
        let first = 405_214 + rng.below(4);
        let last = first + rng.below(405_218 - first);
        let mut bytes = real.bytes(first..=last);
        if round % 4 > 0 {
            let place = rng.below(bytes.len() as u64 * 8) as usize;
            bytes[place / 8] ^= 1 << (place % 8);
        }
        let headers: Vec<Header> =
            bytes.chunks(80).map(|header| deserialize(header).unwrap()).collect();
        let theirs = relay.checkHeaders(bytes.into()).call().await.is_ok();
        assert_eq!(theirs, good(&headers), "round {round}, {first} to {last}");
        taken += u32::from(theirs);
    }
    assert!(taken >= 30, "{taken} runs of real headers were taken");
}
