//! Everything that the made-up contracts announce.

use alloy::{
    primitives::{
        Address, B256, Bytes, U256,
        aliases::{U40, U48, U96},
        keccak256,
    },
    signers::SignerSync,
    sol,
    sol_types::{SolCall, SolValue},
};
use bitcoin::{Txid, hashes::Hash};
use domain::{EpochId, Production, Rate, SeriesId, SwitchReason};
use evm::{
    bindings::{
        IBuybackPool, IEpochLedger, IFleetOracle, IPayoutRegistry, ISeriesRegistry, ITwabToken,
    },
    quorum::{self, OracleDomain},
};
use verifier::world::Declared;

use super::{super::bytes, FIRST, Story, address, chain};

sol! {
    event RoleGranted(uint64 indexed roleId, address indexed account, uint32 delay, uint48 since, bool newMember);
    event RoleRevoked(uint64 indexed roleId, address indexed account);
}

/// Hashes that each report claims.
const WORK: u128 = 2_880_000;
/// Least delay of the roles that need one, seconds.
const DELAY: u32 = 172_800;

/// Who was declared to hold which role.
pub(super) fn declared() -> Declared {
    let key = |n: u8| {
        alloy::signers::local::PrivateKeySigner::from_bytes(&B256::repeat_byte(n))
            .unwrap()
            .address()
    };
    let mut signers: Vec<Address> = (1..=3).map(key).collect();
    signers.sort();
    Declared {
        operator: address(0xee, 1),
        guardian: address(0xee, 2),
        signers,
        quorum: 3,
        role_delay_seconds: DELAY,
    }
}

impl Story {
    fn tx(&mut self) -> B256 {
        B256::from(U256::from(self.rng.next()))
    }

    /// Roles (one of them revoked again), signers, series, wrappers and the first baton.
    pub(super) fn announce(&mut self, time: u64, txid: B256, vout: u32) {
        let d = self.deployment.clone();
        let series = d.series[0].clone();
        let tx = self.tx();
        let grants = [(0, 1, DELAY), (1, 1, 0), (2, 2, 0), (3, 1, DELAY), (1, 3, 0)];
        for (role, who, delay) in grants {
            let account = address(0xee, who);
            let since = U48::from(1);
            let event = RoleGranted { roleId: role, account, delay, since, newMember: true };
            self.evm.emit(time, d.access_manager, &event, tx);
        }
        let revoked = RoleRevoked { roleId: 1, account: address(0xee, 3) };
        self.evm.emit(time, d.access_manager, &revoked, tx);
        let signers: Vec<Address> = self.signers.iter().map(|signer| signer.address()).collect();
        self.digest =
            keccak256((signers.clone(), U256::from(3), d.fleet_oracle).abi_encode_params());
        for signer in &signers {
            let (from, amount) = (address(0xee, 1), U256::from(chain::STAKE));
            let staked = IFleetOracle::Staked { signer: *signer, from, amount };
            self.evm.emit(time, d.fleet_oracle, &staked, tx);
        }
        let set = IFleetOracle::SignerSet { signers, quorum: 3, configDigest: self.digest };
        self.evm.emit(time, d.fleet_oracle, &set, tx);
        let created =
            ISeriesRegistry::SeriesCreated { series: 1, unit: series.unit, params: params() };
        self.evm.emit(time, d.series_registry, &created, tx);
        for (wrapper, share) in [(series.pool, series.lp_share), (series.queue, series.claim_token)]
        {
            let wrapper = IEpochLedger::Wrapper {
                series: 1,
                wrapper,
                shareToken: share,
                firstLoss: address(0xff, 1),
            };
            self.evm.emit(time, d.epoch_ledger, &IEpochLedger::WrapperAdded { wrapper }, tx);
        }
        self.evm.emit(time, d.epoch_ledger, &IEpochLedger::BatonSet { txid, vout }, tx);
        let rolled = IBuybackPool::EpochRolled {
            epoch: FIRST,
            cash: U256::ZERO,
            inventory: U256::from(50 * super::UNIT),
            shares: U256::ZERO,
        };
        self.evm.emit(time, series.pool, &rolled, tx);
    }

    /// Machines that back all units.
    pub(super) fn back(&mut self, time: u64, units: u128) {
        let batch = ISeriesRegistry::Batch {
            series: 1,
            machines: 9,
            units: U96::from(units),
            machineRoot: B256::repeat_byte(7),
            evidence: B256::ZERO,
            nonce: 0,
        };
        let event = ISeriesRegistry::BatchRegistered { series: 1, nonce: 0, batch };
        let tx = self.tx();
        self.evm.emit(time, self.deployment.series_registry, &event, tx);
    }

    /// Tokens: 0 units, 1 LP shares, 2 claims.
    pub(super) fn mint(&mut self, time: u64, token: u8, to: Address, amount: u128) {
        self.transfer(time, token, Address::ZERO, to, amount);
    }

    pub(super) fn transfer(
        &mut self,
        time: u64,
        token: u8,
        from: Address,
        to: Address,
        amount: u128,
    ) {
        let tx = self.tx();
        let token = match token {
            0 => &mut self.unit,
            1 => &mut self.shares,
            _ => &mut self.claims,
        };
        if !from.is_zero() {
            *token.balances.get_mut(&from).unwrap() -= amount;
        }
        *token.balances.entry(to).or_default() += amount;
        let event = ITwabToken::Transfer { from, to, amount: U256::from(amount) };
        self.evm.emit(time, token.at, &event, tx);
    }

    pub(super) fn register(
        &mut self,
        time: u64,
        account: Address,
        from: u32,
        script: Vec<u8>,
        minimum: u64,
        dust: u64,
    ) {
        let bytes: Bytes = script.clone().into();
        let event =
            IPayoutRegistry::ScriptRegistered { account, fromEpoch: from, script: bytes, minimum };
        let tx = self.tx();
        self.evm.emit(time, self.deployment.payout_registry, &event, tx);
        self.scripts.entry(account).or_default().push((from, script, minimum, dust));
    }

    /// One account changes its script, another changes its mind about that.
    pub(super) fn change_scripts(&mut self, time: u64, epoch: u32) {
        let (one, two) = (self.payees[1], self.payees[2]);
        let (script, dust) = bytes::script(2, 0xc1);
        self.register(time, one, epoch + 2, script.clone(), 0, dust);
        self.register(time, two, epoch + 2, script, 0, dust);
        let event = IPayoutRegistry::ScriptCancelled { account: two, fromEpoch: epoch + 2 };
        let tx = self.tx();
        self.evm.emit(time + 60, self.deployment.payout_registry, &event, tx);
        self.scripts.get_mut(&two).unwrap().pop();
    }

    /// Script, minimum and dust of an account at the start of an epoch.
    pub(super) fn terms(&self, account: Address, epoch: u32) -> (Vec<u8>, u64, u64) {
        let list = self.scripts.get(&account).map(Vec::as_slice).unwrap_or_default();
        let entry = list.iter().rev().find(|entry| entry.0 <= epoch);
        entry
            .map(|(_, script, minimum, dust)| (script.clone(), *minimum, *dust))
            .unwrap_or_default()
    }

    /// The quorum declares a gap, too early for anyone else.
    pub(super) fn declare_gap(&mut self, time: u64, epoch: u32) {
        let oracle = self.deployment.fleet_oracle;
        let domain = OracleDomain { chain_id: chain::CHAIN_ID, oracle };
        let signatures = self.signed(domain.gap(epoch, self.digest));
        let tx = keccak256([b"gap", &epoch.to_be_bytes()[..]].concat());
        let call = IFleetOracle::declareGapByQuorumCall { epoch, signatures };
        self.evm.inputs.insert(tx, call.abi_encode().into());
        let event = IFleetOracle::GapDeclared { epoch, byQuorum: true };
        self.evm.emit(time, oracle, &event, tx);
    }

    /// Every signer's signature, packed.
    fn signed(&self, digest: B256) -> Bytes {
        let set: Vec<Address> = self.signers.iter().map(|key| key.address()).collect();
        let sign = |key: &alloy::signers::local::PrivateKeySigner| {
            (key.address(), key.sign_hash_sync(&digest).unwrap())
        };
        let signatures: Vec<_> = self.signers.iter().map(sign).collect();
        quorum::pack(&set, &signatures).unwrap()
    }

    /// The journal's lines of an epoch. Returns the root of its evidence.
    pub(super) fn work(&mut self, epoch: u32) -> B256 {
        let (from, to) = (EpochId(epoch).start(), EpochId(epoch).end());
        let rate = |venue: &str, rate| Rate { venue: venue.into(), millisats_per_mhash: rate };
        let switched = Production::Switched {
            time: from + 60,
            from: Some("btc".into()),
            to: "bch".into(),
            reason: SwitchReason::BetterVenue,
            rates: vec![rate("btc", 100), rate("bch", 120)],
            machines: 4,
            latency_micros: 800,
        };
        let work = Production::Work {
            from,
            to,
            epoch: EpochId(epoch),
            venue: "bch".into(),
            machine: "A-1".into(),
            series: SeriesId(1),
            shares: 9,
            hashes: WORK,
            rejected: 0,
            stale: 0,
        };
        for record in [switched, work] {
            let line = self.journal.append(&record).unwrap();
            self.journal.follow(&line).unwrap();
            self.lines_of_journal += &serde_json::to_string(&line).unwrap();
            self.lines_of_journal.push('\n');
        }
        bytes::evidence(&[("journal", self.journal.hash)])
    }

    pub(super) fn report(
        &mut self,
        time: u64,
        epoch: u32,
        receipt: Txid,
        sats: u64,
        pieces: &[(u32, u64)],
        evidence: B256,
    ) {
        let given: u64 = pieces.iter().map(|piece| piece.1).sum();
        let piece =
            |(epoch, sats): &(u32, u64)| IFleetOracle::Piece { workEpoch: *epoch, sats: *sats };
        let txid = B256::from(receipt.to_byte_array());
        let report = IFleetOracle::FleetReport {
            epoch,
            round: 0,
            prevHash: self.last_report,
            configDigest: self.digest,
            quotePerBtc: 60_000_000_000,
            quoteSpread: 100,
            observedAt: U40::from(EpochId(epoch).end()),
            receipts: vec![IFleetOracle::Receipt { txid, vout: 0, sats }],
            series: vec![IFleetOracle::SeriesReport {
                series: 1,
                pots: pieces.iter().map(piece).collect(),
                work: WORK,
                liveHashrate: 100,
                hardwarePrice: 1,
                deductions: sats - given,
            }],
            evidenceRoot: evidence,
        };
        let oracle = self.deployment.fleet_oracle;
        let digest = OracleDomain { chain_id: chain::CHAIN_ID, oracle }.report(&report);
        let signatures = self.signed(digest);
        let hash = quorum::report_hash(&report);
        let tx = keccak256([b"report", &epoch.to_be_bytes()[..]].concat());
        let call = IFleetOracle::postCall { report: report.clone(), signatures };
        self.evm.inputs.insert(tx, call.abi_encode().into());
        self.evm.reported(oracle, epoch, hash);
        self.last_report = hash;
        let event = IFleetOracle::ReportPosted { epoch, round: 0, reportHash: hash, report };
        self.evm.emit(time, oracle, &event, tx);
    }

    /// What both registries say at the end.
    pub(super) fn answer_registries(&mut self, last: u32, units: U256) {
        let d = self.deployment.clone();
        let p = params();
        let series = ISeriesRegistry::Series {
            unit: d.series[0].unit,
            algorithm: p.algorithm,
            generation: p.generation,
            hashratePerUnit: p.hashratePerUnit,
            millijoulePerTerahash: p.millijoulePerTerahash,
            serviceDate: p.serviceDate,
            opexPerUnit: p.opexPerUnit,
            policy: p.policy,
            backedUnits: U96::from(units),
            machines: 9,
            lastMachineRoot: B256::repeat_byte(7),
        };
        self.evm.series(d.series_registry, &series);
        let accounts: Vec<Address> = self.lines.keys().copied().collect();
        for account in accounts {
            let list = self.scripts.get(&account).map(Vec::as_slice).unwrap_or_default();
            let entry = list.iter().rev().find(|entry| entry.0 <= last);
            let entry = entry.map_or_else(Default::default, |(from, script, minimum, dust)| {
                let (dust, script) = (*dust as u16, keccak256(script));
                IPayoutRegistry::Entry {
                    fromEpoch: *from,
                    minimum: *minimum,
                    dust,
                    scriptHash: script,
                }
            });
            self.evm.entry(d.payout_registry, account, last, &entry);
        }
    }
}

fn params() -> ISeriesRegistry::SeriesParams {
    ISeriesRegistry::SeriesParams {
        algorithm: 0,
        generation: 1,
        hashratePerUnit: 1_000,
        millijoulePerTerahash: 17_000,
        serviceDate: U40::from(1),
        opexPerUnit: 1,
        policy: Address::ZERO,
        model: "made up".into(),
        name: "Made Up".into(),
        symbol: "MADE".into(),
    }
}
