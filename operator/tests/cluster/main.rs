//! The operator against a real API server, MySQL and ECR API: `cargo dev test operator`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod accounts_kit;
mod adopt;
mod children;
mod cli;
mod cli_kit;
mod cli_relay;
mod crd;
mod database;
mod database_tls;
mod fields;
mod foreign_kinds;
mod images;
mod lease;
mod load_balancer;
mod open;
mod peer;
mod reconcile;
mod replicas;
mod rollouts;
mod rotation;
mod rotation_load;
mod secrets;
mod status;
#[path = "../kit/world.rs"]
#[expect(dead_code, reason = "shared with other test programs")]
mod world;
