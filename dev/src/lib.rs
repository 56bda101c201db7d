//! The development tool behind `cargo dev`: a local Kubernetes with everything that the post
//! service needs around it, and the tests that run on it.
//!
//! Where to look first: [`cli`] names the commands, [`up`] is the order in which things start,
//! [`down`] how they are removed again. [`kit`] is what the end-to-end tests use.

pub mod aws;
pub mod backends;
pub mod bench;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod down;
pub mod images;
pub mod install;
pub mod iptables;
pub mod kit;
pub mod loadbalancer;
pub mod logs;
pub mod mysql;
pub mod network;
pub mod packages;
pub mod paths;
pub mod pipeline;
pub mod preflight;
pub mod process;
pub mod programs;
pub mod progress;
pub mod state;
pub mod status;
pub mod test;
pub mod up;
pub mod wait;
