//! The form of a posted order, and what can be wrong with it before any chain is asked.

use std::str::FromStr;

use alloy::primitives::{Address, aliases::U40, aliases::U96};
use evm::{Deployment, bindings::IPositionMarket::Order};
use serde::{Deserialize, Deserializer, de::Error};

use super::Problem;

/// An order and its maker's signature as posted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Posted {
    order: Fields,
    signature: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    maker: Address,
    taker: Address,
    base: Address,
    quote: Address,
    #[serde(deserialize_with = "integer")]
    side: u8,
    #[serde(deserialize_with = "integer")]
    base_amount: U96,
    #[serde(deserialize_with = "integer")]
    quote_amount: u128,
    #[serde(deserialize_with = "integer")]
    expiry: U40,
    #[serde(deserialize_with = "integer")]
    group: u64,
    #[serde(deserialize_with = "integer")]
    salt: u64,
}

/// A decimal string, or a JSON integer small enough that no reader can have rounded it.
fn integer<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Number(u32),
    }
    let text = match Written::deserialize(deserializer) {
        Ok(Written::Text(text)) => text,
        Ok(Written::Number(number)) => number.to_string(),
        Err(_) => return Err(D::Error::custom("an integer is expected, as a decimal string")),
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.parse().ok().filter(|_| digits);
    parsed.ok_or_else(|| {
        D::Error::custom(format!("{text:?} is no decimal integer of its field's range"))
    })
}

impl Posted {
    /// The order and the signature's bytes.
    pub(super) fn read(self) -> Result<(Order, Vec<u8>), Problem> {
        let text = self.signature.strip_prefix("0x").unwrap_or(&self.signature);
        let signature = hex::decode(text).map_err(|error| {
            let fix = "send the wallet's signature as 0x and hex";
            Problem::bad("malformed_order", format!("signature: {error}"), fix)
        })?;
        let order = Order {
            maker: self.order.maker,
            taker: self.order.taker,
            base: self.order.base,
            quote: self.order.quote,
            side: self.order.side,
            baseAmount: self.order.base_amount,
            quoteAmount: self.order.quote_amount,
            expiry: self.order.expiry,
            group: self.order.group,
            salt: self.order.salt,
        };
        if order.side > 1 {
            let fix = "0: the maker sells units; 1: the maker buys";
            return Err(Problem::bad("malformed_order", "side is neither 0 nor 1", fix));
        }
        if order.baseAmount.is_zero() || order.quoteAmount == 0 {
            let fix = "give both amounts in the tokens' smallest units";
            return Err(Problem::bad("malformed_order", "an amount is zero", fix));
        }
        Ok((order, signature))
    }
}

/// The series whose unit the order trades for the quote token.
pub(super) fn series_of(order: &Order, deployment: &Deployment) -> Result<u16, Problem> {
    if order.quote != deployment.quote {
        let detail = format!("quote token {} is not listed here", order.quote);
        return Err(Problem::bad("unknown_token", detail, format!("use {}", deployment.quote)));
    }
    let series = deployment.series.iter().find(|series| series.unit == order.base);
    series.map(|series| series.id.0).ok_or_else(|| {
        let detail = format!("{} is no series' unit token", order.base);
        Problem::bad("unknown_token", detail, "GET /v1/series lists the unit tokens")
    })
}

/// Fills at or after the expiry are refused, so such an order is not taken either.
pub(super) fn not_expired(order: &Order, chain_time: u64) -> Result<(), Problem> {
    let expiry: u64 = order.expiry.to();
    if expiry > chain_time {
        return Ok(());
    }
    let detail = format!("the order expired at {expiry}, chain time is {chain_time}");
    Err(Problem::bad("order_expired", detail, "sign a new order with a later expiry"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn posted(change: impl FnOnce(&mut serde_json::Value)) -> Result<(Order, Vec<u8>), String> {
        let zero = Address::ZERO;
        let mut body = json!({
            "order": {
                "maker": Address::repeat_byte(1), "taker": zero, "base": Address::repeat_byte(2),
                "quote": Address::repeat_byte(3), "side": 0, "baseAmount": "79228162514264337593543950335",
                "quoteAmount": "5", "expiry": "1000", "group": "18446744073709551615", "salt": "0",
            },
            "signature": "0x00ff",
        });
        change(&mut body);
        let posted: Posted = serde_json::from_value(body).map_err(|error| error.to_string())?;
        posted.read().map_err(|problem| problem.code().to_owned())
    }

    #[test]
    fn the_largest_values_are_read_exactly() {
        let (order, signature) = posted(|_| ()).unwrap();
        assert_eq!(order.baseAmount, U96::MAX);
        assert_eq!(order.group, u64::MAX);
        assert_eq!(signature, [0, 0xff]);
    }

    #[test]
    fn wrong_forms_are_named() {
        let over = "79228162514264337593543950336";
        assert!(posted(|b| b["order"]["baseAmount"] = json!(over)).unwrap_err().contains(over));
        assert!(posted(|b| b["order"]["salt"] = json!("+1")).unwrap_err().contains("+1"));
        assert!(posted(|b| b["order"]["salt"] = json!(1.5)).unwrap_err().contains("integer"));
        assert!(posted(|b| b["order"]["extra"] = json!(1)).unwrap_err().contains("extra"));
        assert_eq!(posted(|b| b["order"]["side"] = json!(2)).unwrap_err(), "malformed_order");
        assert_eq!(posted(|b| b["signature"] = json!("0xzz")).unwrap_err(), "malformed_order");
        assert_eq!(
            posted(|b| b["order"]["quoteAmount"] = json!("0")).unwrap_err(),
            "malformed_order"
        );
    }

    #[test]
    fn an_order_expires_at_its_expiry() {
        let (order, _) = posted(|_| ()).unwrap();
        assert!(not_expired(&order, 999).is_ok());
        assert_eq!(not_expired(&order, 1000).unwrap_err().code(), "order_expired");
    }
}
