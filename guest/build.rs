//! The stack of the component. It is part of the memory that a node prepares for each
//! callback, so less of it is faster; 128 KiB is plenty for a handler.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("wasm") {
        println!("cargo:rustc-link-arg-cdylib=-zstack-size=131072");
    }
}
