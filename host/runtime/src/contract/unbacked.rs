//! Interfaces of WASI that components import and that have nothing behind them yet: a key-value
//! store. They link, so that such a component starts; and each function answers with
//! the error of its own interface.
//!
//! The functions take whatever types a component gives them. For the drafts of one version differ:
//! `get-many` has two shapes in `0.2.0-draft2`.

use wasmtime::component::{Linker, LinkerInstance, ResourceType, Val};

use super::HostState;

/// The versions of the key-value store.
const KEYVALUE: [&str; 2] = ["0.2.0-draft", "0.2.0-draft2"];

/// Stands for a handle of the store. There is never one.
enum Never {}

/// Links them.
///
/// # Errors
/// If one is linked already.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    for version in KEYVALUE {
        let mut store = linker.instance(&format!("wasi:keyvalue/store@{version}"))?;
        handle(&mut store, "bucket")?;
        for function in ["get", "set", "delete", "exists", "list-keys"] {
            refuse(&mut store, &format!("[method]bucket.{function}"), no_store)?;
        }
        refuse(&mut store, "open", no_store)?;
        let mut batch = linker.instance(&format!("wasi:keyvalue/batch@{version}"))?;
        for function in ["get-many", "set-many", "delete-many"] {
            refuse(&mut batch, function, no_store)?;
        }
        let mut atomics = linker.instance(&format!("wasi:keyvalue/atomics@{version}"))?;
        handle(&mut atomics, "cas")?;
        for function in ["increment", "[static]cas.new", "[method]cas.current"] {
            refuse(&mut atomics, function, no_store)?;
        }
        refuse(&mut atomics, "swap", not_swapped)?;
    }
    Ok(())
}

/// A function that answers with an error.
fn refuse(
    interface: &mut LinkerInstance<'_, HostState>,
    function: &str,
    error: fn() -> Val,
) -> wasmtime::Result<()> {
    interface.func_new(function, move |_, _, _, results| {
        if let [result] = results {
            *result = Val::Result(Err(Some(Box::new(error()))));
        }
        Ok(())
    })
}

fn handle(interface: &mut LinkerInstance<'_, HostState>, name: &str) -> wasmtime::Result<()> {
    interface.resource(name, ResourceType::host::<Never>(), |_, _| Ok(()))
}

/// `keyvalue.error.no-such-store`.
fn no_store() -> Val {
    Val::Variant("no-such-store".to_owned(), None)
}

/// `keyvalue.cas-error.store-error`.
fn not_swapped() -> Val {
    Val::Variant("store-error".to_owned(), Some(Box::new(no_store())))
}
