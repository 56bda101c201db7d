//! What `pipeline/` promises, proven here: its buildspecs run as CodeBuild would run them, and its
//! files are checked.

pub mod buildspec;
pub mod checks;
pub mod codebuild;
#[cfg(test)]
mod promises;
pub mod tools;
