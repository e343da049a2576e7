//! Integers as decimal strings in JSON: JavaScript readers lose digits above 2^53. Use as `#[serde(with = "domain::decimal")]`.

use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes an integer as a decimal string.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads an integer from a decimal string.
///
/// # Errors
/// When the text is no decimal integer of the type's range.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr,
    T::Err: Display,
    D: Deserializer<'de>,
{
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    text.parse().map_err(|error| D::Error::custom(format!("not an integer: {text:?}: {error}")))
}
