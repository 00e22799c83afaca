//! Interfaces of WASI that components import and that have nothing behind them yet: settings. They
//! link, so that such a component starts; and each function answers with the error of its own
//! interface.

use wasmtime::component::{Linker, LinkerInstance, Val};

use super::HostState;

/// The versions of the interface for settings, under the names it has had.
const CONFIG: [&str; 4] = [
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:config/store@0.2.0-draft",
    "wasi:config/runtime@0.2.0-draft",
];
/// Links them.
///
/// # Errors
/// If one is linked already.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    for name in CONFIG {
        let mut config = linker.instance(name)?;
        for function in ["get", "get-all"] {
            refuse(&mut config, function, no_settings)?;
        }
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

/// `config.error.upstream`.
fn no_settings() -> Val {
    let text = "this host gives components no settings yet".to_owned();
    Val::Variant("upstream".to_owned(), Some(Box::new(Val::String(text))))
}
