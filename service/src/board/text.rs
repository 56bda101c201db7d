//! Checks that every text field shares.

use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// Absent, `null`, empty or nothing but white space.
    #[error("missing")]
    Missing,
    /// More than this many characters.
    #[error("longer than {0} characters")]
    TooManyCharacters(usize),
    /// More than this many bytes of UTF-8.
    #[error("longer than {0} bytes")]
    TooManyBytes(usize),
    /// Holds U+0000, which not every client and tool survives.
    #[error("holds a NUL character")]
    Nul,
}

/// A fault and the field it was found in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {fault}")]
pub struct FieldError {
    /// The field's name in the API.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

impl FieldError {
    pub(super) fn new(field: &'static str, fault: Fault) -> Self {
        Self { field, fault }
    }
}

/// A field of a partial change: what is absent stays as it is, `null` is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sent<T> {
    /// Not sent.
    #[default]
    Absent,
    /// Sent as `null`.
    Null,
    /// Sent with a value.
    Value(T),
}

impl<T> Sent<T> {
    /// The value behind a reference.
    pub fn as_deref(&self) -> Sent<&T::Target>
    where
        T: std::ops::Deref,
    {
        match self {
            Self::Absent => Sent::Absent,
            Self::Null => Sent::Null,
            Self::Value(value) => Sent::Value(value),
        }
    }

    /// Parses what was sent; `null` as if it were missing.
    pub(super) fn parse<U>(
        self,
        parse: impl FnOnce(Option<T>) -> Result<U, FieldError>,
    ) -> Result<Option<U>, FieldError> {
        match self {
            Self::Absent => Ok(None),
            Self::Null => parse(None).map(Some),
            Self::Value(value) => parse(Some(value)).map(Some),
        }
    }
}

/// With `#[serde(default)]` on the field, which makes the absent ones.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Sent<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let value = Option::deserialize(json)?;
        Ok(value.map_or(Self::Null, Self::Value))
    }
}

/// The text, if there is anything but white space in it and no NUL.
pub(super) fn required<'a>(
    field: &'static str,
    value: Option<&'a str>,
) -> Result<&'a str, FieldError> {
    let value = value.unwrap_or_default();
    if value.trim().is_empty() {
        return Err(FieldError::new(field, Fault::Missing));
    }
    if value.contains('\0') {
        return Err(FieldError::new(field, Fault::Nul));
    }
    Ok(value)
}

/// Refuses more than `limit` characters (Unicode scalar values, as `VARCHAR` counts them).
pub(super) fn at_most_characters(
    field: &'static str,
    value: &str,
    limit: usize,
) -> Result<(), FieldError> {
    if value.chars().nth(limit).is_some() {
        return Err(FieldError::new(field, Fault::TooManyCharacters(limit)));
    }
    Ok(())
}
