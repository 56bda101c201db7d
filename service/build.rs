//! The migrations are embedded at compile time: a change of them must rebuild the crate. And what the linker
//! does for a small process.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        // Addresses that the loader adjusts take a bit each instead of 24 bytes, all of which it reads.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
