//! The Post Service: a community board's posts over a REST API, on MySQL or SQLite.
//!
//! A request flows through [`server`] → [`http`] → [`board`] → [`store`]; who is calling is told by
//! [`auth`]. [`serve`] puts these together.

pub mod auth;
pub mod board;
pub mod cli;
pub mod comments;
pub mod config;
pub mod deactivation;
pub mod fresh;
pub mod healthcheck;
pub mod http;
pub mod media;
pub mod serve;
pub mod server;
pub mod shutdown;
pub mod store;
pub mod telemetry;
