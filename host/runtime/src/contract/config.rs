//! Config and secrets of the app: by `wasi:config/store`, under each name that the interface has had, and
//! in the environment.
//!
//! An instance sees what was set when it was made, for as long as it lives. After a change it takes
//! no further call.

use ::cluster::{Settings, is_environment_name};
use wasmtime::component::{Linker, Val};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use super::HostState;

/// The versions of the interface, under the names it has had. All have the same two functions.
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
        // The functions take whatever types a component gives the interface.
        config.func_new("get", |store, _, parameters, results| {
            let settings = store.data().instance.settings();
            if let ([Val::String(key)], [result]) = (parameters, results) {
                let value = settings
                    .get(key)
                    .map(|value| Box::new(Val::String(value.to_owned())));
                *result = ok(Val::Option(value));
            }
            Ok(())
        })?;
        config.func_new("get-all", |store, _, _, results| {
            let settings = store.data().instance.settings();
            let entry = |(key, value): (&str, &str)| {
                Val::Tuple([key, value].map(|it| Val::String(it.to_owned())).into())
            };
            if let [result] = results {
                *result = ok(Val::List(settings.config().map(entry).collect()));
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The beginning of a WASI context, with this in its environment.
pub(super) fn wasi(settings: &Settings) -> WasiCtxBuilder {
    let mut wasi = WasiCtx::builder();
    for (key, value) in settings
        .config()
        .filter(|(key, _)| is_environment_name(key))
    {
        wasi.env(key, value);
    }
    wasi
}

fn ok(value: Val) -> Val {
    Val::Result(Ok(Some(Box::new(value))))
}
