//! Stored values back into the vocabulary. A value that no version of this program writes is [`DbError::Corrupt`].

use crate::DbError;
use muster_domain::{assignment::Generation, node::Role};
use serde::{Deserialize, de::IntoDeserializer};

/// A text column that holds a name or one of a few words, in the serde form of its type.
pub(crate) fn word<T>(table: &'static str, column: &'static str, text: String) -> Result<T, DbError>
where
    T: for<'de> Deserialize<'de>,
{
    T::deserialize(IntoDeserializer::<serde::de::value::Error>::into_deserializer(text))
        .map_err(|reason| DbError::corrupt(table, column, reason))
}

/// The same for a column that may be NULL.
pub(crate) fn word_opt<T>(
    table: &'static str,
    column: &'static str,
    text: Option<String>,
) -> Result<Option<T>, DbError>
where
    T: for<'de> Deserialize<'de>,
{
    text.map(|text| word(table, column, text)).transpose()
}

/// Roles of a node.
pub(crate) fn roles(table: &'static str, texts: &[String]) -> Result<Vec<Role>, DbError> {
    texts
        .iter()
        .map(|text| {
            Role::parse(text)
                .ok_or_else(|| DbError::corrupt(table, "roles", format!("unknown role {text:?}")))
        })
        .collect()
}

/// A number that is never negative.
pub(crate) fn unsigned<T>(table: &'static str, column: &'static str, number: i64) -> Result<T, DbError>
where
    T: TryFrom<i64>,
    T::Error: ToString,
{
    T::try_from(number).map_err(|reason| DbError::corrupt(table, column, reason))
}

/// A generation; 0 is "none".
pub(crate) fn generation(
    table: &'static str,
    column: &'static str,
    number: i64,
) -> Result<Generation, DbError> {
    unsigned(table, column, number).map(Generation::new)
}

/// A number of ours for a `bigint` column. What is larger than the column can hold is held at its end: figures of a host
/// are informational, and none of them comes near.
pub(crate) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A figure of a host that is not a number says nothing, and JSON cannot show it.
pub(crate) fn finite(number: f32) -> f32 {
    if number.is_finite() { number } else { 0.0 }
}
