//! Check 5: every account's balance-seconds, replayed from transfers, are what the token says.

use super::Checked;
use crate::{Findings, world::World};

pub(super) async fn check(world: &World) -> Checked {
    let mut findings = Findings::default();
    let epochs = world.window();
    let mut compared = 0_usize;
    for (token, what) in world.tokens() {
        let replay = world.replay(token);
        for ((account, epoch), theirs) in world.seconds(token, &epochs).await? {
            let ours = replay.seconds(account, epoch)?;
            findings.require(ours == theirs, || {
                format!(
                    "{what}, epoch {epoch}, {account}: replayed {ours}, the token says {theirs}"
                )
            });
            compared = compared.saturating_add(1);
        }
        for (epoch, theirs) in epochs.iter().zip(world.total_seconds(token, &epochs).await?) {
            let ours = replay.total_seconds(*epoch)?;
            findings.require(ours == theirs, || {
                format!("{what}, epoch {epoch}, supply: replayed {ours}, the token says {theirs}")
            });
        }
    }
    if epochs.is_empty() {
        return Ok(findings.not_checked("no finished epoch that tokens still remember"));
    }
    Ok(findings.passed(format!("{compared} values of {} epochs", epochs.len())))
}
