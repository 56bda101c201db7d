//! Checks that every text field shares.

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
