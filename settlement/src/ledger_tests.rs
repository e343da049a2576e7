//! Random histories of blocks, reorgs, signatures, fee bumps and confirmations: the books always add up, doing anything
//! twice changes nothing, and a missing sat is noticed. One suite on SQLite and on PostgreSQL.

use std::ops::Range;

use alloy::primitives::{Address, B256};
use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, TxOut, Txid, hashes::Hash};
use domain::{EpochId, Root, Sats, SeriesAcc, SeriesId};
use evm::bindings::IEpochLedger;
use proptest::prelude::*;

use super::*;
use crate::{
    allocate::{Batch, Payment, Piece},
    database::{Database, tests::Cluster},
    error::Error,
    known::KnownTx,
    plan::{
        Order, Plan, plan,
        tests::{coin, vault},
    },
    state::{Confirmed, Intent, Planned, Signed, State},
    store::{BitcoinNews, Store},
    variant::Variant,
    vault::{Coin, Keychain, Vault},
};

#[path = "ledger_unknown_tests.rs"]
mod unknown;

/// What can have been committed, for the books' check.
const ENDED: Range<EpochId> = EpochId(1_000)..EpochId(1_010);

/// Epochs of one payee each, driven by hand.
struct Story {
    store: Store,
    vault: Vault,
    height: u32,
    epoch: u32,
    baton: Coin,
    owed: u64,
    /// Blocks are told apart by how many there were.
    blocks: u32,
}

fn hash(number: u32) -> [u8; 32] {
    keccak256(number.to_be_bytes()).0
}

impl Story {
    async fn start(database: &Database) -> Self {
        let (_, vault) = vault();
        let store = Store::open(database).await.unwrap();
        let output = TxOut {
            value: Amount::from_sat(1_000_000),
            script_pubkey: vault.script(Keychain::Baton, 0).unwrap(),
        };
        let outpoint = OutPoint { txid: Txid::from_byte_array(hash(0)), vout: 0 };
        let baton = Coin { outpoint, output, keychain: Keychain::Baton, index: 0 };
        let mut story = Self {
            store,
            vault,
            height: 100,
            epoch: 1_000,
            baton: baton.clone(),
            owed: 0,
            blocks: 0,
        };
        story.block(vec![received(baton, true)], false).await;
        story
    }

    async fn block(&mut self, txs: Vec<TxMoves>, rewinds: bool) {
        self.blocks += 1;
        self.height += u32::from(!rewinds);
        let block = BlockHash::from_byte_array(hash(self.blocks));
        let moves = vec![BlockMoves { height: self.height, block, rewinds, txs }];
        self.store.put_news(&BitcoinNews { moves, ..BitcoinNews::default() }).await.unwrap();
    }

    /// Allocates and plans an epoch that distributes `pot` of which `paid` goes out.
    async fn plan(&mut self, pot: u64, paid: u64, rate: u64) -> (Planned, Coin) {
        self.epoch += 1;
        self.blocks += 1;
        let outpoint = OutPoint { txid: Txid::from_byte_array(hash(self.blocks)), vout: 1 };
        let script_pubkey = self.vault.script(Keychain::Treasury, 1).unwrap();
        let output = TxOut { value: Amount::from_sat(pot + 100), script_pubkey };
        let coin = Coin { outpoint, output, keychain: Keychain::Treasury, index: 1 };
        self.block(vec![received(coin.clone(), false)], false).await;
        let planned = self.planned(paid, rate, &coin);
        self.owed += pot - paid;
        let figures = Figures {
            pots: i64::try_from(pot).unwrap(),
            deductions: 100,
            corrections: 0,
            paid: i64::try_from(paid).unwrap(),
            owed: i64::try_from(self.owed).unwrap(),
            accounts: 5,
        };
        let (epoch, state) = (EpochId(self.epoch), State::Committed(planned.intent.clone()));
        self.store.put_leaves(epoch, &state, &[], &figures).await.unwrap();
        let state = State::Planned(planned.clone());
        self.store.put_plan(epoch, &state).await.unwrap();
        (planned, coin)
    }

    fn planned(&self, paid: u64, fee_rate: u64, coin: &Coin) -> Planned {
        let script = ScriptBuf::from_bytes([&[0x00, 0x14], [7; 20].as_slice()].concat());
        let output = TxOut { value: Amount::from_sat(paid), script_pubkey: script };
        let payment = Payment { account: Address::ZERO, output };
        let batch = Batch { outputs_hash: B256::ZERO, total: paid, payments: [payment].into() };
        let order = Order {
            epoch: self.epoch,
            root: B256::repeat_byte(1),
            fee_rate,
            baton: self.baton.clone(),
            funding: vec![coin.clone()],
            batches: vec![batch.outputs()],
        };
        let plan: Plan = plan(&self.vault, &order, 330).unwrap();
        let commitment = IEpochLedger::Commitment { epoch: self.epoch, ..empty() };
        let intent = Intent::new(&commitment, vec![batch], 0);
        let creator = plan.txs[0].tx.clone();
        Planned { intent, creator, plan, tip: 0, others: vec![] }
    }

    async fn put(&self, state: State) {
        self.store.put_state(EpochId(self.epoch), &state).await.unwrap();
        // a retry of the same write books nothing more
        let before = self.store.balances().await.unwrap();
        self.store.put_state(EpochId(self.epoch), &state).await.unwrap();
        assert_eq!(self.store.balances().await.unwrap(), before);
        self.store.audit_books().await.unwrap();
        // on disk it is what it is in memory, under its name of now
        let (epoch, kept) = (EpochId(self.epoch), Some(state));
        assert_eq!(self.store.stored(epoch).await.unwrap(), kept);
        assert_eq!(self.store.state(epoch).await.unwrap(), kept);
    }

    async fn balance(&self, account: Account) -> i64 {
        self.store.balances().await.unwrap()[&account].credit()
    }
}

fn empty() -> IEpochLedger::Commitment {
    let root = Root::default();
    IEpochLedger::Commitment {
        epoch: 0,
        root: IEpochLedger::Root { hash: root.hash, accSum: 0, paidSum: 0 },
        accounts: 1,
        minPay: 0,
        feeRate: 0,
        anchorHeight: 0,
        anchorHash: B256::ZERO,
        funding: vec![],
        defer: false,
        batches: vec![],
    }
}

fn received(coin: Coin, reserve: bool) -> TxMoves {
    let txid = coin.outpoint.txid;
    let born = vec![Born { coin, reserve }];
    TxMoves { txid, spends: vec![], born, paid: 0, fee: 0, brought: 0 }
}

fn mined(planned: &Planned) -> TxMoves {
    let tx = &planned.plan.txs[0];
    TxMoves {
        txid: tx.tx.compute_txid(),
        spends: tx.coins.iter().map(|coin| coin.outpoint).collect(),
        born: vec![Born { coin: planned.plan.baton.clone(), reserve: false }],
        paid: planned.intent.batches[0].total,
        fee: tx.fee().unwrap(),
        brought: 0,
    }
}

fn variant(planned: &Planned, txs: Vec<KnownTx>) -> Variant {
    let (plan, creator) = (planned.plan.clone(), planned.creator.clone());
    Variant { plan, creator, txs, tip: 0 }
}

fn signed(planned: &Planned) -> Signed {
    let txs = planned.plan.txs.iter().map(|tx| tx.tx.clone()).collect();
    Signed { planned: planned.clone(), txs }
}

#[derive(Clone, Debug)]
struct Life {
    pot: u64,
    /// Parts in 100 of the pot that are paid.
    paid: u64,
    /// Signed, and taken back to the plan.
    replanned: bool,
    /// A second variant at a higher fee, and whether the first one wins all the same.
    bumped: Option<bool>,
    /// A reorg takes the block out before or after confirmation.
    reorg: Option<bool>,
}

fn life() -> impl Strategy<Value = Life> {
    let reorg = prop::option::of(any::<bool>());
    (10_000..5_000_000_u64, 10..=100_u64, any::<bool>(), prop::option::of(any::<bool>()), reorg)
        .prop_map(|(pot, paid, replanned, bumped, reorg)| Life {
            pot,
            paid,
            replanned,
            bumped,
            reorg,
        })
}

async fn live(story: &mut Story, life: &Life) {
    let paid = life.pot * life.paid / 100;
    let (planned, coin) = story.plan(life.pot, paid, 1_000).await;
    let epoch = EpochId(story.epoch);
    story.store.check_books(epoch, &planned.plan.txs, Some(&ENDED)).await.unwrap();
    story.put(State::Signed(signed(&planned))).await;
    if life.replanned {
        story.put(State::Planned(planned.clone())).await;
        story.put(State::Signed(signed(&planned))).await;
    }
    let mut wins = planned.clone();
    if let Some(first) = life.bumped {
        let dearer = variant(&story.planned(paid, 3_000, &coin), vec![]);
        let (bumped, _) = planned.clone().exchanged(signed(&planned).txs, dearer);
        let pending = story.store.balances().await.unwrap()[&Account::Payables].debits_pending;
        story.put(State::Planned(bumped.clone())).await;
        let still = story.store.balances().await.unwrap()[&Account::Payables].debits_pending;
        assert_eq!(pending, still, "the variant before may still be mined");
        story.store.check_books(epoch, &bumped.plan.txs, Some(&ENDED)).await.unwrap();
        story.put(State::Sent(signed(&bumped))).await;
        let back = variant(&planned, vec![]);
        wins = if first { bumped.clone().exchanged(signed(&bumped).txs, back).0 } else { bumped };
        story.put(State::Sent(signed(&wins))).await;
    }
    let reserve = story.balance(Account::Reserve).await;
    let moves = mined(&wins);
    story.block(vec![moves.clone()], false).await;
    let confirmed = || State::Confirmed(Confirmed { signed: signed(&wins), inclusions: vec![] });
    if let Some(late) = life.reorg {
        if late {
            story.put(confirmed()).await;
        }
        story.block(vec![], true).await;
        story.put(State::Sent(signed(&wins))).await;
        story.block(vec![moves], false).await;
    }
    story.put(confirmed()).await;
    let fee = i64::try_from(wins.plan.txs[0].fee().unwrap()).unwrap();
    assert_eq!(story.balance(Account::Reserve).await, reserve - fee);
    assert_eq!(story.balance(Account::Payables).await, i64::try_from(story.owed).unwrap());
    for passing in [Account::Pots, Account::Paid, Account::Fees] {
        assert_eq!(story.balance(passing).await, 0, "{passing:?}");
    }
    story.baton = wins.plan.baton;
}

/// Everything that the ledger promises, on one database.
async fn suite(database: &Database, lives: &[Life]) {
    let mut story = Story::start(database).await;
    for life in lives {
        live(&mut story, life).await;
    }
    let books = story.store.books(EpochId(story.epoch)).await.unwrap();
    let given = books.opening_payables + books.figures.pots;
    assert_eq!(given, books.figures.paid + books.figures.owed + books.residue);
    assert_eq!(story.store.states().await.unwrap().len(), lives.len());
    assert!(story.store.state(EpochId(story.epoch)).await.unwrap().is_some());
    theft(&mut story).await;
}

/// A spend that no plan explains stops the service before it signs, and a person can account for it.
async fn theft(story: &mut Story) {
    let (planned, coin) = story.plan(50_000, 40_000, 1_000).await;
    let (epoch, txs) = (EpochId(story.epoch), planned.plan.txs.clone());
    let txid = Txid::from_byte_array(hash(u32::MAX));
    let stolen = TxMoves {
        txid,
        spends: vec![coin.outpoint],
        born: vec![],
        paid: coin.output.value.to_sat() - 500,
        fee: 500,
        brought: 0,
    };
    story.block(vec![stolen], false).await;
    let error = story.store.check_books(epoch, &txs, Some(&ENDED)).await.unwrap_err();
    assert!(matches!(&error, Error::Conservation { .. }), "{error}");
    assert!(error.to_string().contains(&txid.to_string()), "{error}");
    story.store.accept_spend(txid).await.unwrap();
    story.store.check_books(epoch, &txs, Some(&ENDED)).await.unwrap();
    assert!(story.store.accept_spend(txid).await.is_err(), "once");
    story.store.audit_books().await.unwrap();
}

/// A payout may be mined in one block with the one whose baton it spends.
#[test]
fn a_coin_made_and_spent_in_one_block_is_seen_to_leave() {
    let (_, vault) = vault();
    let (first, coin) = coin(&vault, Keychain::Treasury, 1, 50_000);
    let mut second = first.clone();
    second.input[0].previous_output = coin.outpoint;
    second.output[0] = TxOut { value: Amount::from_sat(49_000), script_pubkey: ScriptBuf::new() };
    let mut block = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
    block.txdata = vec![first, second];
    let mut watch = Watch::new(vault, None, Vec::new());
    let ours = coin.output.script_pubkey.clone();
    let index = |script: &bitcoin::Script| (script == ours.as_script()).then_some(1);
    let txs = watch.read(&block, 1, false, index).unwrap().unwrap().txs;
    assert_eq!(txs.len(), 2);
    assert_eq!((&txs[1].spends, txs[1].paid, txs[1].fee), (&vec![coin.outpoint], 49_000, 1_000));
}

#[tokio::test]
async fn the_books_add_up_on_postgresql_and_a_second_writer_is_refused() {
    let Some(cluster) = Cluster::start() else { return };
    let database = cluster.database();
    let life = |bumped, reorg| Life { pot: 900_000, paid: 60, replanned: true, bumped, reorg };
    let lives = [life(None, None), life(Some(true), Some(true)), life(Some(false), Some(false))];
    suite(&database, &lives).await;
    let store = Store::open(&database).await.unwrap();
    let second = Store::open(&database).await.unwrap_err();
    assert!(matches!(second, Error::Locked(_)), "{second}");
    let reader = Store::read(&database).await.unwrap();
    assert_eq!(reader.states().await.unwrap(), store.states().await.unwrap());
    let written = reader.accept_spend(Txid::from_byte_array([3; 32])).await;
    assert!(written.is_err(), "a reader writes nothing");
}

#[tokio::test]
async fn miner_fees_never_come_from_holders() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::Sqlite(dir.path().join("books.sqlite"));
    let mut story = Story::start(&database).await;
    let (planned, coin) = story.plan(5_000_000, 10_000, 1_000).await;
    let dear = story.planned(10_000, 5_000_000, &coin);
    let epoch = EpochId(story.epoch);
    story.store.check_books(epoch, &planned.plan.txs, Some(&ENDED)).await.unwrap();
    let error = story.store.check_books(epoch, &dear.plan.txs, Some(&ENDED)).await.unwrap_err();
    assert!(matches!(error, Error::Reserve { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_books_add_up_whatever_happens(lives in prop::collection::vec(life(), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(dir.path().join("books.sqlite"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(suite(&database, &lives));
    }
}

/// A fault that withholds 40 sats and the correction that gives them back: the operator's reserve stands in between, and
/// the books never hold a residue that is no floor's.
#[test]
fn a_fault_and_its_correction_pass_through_the_reserve() {
    let leaf = |acc: u128, paid: u64| Leaf {
        account: Address::repeat_byte(1),
        script_hash: B256::ZERO,
        paid: Sats(paid),
        since: None,
        out: None,
        acc: vec![SeriesAcc { series: SeriesId(1), acc }],
    };
    let figures = |previous: Leaf, pot: u64, now: Leaf, batch: u64| {
        let piece = Piece { series: SeriesId(1), work_epoch: EpochId(1), sats: pot };
        let world = World { pieces: vec![piece], previous: vec![previous], ..World::default() };
        let batches = vec![Batch { outputs_hash: B256::ZERO, total: batch, payments: [].into() }];
        let root = crate::encode::root_of(&[]).unwrap();
        Figures::new(&world, 0, &Allocation { leaves: vec![now], root, batches }).unwrap()
    };
    let honest = figures(leaf(0, 0), 100, leaf((100 << 64) - 7, 0), 0);
    assert_eq!((honest.corrections, honest.residue(0)), (0, Some(1)), "the floor's sat");
    let fault = figures(leaf(0, 0), 100, leaf((60 << 64) - 7, 0), 0);
    assert_eq!((fault.corrections, fault.owed, fault.residue(0)), (-40, 59, Some(1)));
    let mended = figures(leaf((60 << 64) - 7, 0), 100, leaf((200 << 64) - 14, 59), 59);
    assert_eq!((mended.corrections, mended.owed), (40, 140));
    assert_eq!(
        mended.residue(fault.owed),
        Some(0),
        "the first epoch's sat is still there, and none is added"
    );
    // `paid` that no batch pays, and the court's word that it was not paid
    let lied = figures(leaf(100 << 64, 0), 0, leaf(100 << 64, 100), 0);
    assert_eq!((lied.corrections, lied.owed, lied.residue(100)), (-100, 0, Some(0)));
    let mended = figures(leaf(100 << 64, 100), 0, leaf(100 << 64, 0), 0);
    assert_eq!((mended.corrections, mended.owed, mended.residue(0)), (100, 100, Some(0)));
}
