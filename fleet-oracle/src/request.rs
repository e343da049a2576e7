//! Requests to sign, and who may make them.

use alloy::{
    primitives::{Address, B256, Keccak256, Signature},
    signers::{SignerSync, local::PrivateKeySigner},
};
use domain::EpochId;
use serde::{Deserialize, Serialize};

use crate::observation::{Domain, SignedObservation};

/// A request to sign: the observations that the report follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignRequest {
    /// Epoch.
    pub epoch: EpochId,
    /// Round: counts the failed ones of the epoch.
    pub round: u16,
    /// Signed observations of distinct signers, any order.
    pub observations: Vec<SignedObservation>,
}

/// A request to sign, by the signer who leads the round. What a signer signs first binds it for the round, so nobody else
/// may choose the observations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedRequest {
    /// What is to be signed.
    pub request: SignRequest,
    /// The leader's signature over it: 65 bytes, hex.
    pub signature: String,
}

/// Who leads a round: the signers in turn, in the contract's order.
#[must_use]
pub fn leader(epoch: EpochId, round: u16, signers: &[Address]) -> Option<Address> {
    let count = u64::try_from(signers.len()).ok()?;
    let place = u64::from(epoch.0).saturating_add(round.into()).checked_rem(count)?;
    signers.get(usize::try_from(place).ok()?).copied()
}

impl Domain {
    fn request_digest(&self, request: &SignRequest) -> Result<B256, String> {
        let text = serde_json::to_string(request).map_err(|error| error.to_string())?;
        let mut hasher = Keccak256::new();
        hasher.update(b"Liquid Hashrate sign request v1");
        hasher.update(self.chain_id.to_be_bytes());
        hasher.update(self.oracle);
        hasher.update(text.as_bytes());
        Ok(hasher.finalize())
    }

    pub(crate) fn lead(
        &self,
        request: &SignRequest,
        key: &PrivateKeySigner,
    ) -> Result<LedRequest, String> {
        let digest = self.request_digest(request)?;
        let signature = key.sign_hash_sync(&digest).map_err(|error| error.to_string())?;
        let signature = hex::encode(signature.as_bytes());
        Ok(LedRequest { request: request.clone(), signature })
    }

    pub(crate) fn led_by(&self, led: &LedRequest, signers: &[Address]) -> Result<Address, String> {
        let digest = self.request_digest(&led.request)?;
        let bytes = hex::decode(&led.signature).map_err(|error| error.to_string())?;
        let signature = Signature::from_raw(&bytes).map_err(|error| error.to_string())?;
        let who = signature.recover_address_from_prehash(&digest);
        let who = who.map_err(|error| error.to_string())?;
        let known = signers.contains(&who).then_some(who);
        known.ok_or_else(|| format!("the request is of {who}, who is not in the signer set"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signer_leads_in_turn() {
        let signers = [1, 2, 3].map(Address::repeat_byte);
        let leads = |round| leader(EpochId(7), round, &signers);
        assert_eq!(
            [leads(0), leads(1), leads(2), leads(3)].map(Option::unwrap),
            [2, 3, 1, 2].map(Address::repeat_byte)
        );
        assert_eq!(leader(EpochId(7), 0, &[]), None);
    }

    #[test]
    fn only_a_signer_can_ask_for_a_signature() {
        let (oracle, registry) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let domain = Domain { chain_id: 1, oracle, registry };
        let (key, stranger) = (PrivateKeySigner::random(), PrivateKeySigner::random());
        let observation = SignedObservation { body: "{}".into(), signature: "00".into() };
        let request = SignRequest { epoch: EpochId(7), round: 0, observations: vec![observation] };
        let signers = [key.address()];
        let led = domain.lead(&request, &key).unwrap();
        let travelled = serde_json::to_string(&led).unwrap();
        let led: LedRequest = serde_json::from_str(&travelled).unwrap();
        assert_eq!(domain.led_by(&led, &signers), Ok(key.address()));
        let foreign = domain.lead(&request, &stranger).unwrap();
        assert!(domain.led_by(&foreign, &signers).unwrap_err().contains("not in the signer set"));
        let mut changed = led;
        changed.request.observations.clear();
        assert!(domain.led_by(&changed, &signers).is_err());
    }
}
