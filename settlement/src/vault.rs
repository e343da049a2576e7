//! The descriptors of the baton and the treasury: which script stands at which index, and what it costs to spend.

use std::{
    collections::BTreeMap,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use bdk_wallet::miniscript::{
    Descriptor, DescriptorPublicKey, ForEachKey,
    descriptor::{DefiniteDescriptorKey, DescriptorType},
    psbt::PsbtInputExt,
};
use bitcoin::{Address, Network, OutPoint, ScriptBuf, TxOut, psbt::Input};
use serde::{Deserialize, Serialize};

/// Derivation index of the first baton, the one that `setBaton` names. The baton of epoch e stands at index e.
pub const GENESIS_BATON: u32 = 0;

/// Indices whose keys are remembered.
const REMEMBERED: usize = 256;

/// Which of the two descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keychain {
    /// The chain of batons, and the chunk outputs of a fan-out.
    Baton,
    /// Receipts of the fleet and the operator's fee reserve.
    Treasury,
}

/// An output that we can spend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coin {
    /// Where it is.
    pub outpoint: OutPoint,
    /// Value and script.
    pub output: TxOut,
    /// Descriptor.
    pub keychain: Keychain,
    /// Derivation index.
    pub index: u32,
}

/// Both descriptors.
#[derive(Clone, Debug)]
pub struct Vault {
    network: Network,
    baton: Descriptor<DescriptorPublicKey>,
    treasury: Descriptor<DescriptorPublicKey>,
    /// Witness weights of baton and treasury: the same at every index, and dear to find.
    weights: [u64; 2],
    /// What was derived lately: one epoch asks for the same few places again and again.
    derived: Derived,
}

type Derived = Arc<Mutex<BTreeMap<(Keychain, u32), (ScriptBuf, Input)>>>;

/// Why a descriptor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// It does not parse, or it is not of the kind we use.
    #[error("the {which} descriptor cannot be used: {why}")]
    Descriptor {
        /// baton or treasury.
        which: &'static str,
        /// What is wrong.
        why: String,
    },
    /// An index that no key can be derived at.
    #[error("no key can be derived at index {0}: it must be below 2^31")]
    Index(u32),
}

impl Vault {
    /// Parses both: `wsh(sortedmulti(...))` over extended *public* keys of `network`, each ending in `/*`.
    ///
    /// # Errors
    /// When one does not parse, holds a private key, has no wildcard, is of another kind or network, or both are the
    /// same.
    pub fn parse(baton: &str, treasury: &str, network: Network) -> Result<Self, VaultError> {
        let (baton, treasury) =
            (one("baton", baton, network)?, one("treasury", treasury, network)?);
        let weights = [weigh(&baton)?, weigh(&treasury)?];
        let vault = Self { network, baton, treasury, weights, derived: Derived::default() };
        if vault.baton == vault.treasury {
            let why = "it is the same as the baton's".into();
            return Err(VaultError::Descriptor { which: "treasury", why });
        }
        Ok(vault)
    }

    /// The network of the keys.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }

    /// The descriptor.
    #[must_use]
    pub const fn descriptor(&self, keychain: Keychain) -> &Descriptor<DescriptorPublicKey> {
        match keychain {
            Keychain::Baton => &self.baton,
            Keychain::Treasury => &self.treasury,
        }
    }

    /// The descriptor at one index.
    ///
    /// # Errors
    /// When the index is 2^31 or above.
    pub fn definite(
        &self,
        keychain: Keychain,
        index: u32,
    ) -> Result<Descriptor<DefiniteDescriptorKey>, VaultError> {
        let at = self.descriptor(keychain).at_derivation_index(index);
        at.map_err(|_| VaultError::Index(index))
    }

    /// The scriptPubKey at one index.
    ///
    /// # Errors
    /// When the index is 2^31 or above.
    pub fn script(&self, keychain: Keychain, index: u32) -> Result<ScriptBuf, VaultError> {
        Ok(self.derive(keychain, index)?.0)
    }

    /// A PSBT input with the witness script and the key origins at one index, and nothing else.
    ///
    /// # Errors
    /// When the index is 2^31 or above.
    pub fn input(&self, keychain: Keychain, index: u32) -> Result<Input, VaultError> {
        Ok(self.derive(keychain, index)?.1)
    }

    fn derive(&self, keychain: Keychain, index: u32) -> Result<(ScriptBuf, Input), VaultError> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = derived.get(&(keychain, index)) {
            return Ok(found.clone());
        }
        let definite = self.definite(keychain, index)?;
        let mut input = Input::default();
        input
            .update_with_descriptor_unchecked(&definite)
            .map_err(|error| VaultError::Descriptor { which: "chosen", why: error.to_string() })?;
        let made = (definite.script_pubkey(), input);
        if derived.len() >= REMEMBERED {
            derived.clear();
        }
        derived.insert((keychain, index), made.clone());
        Ok(made)
    }

    /// The address at one index.
    ///
    /// # Errors
    /// When the index is 2^31 or above.
    pub fn address(&self, keychain: Keychain, index: u32) -> Result<Address, VaultError> {
        let address = self.definite(keychain, index)?.address(self.network);
        address.map_err(|error| VaultError::Descriptor { which: "chosen", why: error.to_string() })
    }

    /// Most weight units that the witness of one input adds, its item count included.
    #[must_use]
    pub const fn witness_weight(&self, keychain: Keychain) -> u64 {
        let [baton, treasury] = self.weights;
        match keychain {
            Keychain::Baton => baton,
            Keychain::Treasury => treasury,
        }
    }
}

fn weigh(descriptor: &Descriptor<DescriptorPublicKey>) -> Result<u64, VaultError> {
    let at = descriptor.at_derivation_index(0).map_err(|_| VaultError::Index(0))?;
    let weight = at
        .max_weight_to_satisfy()
        .map_err(|error| VaultError::Descriptor { which: "chosen", why: error.to_string() })?;
    Ok(weight.to_wu().saturating_add(1))
}

fn one(
    which: &'static str,
    text: &str,
    network: Network,
) -> Result<Descriptor<DescriptorPublicKey>, VaultError> {
    let fail = |why: String| VaultError::Descriptor { which, why };
    let descriptor = Descriptor::<DescriptorPublicKey>::from_str(text)
        .map_err(|error| fail(format!("{error} (public keys only)")))?;
    if descriptor.desc_type() != DescriptorType::WshSortedMulti {
        return Err(fail("wsh(sortedmulti(...)) is expected".into()));
    }
    if !descriptor.for_each_key(|key| key.has_wildcard()) {
        return Err(fail("every key must end in /*".into()));
    }
    let right = descriptor.for_each_key(|key| match key {
        DescriptorPublicKey::XPub(key) => {
            key.xkey.network.is_mainnet() == (network == Network::Bitcoin)
        }
        _ => false,
    });
    if right { Ok(descriptor) } else { Err(fail(format!("a key is not of network {network}"))) }
}
