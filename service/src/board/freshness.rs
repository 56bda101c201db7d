//! How late an answer may be.

/// How late an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Everything that was acknowledged before the question.
    Latest,
    /// Everything that was acknowledged two seconds before the question.
    MayLag,
}
