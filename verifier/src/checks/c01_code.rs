//! Check 1: the code of every contract is what this source compiles to, and every address built into it is one of the
//! deployment's.

use std::collections::BTreeSet;

use alloy::primitives::Address;

use super::Checked;
use crate::{Findings, compile, world::World};

/// Below this, a word is a number and no address.
const NUMBERS: u64 = u64::MAX;

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    let contracts = contracts(world);
    let names: BTreeSet<&str> = contracts.iter().map(|(name, _)| *name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let compiled = match compile::compile(&world.source, &names).await? {
        Ok(compiled) => compiled,
        Err(why) => return Ok(findings.not_checked(why)),
    };
    let addresses: Vec<Address> = contracts.iter().map(|(_, address)| *address).collect();
    let codes = world.chain.codes(&addresses).await?;
    let known = known(world, &addresses);
    for ((name, address), code) in contracts.iter().zip(&codes) {
        let Some(ours) = compiled.get(*name) else { continue };
        if !ours.matches(code) {
            if *name == "DemoQuote" {
                findings.note(format!(
                    "quote token {address} is not of this source: judge it yourself"
                ));
            } else {
                findings.fault(format!("{address}: its code is not that of {name}"));
            }
            continue;
        }
        for word in ours.words(code) {
            let looks = word.as_slice().starts_with(&[0; 12]);
            let value = Address::from_word(word);
            let number = alloy::primitives::U256::from_be_bytes(word.0);
            if looks && number > alloy::primitives::U256::from(NUMBERS) && !known.contains(&value) {
                findings.fault(format!(
                    "{name} {address} has {value} built in, which is no contract or account of the deployment"
                ));
            }
        }
    }
    Ok(findings.passed(format!("{} contracts, byte for byte, immutables apart", contracts.len())))
}

fn contracts(world: &World) -> Vec<(&'static str, Address)> {
    let d = &world.deployment;
    let mut all = vec![
        ("AccessManager", d.access_manager),
        ("DemoQuote", d.quote),
        ("SeriesRegistry", d.series_registry),
        ("PrimarySale", d.primary_sale),
        ("PositionMarket", d.position_market),
        ("FairValue", d.fair_value),
        ("FleetOracle", d.fleet_oracle),
        ("PayoutRegistry", d.payout_registry),
        ("EpochLedger", d.epoch_ledger),
        ("BitcoinRelay", d.bitcoin_relay),
        ("LedgerCourt", d.ledger_court),
        ("CreditRule", d.credit_rule),
        ("SeriesUpgrader", d.series_upgrader),
        ("RegistrarBond", d.registrar_bond),
        ("HashProof", d.hash_proof),
        ("Repositioner", d.repositioner),
    ];
    for series in &d.series {
        all.extend([
            ("HashrateUnit", series.unit),
            ("BuybackPool", series.pool),
            ("LpShare", series.lp_share),
            ("ExitQueue", series.queue),
            ("QueueClaim", series.claim_token),
        ]);
    }
    all
}

/// Addresses that may be built in: the contracts, first-loss accounts and transfer policies that events announced.
fn known(world: &World, contracts: &[Address]) -> BTreeSet<Address> {
    let mut known: BTreeSet<Address> = contracts.iter().copied().collect();
    known.extend(world.history.wrappers.iter().map(|added| added.event.wrapper.firstLoss));
    known.extend(world.history.series.iter().map(|created| created.event.params.policy));
    known
}
