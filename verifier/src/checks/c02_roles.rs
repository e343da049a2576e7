//! Check 2: who may call what, with which delay, and whether each of them was declared.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, FixedBytes},
    sol,
};

use super::Checked;
use crate::{Error, Findings, history::Stamp, world::World};

sol! {
    event RoleGranted(uint64 indexed roleId, address indexed account, uint32 delay, uint48 since, bool newMember);
    event RoleRevoked(uint64 indexed roleId, address indexed account);
    event TargetFunctionRoleUpdated(address indexed target, bytes4 selector, uint64 indexed roleId);
    event TargetClosed(address indexed target, bool closed);
    event RoleAdminChanged(uint64 indexed roleId, uint64 indexed admin);
}

const ADMIN: u64 = 0;
const OPERATOR: u64 = 1;
const GUARDIAN: u64 = 2;
const PARAMETERS: u64 = 3;
const PUBLIC: u64 = u64::MAX;

/// Restricted functions by their signatures, to name selectors.
const FUNCTIONS: [&str; 13] = [
    "commit((uint32,(bytes32,uint128,uint64),uint32,uint64,uint64,uint32,bytes32,(bytes32,uint32)[],bool,(bytes32,uint64)[]))",
    "setBaton(bytes32,uint32)",
    "addWrapper((uint16,address,address,address))",
    "createSeries((uint8,uint16,uint64,uint32,uint40,uint64,address,string,string,string))",
    "addVenue(address)",
    "setParams(uint16,(uint128,uint32,uint32,uint32,uint32))",
    "setSigners(address[],uint8)",
    "propose((uint16,uint32,bytes32,uint16,bytes32,bytes32,uint32,uint128,uint32,uint40,uint64,uint128,uint32,uint32,uint32,uint32,address,uint128,uint128,bytes32),string)",
    "announceWithdrawal(uint256)",
    "withdraw(address)",
    "setPayoutScript(bytes,uint64)",
    "withdraw(address,uint256)",
    "setStopped(bool)",
];

type Members = BTreeMap<(u64, Address), u32>;
type Rights = BTreeMap<(Address, FixedBytes<4>), u64>;

pub(super) fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    let manager = world.deployment.access_manager;
    let members = members(world, manager)?;
    let mut rights = Rights::new();
    for event in world.history.of::<TargetFunctionRoleUpdated>(manager)? {
        rights.insert((event.event.target, event.event.selector), event.event.roleId);
    }
    for event in world.history.of::<TargetClosed>(manager)? {
        if event.event.closed {
            findings.note(format!("{} was closed at block {}", event.event.target, event.at.block));
        }
    }
    for ((target, selector), role) in &rights {
        let name = name_of(*selector);
        if *role == PUBLIC {
            findings.fault(format!("anyone may call {name} of {target}"));
        }
        findings.note(format!("{:<12} may {name} of {target}", role_name(*role)));
    }
    let Some(declared) = &world.declared else {
        for ((role, account), delay) in &members {
            findings.note(format!("{:<12} {account} delay {delay} s", role_name(*role)));
        }
        return Ok(findings.not_checked(
            "no --config says who was declared to hold the roles; read the table".to_owned(),
        ));
    };
    for ((role, account), delay) in &members {
        findings.note(format!("{:<12} {account} delay {delay} s", role_name(*role)));
        let (holder, least) = match *role {
            ADMIN | PARAMETERS => (declared.operator, declared.role_delay_seconds),
            OPERATOR => (declared.operator, 0),
            GUARDIAN => (declared.guardian, 0),
            _ => (Address::ZERO, 0),
        };
        findings.require(*account == holder, || {
            format!("{account} holds the role {} and was not declared", role_name(*role))
        });
        findings.require(*delay >= least, || {
            format!(
                "{account} holds {} with a delay of {delay} s; {least} s were declared",
                role_name(*role)
            )
        });
    }
    if let Some(set) = world.history.signer_sets.first() {
        let same = set.event.signers == declared.signers && set.event.quorum == declared.quorum;
        findings.require(same, || "the first signer set is not the declared one".to_owned());
    }
    if world.history.signer_sets.len() > 1 {
        let times = world.history.signer_sets.len() - 1;
        findings.note(format!("the signer set was changed {times} times"));
    }
    Ok(findings.passed(format!(
        "{} members of roles, all declared; {} restricted functions",
        members.len(),
        rights.len()
    )))
}

/// Members of each role with their delay, after every grant and revocation in order.
fn members(world: &World, manager: Address) -> Result<Members, Error> {
    let mut changes: Vec<(Stamp, u64, Address, Option<u32>)> = Vec::new();
    for grant in world.history.of::<RoleGranted>(manager)? {
        let RoleGranted { roleId, account, delay, .. } = grant.event;
        changes.push((grant.at, roleId, account, Some(delay)));
    }
    for end in world.history.of::<RoleRevoked>(manager)? {
        changes.push((end.at, end.event.roleId, end.event.account, None));
    }
    changes.sort_by_key(|change| change.0);
    let mut members = Members::new();
    for (_, role, account, delay) in changes {
        match delay {
            Some(delay) => members.insert((role, account), delay),
            None => members.remove(&(role, account)),
        };
    }
    Ok(members)
}

fn name_of(selector: FixedBytes<4>) -> String {
    FUNCTIONS
        .iter()
        .find(|signature| {
            alloy::primitives::keccak256(signature.as_bytes())
                .as_slice()
                .starts_with(selector.as_slice())
        })
        .map_or_else(
            || selector.to_string(),
            |signature| signature.split('(').next().unwrap_or_default().to_owned(),
        )
}

fn role_name(role: u64) -> String {
    match role {
        ADMIN => "admin".into(),
        OPERATOR => "operator".into(),
        GUARDIAN => "guardian".into(),
        PARAMETERS => "parameters".into(),
        PUBLIC => "anyone".into(),
        other => format!("role {other}"),
    }
}
