//! Who is paid much and has shown no key: a list for people, which no payment waits for.

use super::Engine;
use crate::{
    error::Error,
    ownership::{Owners, Unproven},
};

impl Engine {
    /// Accounts that should show the key of their payout script.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn unproven(&self) -> Result<Vec<Unproven>, Error> {
        Owners::new(&self.config, &self.chain.deployment).unproven(&self.store).await
    }
}
