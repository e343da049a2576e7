//! Whose signature it is: a key's, or a contract's by EIP-1271.

use alloy::{
    primitives::{B256, Signature, fixed_bytes},
    providers::Provider,
    sol,
    sol_types::{SolStruct, eip712_domain},
};
use evm::{Deployment, bindings::IPositionMarket::Order};

use super::{App, Problem};

sol! {
    #[sol(rpc)]
    interface IERC1271 {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4 magic);
    }
}

/// What the maker signs, which is also the order's name in the market's events.
pub(super) fn order_hash(order: &Order, deployment: &Deployment) -> B256 {
    order.eip712_signing_hash(&eip712_domain! {
        name: "Liquid Hashrate PositionMarket",
        version: "1",
        chain_id: deployment.chain_id,
        verifying_contract: deployment.position_market,
    })
}

/// Accepts the maker's own signature, or one that the maker's contract vouches for.
pub(super) async fn check(
    app: &App,
    order: &Order,
    hash: B256,
    bytes: &[u8],
) -> Result<(), Problem> {
    let recovered = Signature::from_raw(bytes)
        .ok()
        .and_then(|signature| signature.recover_address_from_prehash(&hash).ok());
    if recovered == Some(order.maker) {
        return Ok(());
    }
    let code = app.provider.get_code_at(order.maker).await.map_err(Problem::node)?;
    if !code.is_empty() {
        let contract = IERC1271::new(order.maker, &app.provider);
        let answer = contract.isValidSignature(hash, bytes.to_vec().into()).call().await;
        return match answer {
            Ok(magic) if magic == fixed_bytes!("1626ba7e") => Ok(()),
            Err(alloy::contract::Error::TransportError(error))
                if error.as_error_resp().is_none() =>
            {
                Err(Problem::node(error))
            }
            _ => Err(wrong("the maker is a contract and does not vouch for this signature")),
        };
    }
    match recovered {
        Some(signer) => Err(wrong(&format!("signed by {signer}, the maker is {}", order.maker))),
        None => Err(wrong("the bytes are no signature")),
    }
}

fn wrong(detail: &str) -> Problem {
    let fix = "sign the EIP-712 Order with the maker's key, under this chain's id and this market's address; a changed field or another network changes the signer";
    Problem::bad("wrong_signature", detail, fix)
}
