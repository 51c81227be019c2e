//! Migrations are compiled in: a change of one must build this crate again.
#![allow(clippy::print_stdout)] // that is how a build script speaks to cargo

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
