//! The operator of the Post Service: runs it from one `PostService` object on Kubernetes.
//!
//! Start reading at [`controller`]: one pass is a page there.

pub mod adoption;
pub mod api;
pub mod build;
pub mod cli;
pub mod controller;
pub mod database;
pub mod foreign;
pub mod lease;
pub mod registry;
pub mod rollout;
pub mod telemetry;
