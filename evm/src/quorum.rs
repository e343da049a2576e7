//! What the oracle's signers sign, and how their signatures are packed. As in `contracts/interfaces/IFleetOracle.sol`.

use alloy::{
    primitives::{Address, B256, Bytes, Signature, U256, keccak256},
    sol,
    sol_types::{Eip712Domain, SolStruct, SolValue, eip712_domain},
};

use crate::bindings::IFleetOracle;

sol! {
    struct FleetReport {
        uint32 epoch;
        uint16 round;
        bytes32 reportHash;
    }

    struct FleetValuation {
        uint32 epoch;
        uint16 round;
        bytes32 valuationHash;
    }

    struct Gap {
        uint32 epoch;
        bytes32 configDigest;
    }
}

/// Bytes of a packed signature: signer's index, r, yParity and s.
const PACKED: usize = 65;

/// Signatures of signers of one set, by the signer's place in it.
pub type Placed = Vec<(u8, Signature)>;

/// The oracle on its chain: what every signature is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OracleDomain {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// FleetOracle.
    pub oracle: Address,
}

/// `keccak256(abi.encode(report))`: what the oracle stores.
#[must_use]
pub fn report_hash(report: &IFleetOracle::FleetReport) -> B256 {
    keccak256(report.abi_encode())
}

/// `keccak256(abi.encode(valuation))`.
#[must_use]
pub fn valuation_hash(valuation: &IFleetOracle::FleetValuation) -> B256 {
    keccak256(valuation.abi_encode())
}

impl OracleDomain {
    fn eip712(self) -> Eip712Domain {
        eip712_domain! {
            name: "Liquid Hashrate FleetOracle",
            version: "1",
            chain_id: self.chain_id,
            verifying_contract: self.oracle,
        }
    }

    /// Digest that is signed for the report with this hash.
    #[must_use]
    pub fn digest(self, epoch: u32, round: u16, hash: B256) -> B256 {
        FleetReport { epoch, round, reportHash: hash }.eip712_signing_hash(&self.eip712())
    }

    /// Digest of a report: the contract's `reportDigest`.
    #[must_use]
    pub fn report(self, report: &IFleetOracle::FleetReport) -> B256 {
        self.digest(report.epoch, report.round, report_hash(report))
    }

    /// Digest of a valuation: the contract's `valuationDigest`.
    #[must_use]
    pub fn valuation(self, valuation: &IFleetOracle::FleetValuation) -> B256 {
        self.valuation_digest(valuation.epoch, valuation.round, valuation_hash(valuation))
    }

    /// Digest that is signed for the valuation with this hash.
    #[must_use]
    pub fn valuation_digest(self, epoch: u32, round: u16, hash: B256) -> B256 {
        let envelope = FleetValuation { epoch, round, valuationHash: hash };
        envelope.eip712_signing_hash(&self.eip712())
    }

    /// Digest of a gap: the contract's `gapDigest`, under that signer set.
    #[must_use]
    pub fn gap(self, epoch: u32, config_digest: B256) -> B256 {
        Gap { epoch, configDigest: config_digest }.eip712_signing_hash(&self.eip712())
    }
}

/// Packs signatures of members of `set` (ascending, as the contract lists it) in the order that the contract wants.
/// `None` when somebody is not in the set.
#[must_use]
pub fn pack(set: &[Address], signatures: &[(Address, Signature)]) -> Option<Bytes> {
    let placed = signatures.iter().map(|(who, signature)| {
        let index = set.iter().position(|signer| signer == who)?;
        Some((u8::try_from(index).ok()?, signature))
    });
    let mut placed: Vec<(u8, &Signature)> = placed.collect::<Option<_>>()?;
    placed.sort_by_key(|(index, _)| *index);
    let mut packed = Vec::with_capacity(placed.len().saturating_mul(PACKED));
    for (index, signature) in placed {
        let signature = signature.normalized_s();
        packed.push(index);
        packed.extend(signature.r().to_be_bytes::<32>());
        let parity: U256 = U256::from(u8::from(signature.v())) << 255;
        let parity_and_s: U256 = parity | signature.s();
        packed.extend(parity_and_s.to_be_bytes::<32>());
    }
    Some(packed.into())
}

/// The inverse of [`pack`]. `None` when the length is no multiple of 65.
#[must_use]
pub fn unpack(packed: &[u8]) -> Option<Placed> {
    let (chunks, rest) = packed.as_chunks::<PACKED>();
    let placed = chunks.iter().map(|chunk| {
        let (index, signature) = chunk.split_first()?;
        let (r, s) = signature.split_at_checked(32)?;
        let (r, s) = (U256::try_from_be_slice(r)?, U256::try_from_be_slice(s)?);
        Some((*index, Signature::new(r, s & (U256::MAX >> 1), s.bit(255))))
    });
    if rest.is_empty() { placed.collect() } else { None }
}

/// Who signed `digest`: the signers of `set` at their places. `None` when a signature is not of the signer whose place it
/// names.
#[must_use]
pub fn recover(set: &[Address], packed: &[u8], digest: B256) -> Option<Vec<Address>> {
    let placed = unpack(packed)?.into_iter().map(|(index, signature)| {
        let who = signature.recover_address_from_prehash(&digest).ok()?;
        (set.get(usize::from(index)) == Some(&who)).then_some(who)
    });
    placed.collect()
}

#[cfg(test)]
mod tests {
    use alloy::signers::{SignerSync, local::PrivateKeySigner};

    use super::*;

    #[test]
    fn packed_signatures_name_their_signers() {
        let mut keys: Vec<_> = (0..4).map(|_| PrivateKeySigner::random()).collect();
        keys.sort_by_key(PrivateKeySigner::address);
        let set: Vec<Address> = keys.iter().map(PrivateKeySigner::address).collect();
        let domain = OracleDomain { chain_id: 1, oracle: Address::repeat_byte(1) };
        let report = IFleetOracle::FleetReport { epoch: 7, round: 2, ..Default::default() };
        let digest = domain.report(&report);
        let sign = |i: usize| (set[i], keys[i].sign_hash_sync(&digest).unwrap());
        let packed = pack(&set, &[sign(3), sign(0), sign(2)]).unwrap();
        assert_eq!(packed.len(), 3 * PACKED);
        assert_eq!(recover(&set, &packed, digest), Some(vec![set[0], set[2], set[3]]));
        let other = domain.report(&IFleetOracle::FleetReport { round: 3, ..report });
        assert_eq!(recover(&set, &packed, other), None, "another round");
        assert_eq!(unpack(&packed[1..]), None);
        let stranger = (Address::ZERO, sign(0).1);
        assert_eq!(pack(&set, &[stranger]), None);
    }
}
