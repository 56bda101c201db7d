//! Kit
