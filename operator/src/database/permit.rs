use std::fmt;
use std::sync::Arc;

/// The operator may not write any more: another one leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this operator does not lead any more: the one that does goes on")]
pub struct Revoked;

/// Asked before each statement and each write of a Secret that changes something. This is where the
/// lease joins.
#[derive(Clone)]
pub struct Permit(Arc<dyn Fn() -> Result<(), Revoked> + Send + Sync>);

impl Permit {
    /// A permit that `check` gives or refuses.
    pub fn new(check: impl Fn() -> Result<(), Revoked> + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    /// A permit for an operator that is alone.
    pub fn always() -> Self {
        Self::new(|| Ok(()))
    }

    /// Whether a write may begin now.
    pub fn check(&self) -> Result<(), Revoked> {
        (self.0)()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}
