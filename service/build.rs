//! The migrations are embedded at compile time: a change of them must rebuild the crate.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
