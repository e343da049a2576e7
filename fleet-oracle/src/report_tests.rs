//! Tests of combination and digests.

use super::*;
use crate::{
    attribution::Piece,
    observation::{BadObservation, Evidence, HardwarePrice, WorkCell},
};
use alloy::signers::local::PrivateKeySigner;
use proptest::prelude::*;

const EPOCH: EpochId = EpochId(100);

fn view(quorum: usize) -> ChainView {
    ChainView {
        counting: BTreeSet::new(),
        epoch: EPOCH,
        prev_hash: B256::repeat_byte(1),
        config_digest: B256::repeat_byte(2),
        signers: vec![],
        quorum,
        series: vec![SeriesId(1), SeriesId(2)],
        live: BTreeSet::from([
            (SeriesId(1), EPOCH),
            (SeriesId(1), EpochId(99)),
            (SeriesId(2), EPOCH),
        ]),
        distributed: BTreeSet::new(),
    }
}

fn receipt(n: u8, sats: u64) -> Receipt {
    let pieces = vec![Piece { epoch: EpochId(99), pool: "btc".into(), sats }];
    Receipt { txid: B256::repeat_byte(n), vout: 0, sats, pieces }
}

fn seen(price: u64, work: u128, receipts: &[Receipt]) -> Observation {
    Observation {
        epoch: EPOCH,
        observed_at: EPOCH.end() + 7,
        quote_per_btc: price,
        quote_spread: 10,
        hardware: vec![HardwarePrice { series: SeriesId(1), price: u128::from(price) }],
        work: vec![WorkCell {
            epoch: EPOCH,
            pool: "btc".into(),
            series: SeriesId(1),
            hashes: work,
        }],
        receipts: receipts.to_vec(),
        evidence: vec![Evidence { label: "journal".into(), hash: B256::repeat_byte(9) }],
    }
}

fn total(combined: &Combined) -> (u64, u64) {
    let report = &combined.report;
    let pots = report.series.iter().flat_map(|one| &one.pots).map(|piece| piece.sats).sum::<u64>();
    let deducted = report.series.iter().map(|one| one.deductions).sum::<u64>();
    (report.receipts.iter().map(|one| one.sats).sum(), pots + deducted)
}

#[test]
fn a_receipt_needs_a_quorum_and_is_distributed_once() {
    let all = [receipt(1, 50), receipt(2, 70)];
    let observations = [seen(5, 9, &all), seen(5, 9, &all), seen(5, 9, &all[..1])];
    let combined = combine(&view(3), &observations, &BTreeMap::new()).unwrap();
    assert_eq!(combined.receipts, all[..1]);
    assert_eq!(total(&combined), (50, 50));
    let mut later = view(2);
    later.distributed.insert((all[0].txid, 0));
    assert_eq!(combine(&later, &observations, &BTreeMap::new()).unwrap().receipts, all[1..]);
    let few = combine(&view(3), &observations[..2], &BTreeMap::new()).unwrap_err();
    assert_eq!(few, CombineError::TooFew { epoch: EPOCH, needed: 3, found: 2 });
    let mut other = seen(5, 9, &[]);
    other.epoch = EpochId(99);
    assert!(matches!(
        combine(&view(1), &[other], &BTreeMap::new()),
        Err(CombineError::OtherEpoch { found: EpochId(99), .. })
    ));
}

#[test]
fn a_signer_refuses_what_it_does_not_see() {
    let tolerances = Tolerances { price: 10_000, hardware: 10_000, work: 10_000 };
    let honest = [receipt(1, 50)];
    let own = seen(1_000, 9_000, &honest);
    let alone = combine(&view(1), std::slice::from_ref(&own), &BTreeMap::new()).unwrap().report;
    let against = |other: Observation| {
        let combined = combine(&view(1), &[other], &BTreeMap::new()).unwrap();
        agrees(&combined, &own, &alone, tolerances)
    };
    assert_eq!(against(seen(1_005, 9_010, &honest)), Ok(()));
    assert_eq!(
        against(seen(1_000, 9_000, &[])),
        Ok(()),
        "fewer receipts are no lie: they come later"
    );
    assert!(against(seen(1_050, 9_000, &honest)).unwrap_err().contains("price of bitcoin"));
    assert!(against(seen(1_000, 8_000, &honest)).unwrap_err().contains("work of series 1"));
    assert!(against(seen(1_000, 9_000, &[receipt(1, 51)])).unwrap_err().contains("does not see"));
    let mut moved = receipt(1, 50);
    moved.pieces[0].epoch = EPOCH;
    assert!(against(seen(1_000, 9_000, &[moved])).unwrap_err().contains("attribution"));
}

/// The total of the epoch's work may be right and the split of an older receipt wrong all the same.
#[test]
fn a_signer_refuses_a_split_that_its_own_work_contradicts() {
    let honest = [receipt(1, 90_000)];
    let with = |first: u128, second: u128| {
        let mut one = seen(1_000, 9_000, &honest);
        for (series, hashes) in [(1, first), (2, second)] {
            let (epoch, pool) = (EpochId(99), "btc".to_owned());
            one.work.push(WorkCell { epoch, pool, series: SeriesId(series), hashes });
        }
        one
    };
    let mut view = view(1);
    view.live.insert((SeriesId(2), EpochId(99)));
    let report = |one: Observation| combine(&view, &[one], &BTreeMap::new()).unwrap();
    let own = report(with(6_000, 3_000));
    let against = |one: Observation| splits_alike(&report(one), &own.report, 10_000);
    assert_eq!(against(with(6_000, 3_000)), Ok(()));
    assert_eq!(against(with(6_001, 3_000)), Ok(()));
    let lie = report(with(1, 8_999));
    let (lied, true_work) = (lie.report.series[0].work, own.report.series[0].work);
    assert_eq!(lied, true_work, "the epoch's own work does not tell");
    let error = splits_alike(&lie, &own.report, 10_000).unwrap_err();
    assert!(error.contains("of epoch 99"), "{error}");
}

#[test]
fn evidence_without_a_quorum_is_a_zero_leaf() {
    let root = |hashes: [u8; 3]| {
        let observations = hashes.map(|byte| {
            let mut one = seen(5, 9, &[]);
            one.evidence[0].hash = B256::repeat_byte(byte);
            one
        });
        combine(&view(2), &observations, &BTreeMap::new()).unwrap().report.evidenceRoot
    };
    let leaf = |hash: B256| keccak256([b"journal".as_slice(), &[0], hash.as_slice()].concat());
    assert_eq!(root([7, 7, 8]), leaf(B256::repeat_byte(7)));
    assert_eq!(root([7, 8, 9]), leaf(B256::ZERO));
}

/// Digests: `reportDigest` computed from its parts with cast, `batchDigest` as the deployed registry answered.
#[test]
fn digests_equal_the_contracts() {
    let domain = Domain {
        chain_id: 31_337,
        oracle: "0xDc64a140Aa3E981100a9becA4E685f962f0cF6C9".parse().unwrap(),
        registry: "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707".parse().unwrap(),
    };
    let report = IFleetOracle::FleetReport {
        epoch: 7,
        round: 0,
        prevHash: B256::repeat_byte(1),
        configDigest: B256::repeat_byte(2),
        quotePerBtc: 67_000_000_000,
        quoteSpread: 1_234,
        observedAt: U40::from(230_400),
        receipts: vec![IFleetOracle::Receipt { txid: B256::repeat_byte(3), vout: 1, sats: 100 }],
        series: vec![
            IFleetOracle::SeriesReport {
                series: 1,
                pots: vec![
                    IFleetOracle::Piece { workEpoch: 6, sats: 60 },
                    IFleetOracle::Piece { workEpoch: 7, sats: 30 },
                ],
                work: 1_000_000,
                liveHashrate: 34,
                hardwarePrice: 14_000_000_000,
                deductions: 10,
            },
            IFleetOracle::SeriesReport {
                series: 2,
                pots: vec![],
                work: 0,
                liveHashrate: 0,
                hardwarePrice: 0,
                deductions: 0,
            },
        ],
        evidenceRoot: B256::repeat_byte(4),
    };
    assert_eq!(
        domain.quorum().report(&report).to_string(),
        "0xf835456d9ab83a80c6e43792c3f71d9d7f39a30e7668e599f98fb25f2fd02f94"
    );
    let batch = ISeriesRegistry::Batch {
        series: 1,
        machines: 2,
        units: alloy::primitives::aliases::U96::from(4_000_000_000_000_000_000_u128),
        machineRoot: B256::repeat_byte(5),
        evidence: B256::repeat_byte(6),
        nonce: 0,
    };
    assert_eq!(
        domain.batch_digest(&batch).to_string(),
        "0xc9eba77f4e9dd81d92c4b95c178961bbe1c76acbc20bd386f154029a7297488b"
    );
}

#[test]
fn an_observation_is_opened_only_if_a_signer_signed_this_very_text() {
    let domain =
        Domain { chain_id: 1, oracle: Address::repeat_byte(1), registry: Address::repeat_byte(2) };
    let key = PrivateKeySigner::random();
    let signed = domain.sign(&seen(5, 9, &[receipt(1, 50)]), &key).unwrap();
    let signers = [key.address()];
    assert_eq!(domain.open(&signed, &signers).unwrap().0, key.address());
    assert!(domain.open(&signed, &[Address::ZERO]).is_err());
    let mut changed = signed.clone();
    changed.body = changed.body.replace("\"5\"", "\"6\"");
    assert!(matches!(domain.open(&changed, &signers), Err(BadObservation::Signature(_))));
    let elsewhere = Domain { chain_id: 2, ..domain };
    assert!(elsewhere.open(&signed, &signers).is_err());
    let mut wrong = receipt(1, 50);
    wrong.sats = 51;
    let inconsistent = domain.sign(&seen(5, 9, &[wrong]), &key).unwrap();
    assert!(matches!(
        domain.open(&inconsistent, &signers),
        Err(BadObservation::Inconsistent { .. })
    ));
    let twice = domain.sign(&seen(5, 9, &[receipt(1, 50), receipt(1, 60)]), &key).unwrap();
    assert!(matches!(domain.open(&twice, &signers), Err(BadObservation::Inconsistent { .. })));
}

proptest! {
    #[test]
    fn one_liar_of_five_moves_nothing_beyond_the_honest(
        prices in prop::array::uniform4(1_000_000..1_010_000_u64),
        works in prop::array::uniform4(500_000..505_000_u128),
        lie_price in 1..u64::MAX,
        lie_work: u128,
        lie_sats in 1..1_u64 << 50,
        place in 0..5_usize,
    ) {
        let honest = [receipt(1, 50), receipt(2, 70)];
        let mut observations: Vec<Observation> =
            (0..4).map(|i| seen(prices[i], works[i], &honest)).collect();
        let mut liar = seen(lie_price, lie_work, &[receipt(2, lie_sats), receipt(3, lie_sats)]);
        liar.evidence[0].hash = B256::ZERO;
        liar.observed_at = EPOCH.end();
        observations.insert(place, liar);
        let combined = combine(&view(3), &observations, &BTreeMap::new()).unwrap();
        let report = &combined.report;
        prop_assert_eq!(&combined.receipts, &honest.to_vec());
        prop_assert!((*prices.iter().min().unwrap()..=*prices.iter().max().unwrap()).contains(&report.quotePerBtc));
        let work = report.series[0].work;
        prop_assert!((*works.iter().min().unwrap()..=*works.iter().max().unwrap()).contains(&work));
        prop_assert_eq!(total(&combined), (120, 120));
        prop_assert_eq!(report.observedAt, U40::from(EPOCH.end() + 7));
        observations.reverse();
        let again = combine(&view(3), &observations, &BTreeMap::new()).unwrap();
        prop_assert_eq!(&again.report, report, "the order of observations does not matter");
    }
}
