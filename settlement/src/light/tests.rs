//! A light client against servers in memory: what is proven is read, whatever else they say costs time.
#![allow(clippy::as_conversions, reason = "heights and indices of a handful of blocks")]

use std::sync::Mutex;

use bdk_wallet::ChangeSet;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, TxIn, TxMerkleNode, TxOut, Witness, absolute::LockTime,
    constants::genesis_block, transaction::Version,
};

use super::{headers::tests::next, *};
use crate::{
    node::Broadcast,
    plan::tests::vault,
    proof::{branch, stripped},
    store::BitcoinNews,
    treasury::Treasury,
    vault::Keychain,
};

/// Blocks, and what the server does with them.
#[derive(Debug, Default)]
struct World {
    blocks: Vec<Block>,
    /// Transactions that histories leave out.
    hidden: BTreeSet<Txid>,
    /// Transactions that the server puts into a block that does not hold them.
    invented: Vec<(u32, Transaction)>,
    forged: bool,
    asked: usize,
}

#[derive(Clone, Debug, Default)]
struct Fake(Arc<Mutex<World>>);

impl Fake {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// A block on the one at `below`, in place of those above it.
    fn mine(&self, below: u32, mut txdata: Vec<Transaction>, salt: u32) -> BlockHash {
        let mut world = self.world();
        if world.blocks.is_empty() {
            world.blocks.push(genesis_block(Network::Regtest));
        }
        world.blocks.truncate(below as usize + 1);
        let last = world.blocks.last().unwrap().header;
        let null = OutPoint::null();
        let mut first = pay(null, ScriptBuf::new(), 50);
        first.input[0].script_sig =
            ScriptBuf::from_bytes([below.to_le_bytes(), salt.to_le_bytes()].concat());
        txdata.insert(0, first);
        let ids = txdata.iter().map(|tx| tx.compute_txid().to_raw_hash());
        let root: TxMerkleNode = bitcoin::merkle_tree::calculate_root(ids).unwrap().into();
        let header = next(&last, root, salt);
        world.blocks.push(Block { header, txdata });
        header.block_hash()
    }
}

fn pay(from: OutPoint, script_pubkey: ScriptBuf, sats: u64) -> Transaction {
    let input = TxIn {
        previous_output: from,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![input],
        output: vec![TxOut { value: Amount::from_sat(sats), script_pubkey }],
    }
}

impl Server for Fake {
    fn height(&self) -> Result<u32, Error> {
        Ok(self.world().blocks.len() as u32 - 1)
    }

    fn headers(&self, from: u32, count: u32) -> Result<Vec<Header>, Error> {
        let world = self.world();
        let run = world.blocks.iter().skip(from as usize).take(count as usize);
        Ok(run.map(|block| block.header).collect())
    }

    fn histories(&self, scripts: &[ScriptBuf]) -> Result<Vec<Vec<Seen>>, Error> {
        let mut world = self.world();
        world.asked += 1;
        let invented = world.invented.iter().map(|(height, tx)| (*height, tx));
        let real = world
            .blocks
            .iter()
            .zip(0..)
            .flat_map(|(block, height)| block.txdata.iter().map(move |tx| (height, tx)));
        let all: Vec<(u32, &Transaction)> = real.chain(invented).collect();
        let made = |place: &OutPoint| {
            let tx = all.iter().find(|(_, tx)| tx.compute_txid() == place.txid)?.1;
            tx.output.get(place.vout as usize)
        };
        let touches = |tx: &Transaction, script: &ScriptBuf| {
            tx.output.iter().any(|out| out.script_pubkey == *script)
                || tx.input.iter().any(|input| {
                    made(&input.previous_output).is_some_and(|out| out.script_pubkey == *script)
                })
        };
        let of = |script: &ScriptBuf| {
            let seen = all.iter().filter(|(_, tx)| touches(tx, script));
            let seen =
                seen.map(|(height, tx)| Seen { height: Some(*height), txid: tx.compute_txid() });
            seen.filter(|seen| !world.hidden.contains(&seen.txid)).collect()
        };
        Ok(scripts.iter().map(of).collect())
    }

    fn transaction(&self, txid: Txid) -> Result<Transaction, Error> {
        let world = self.world();
        let invented = world.invented.iter().map(|(_, tx)| tx);
        let mut all = world.blocks.iter().flat_map(|block| &block.txdata).chain(invented);
        let found = all.find(|tx| tx.compute_txid() == txid);
        found.cloned().ok_or_else(|| lie("it does not have it"))
    }

    fn branch(&self, txid: Txid, height: u32) -> Result<Branch, Error> {
        let world = self.world();
        let block = &world.blocks[height as usize];
        let ids: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
        // an invented one borrows the last one's place
        let index = ids.iter().position(|id| *id == txid).unwrap_or(ids.len() - 1);
        let mut siblings = branch(&ids, index).unwrap();
        if world.forged {
            siblings[0] ^= 1;
        }
        Ok(Branch { index: index as u32, siblings })
    }

    fn coinbase(&self, height: u32, _block: BlockHash) -> Result<Txid, Error> {
        Ok(self.world().blocks[height as usize].txdata[0].compute_txid())
    }

    fn fee_rate_ceil(&self, _blocks: u16) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    fn broadcast(&self, _tx: &Transaction) -> Result<Broadcast, Error> {
        Ok(Broadcast::Known)
    }
}

/// A treasury that reads from a server.
struct Reader {
    server: Fake,
    light: Arc<Light>,
    treasury: Treasury,
    vault: Vault,
}

impl Reader {
    fn new(birthday: u32, anchor: Option<BlockHash>) -> Self {
        let (server, (_, vault)) = (Fake::default(), vault());
        let treasury = Treasury::load(&vault, ChangeSet::default(), 5, birthday).unwrap();
        let start = Start { network: Network::Regtest, birthday, anchor };
        let shared: Arc<dyn Server> = Arc::new(server.clone());
        let light = Light::new(shared, start, &vault, (5, None), [], Known::default()).unwrap();
        Self { server, light: Arc::new(light), treasury, vault }
    }

    async fn sync(&self) -> Result<BitcoinNews, Error> {
        // as half a minute later
        self.light.state().looked = None;
        Ok(self.treasury.sync_light(&self.light).await?.0)
    }

    fn ours(&self, index: u32) -> ScriptBuf {
        self.vault.script(Keychain::Treasury, index).unwrap()
    }

    fn gift(&self, n: u8, index: u32) -> Transaction {
        let from = OutPoint { txid: Txid::from_byte_array([n; 32]), vout: 0 };
        pay(from, self.ours(index), 1_000 * u64::from(n))
    }

    /// Sats of unspent coins, with their heights.
    fn coins(&self) -> Vec<(u64, u32)> {
        let coins = self.treasury.coins(1).into_iter();
        coins.map(|coin| (coin.coin.output.value.to_sat(), coin.height)).collect()
    }
}

#[tokio::test]
async fn only_what_is_ours_is_read_in_the_order_of_its_block() {
    let reader = Reader::new(0, None);
    let gift = reader.gift(9, 4);
    let spend = pay(OutPoint::new(gift.compute_txid(), 0), reader.ours(7), 8_000);
    let foreign = pay(OutPoint::new(gift.compute_txid(), 5), ScriptBuf::new(), 1);
    reader.server.mine(0, vec![foreign.clone()], 0);
    // index 7 is watched only because index 4 is in use
    reader.server.mine(1, vec![gift.clone(), foreign, spend.clone()], 0);
    reader.server.mine(2, vec![], 0);
    let news = reader.sync().await.unwrap();
    assert_eq!(reader.coins(), [(8_000, 2)]);
    assert_eq!((reader.treasury.tip().0, news.moves.len()), (3, 1));
    let moves = &news.moves[0].txs;
    let ids: Vec<Txid> = moves.iter().map(|moves| moves.txid).collect();
    assert_eq!(ids, [gift.compute_txid(), spend.compute_txid()]);
    assert_eq!((moves[1].spends.len(), moves[1].fee), (1, 1_000));
    // the proof for the contract
    let (hash, txid) = (reader.treasury.hash_at(2).unwrap(), spend.compute_txid());
    let mined = reader.light.mined(2, hash, txid).unwrap();
    assert_eq!((mined.index, mined.proof(vec![]).transaction.to_vec()), (3, stripped(&spend)));
    assert!(reader.light.mined(1, hash, txid).is_err(), "of another block");
    // nothing new: nothing to ask for, until half a minute has passed
    let asked = reader.server.world().asked;
    reader.treasury.sync_light(&reader.light).await.unwrap();
    assert_eq!(reader.server.world().asked, asked);
}

#[tokio::test]
async fn what_was_left_out_is_read_when_it_turns_up_and_rewinds_the_books() {
    let reader = Reader::new(0, None);
    let (one, two) = (reader.gift(1, 0), reader.gift(2, 1));
    reader.server.mine(0, vec![one.clone()], 0);
    reader.server.mine(1, vec![two.clone()], 0);
    reader.server.world().hidden.insert(one.compute_txid());
    reader.sync().await.unwrap();
    assert_eq!(reader.coins(), [(2_000, 2)], "late, not lost");
    reader.server.world().hidden.clear();
    let news = reader.sync().await.unwrap();
    assert_eq!(reader.coins(), [(1_000, 1), (2_000, 2)]);
    let heights: Vec<(u32, bool)> = news.moves.iter().map(|m| (m.height, m.rewinds)).collect();
    assert_eq!(heights, [(1, true), (2, true)], "all since then is booked again");
    assert!(reader.sync().await.unwrap().moves.is_empty(), "once");
}

#[tokio::test]
async fn what_was_proven_stays_though_the_server_leaves_it_out_later() {
    let reader = Reader::new(0, None);
    let (one, two) = (reader.gift(1, 0), reader.gift(2, 1));
    reader.server.mine(0, vec![one.clone()], 0);
    reader.server.mine(1, vec![two.clone()], 0);
    reader.server.world().hidden.insert(one.compute_txid());
    reader.sync().await.unwrap();
    // it shows the one and leaves out the other: the books would lose what they have
    reader.server.world().hidden = [two.compute_txid()].into();
    let error = reader.sync().await.unwrap_err().to_string();
    assert!(error.contains("omits"), "{error}");
    assert_eq!(reader.coins(), [(2_000, 2)]);
    reader.server.world().hidden.clear();
    reader.sync().await.unwrap();
    assert_eq!(reader.coins(), [(1_000, 1), (2_000, 2)]);
}

#[tokio::test]
async fn a_payment_that_no_block_holds_and_a_forged_branch_are_refused() {
    let reader = Reader::new(0, None);
    reader.server.mine(0, vec![reader.gift(1, 0)], 0);
    reader.server.world().invented.push((1, reader.gift(200, 1)));
    for forged in [false, true] {
        reader.server.world().forged = forged;
        let error = reader.sync().await.unwrap_err().to_string();
        assert!(error.contains("its branch does not show"), "{error}");
        assert_eq!((reader.coins(), reader.treasury.tip().0), (vec![], 0), "nothing is changed");
        reader.server.world().invented.clear();
    }
    reader.server.world().forged = false;
    reader.sync().await.unwrap();
    assert_eq!(reader.coins(), [(1_000, 1)]);
}

#[tokio::test]
async fn a_longer_branch_is_followed_and_no_shorter_one() {
    let reader = Reader::new(0, None);
    let (one, two) = (reader.gift(1, 0), reader.gift(2, 1));
    reader.server.mine(0, vec![one], 0);
    reader.server.mine(1, vec![two.clone()], 0);
    reader.server.mine(2, vec![], 0);
    reader.sync().await.unwrap();
    let before = reader.treasury.tip();
    for height in [1, 2] {
        // as long as ours at most: ours stays
        reader.server.mine(height, vec![], 7);
        reader.sync().await.unwrap();
        assert_eq!((reader.treasury.tip(), reader.coins().len()), (before, 2));
    }
    reader.server.mine(3, vec![two], 7);
    let news = reader.sync().await.unwrap();
    assert_eq!((reader.treasury.tip().0, reader.coins()), (4, vec![(1_000, 1), (2_000, 4)]));
    assert_eq!(news.moves.iter().map(|m| m.rewinds).collect::<Vec<_>>(), [true, false]);
    assert!(news.moves[0].txs.is_empty() && news.moves[0].height == 2);
}

#[tokio::test]
async fn a_chain_without_the_anchor_is_refused() {
    let reader = Reader::new(3, None);
    for height in 0..5 {
        reader.server.mine(height, vec![reader.gift(height as u8 + 1, height)], 0);
    }
    reader.sync().await.unwrap();
    assert_eq!(reader.coins().first(), Some(&(3_000, 3)), "nothing below the birthday");
    let hash = reader.treasury.hash_at(3);
    for (anchor, fits) in [(hash, true), (reader.treasury.hash_at(4), false)] {
        let other = Reader::new(3, anchor);
        other.server.world().blocks = reader.server.world().blocks.clone();
        let done = other.sync().await;
        assert_eq!(done.is_ok(), fits);
        assert_eq!(other.coins().len(), if fits { 3 } else { 0 });
    }
}
