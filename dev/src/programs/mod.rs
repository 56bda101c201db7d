//! Programs that are built or downloaded once and kept in the cache folder.

pub mod cache;
pub mod debian;
pub mod go;
pub mod mysql;
pub mod pause;
pub mod python;
