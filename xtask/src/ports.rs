//! Free ports on the loopback address.

use std::{collections::BTreeSet, net::TcpListener, sync::Mutex};

use eyre::{Result, eyre};

/// Ports that this process gave away: the one who asked may not have bound it yet.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The first free port at or after `wanted` that this process has not given away before.
///
/// # Errors
/// When a thousand ports in a row are taken.
pub fn free_from(wanted: u16) -> Result<u16> {
    let mut given = GIVEN.lock().map_err(|_| eyre!("a thread died while it took a port"))?;
    let port = (wanted..wanted.saturating_add(1000))
        .find(|port| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| eyre!("no free port in a thousand from {wanted}"))?;
    given.insert(port);
    Ok(port)
}

/// A first port that differs between processes that run at the same time.
#[must_use]
pub fn base_of_this_process() -> u16 {
    let slot = u16::try_from(std::process::id() % 100).unwrap_or(0);
    slot.saturating_mul(200).saturating_add(21_000)
}

/// Any free port. Another process may take it before it is used: callers retry.
///
/// # Errors
/// When the system has none.
pub fn any() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
