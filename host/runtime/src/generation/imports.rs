//! What a component imports that this host does not have: by name, so that who pushed it knows
//! all of it at once.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use crate::contract::HostState;
use crate::engine::Runtime;

/// How much of a list of names is told, in characters.
const LIST_MAX: usize = 300;

/// The versions in which the linker has the interfaces of WASI and of the contract. It serves
/// other versions by them, as far as they are compatible.
const LINKED: [&str; 4] = ["0.2.12", "0.2.0", "0.3.0", "0.1.0"];

/// What a component imports and the linker does not have: interfaces, and functions of interfaces
/// that it has otherwise. It may be nothing although the component cannot be linked: then a
/// function has another type.
pub(super) fn missing(runtime: &Runtime, component: &Component) -> Vec<String> {
    let (engine, linker) = (component.engine(), runtime.linker_of(component.engine()));
    let component = component.component_type();
    let imports = component.imports(engine);
    imports
        .filter_map(|(name, import)| match import.ty {
            ComponentItem::ComponentInstance(interface) => {
                let functions = interface
                    .exports(engine)
                    .filter(|(_, export)| matches!(export.ty, ComponentItem::ComponentFunc(_)))
                    .map(|(function, _)| function);
                missing_of(linker, name, functions.collect())
            }
            _ => Some(name.to_owned()),
        })
        .collect()
}

/// The interface, if all of its functions are missing, or else those that are.
fn missing_of(linker: &Linker<HostState>, interface: &str, functions: Vec<&str>) -> Option<String> {
    // The linker tells what it has only by refusing to take it a second time.
    let mut linkers: Vec<_> = versions(interface)
        .map(|version| (version, linker.clone()))
        .collect();
    let mut has = |function: &str| {
        linkers.iter_mut().any(|(interface, linker)| {
            let interface = linker.instance(interface);
            let taken = interface.and_then(|mut it| it.func_new(function, |_, _, _, _| Ok(())));
            taken.is_err()
        })
    };
    let missing: Vec<&str> = functions
        .iter()
        .copied()
        .filter(|name| !has(name))
        .collect();
    match missing.len() {
        0 => None,
        all if all == functions.len() => Some(interface.to_owned()),
        _ => Some(format!("{interface} ({})", missing.join(", "))),
    }
}

/// The names under which the linker may have an interface: the name itself, and the same with the
/// versions by which it may be served.
fn versions(interface: &str) -> impl Iterator<Item = String> {
    // All compatible versions begin alike: 0.2.x, 0.1.x.
    let (name, version) = interface.split_once('@').unwrap_or_default();
    let linked = LINKED.iter().filter(move |linked| {
        let (minor, _) = linked.rsplit_once('.').unwrap_or_default();
        let patch = version
            .strip_prefix(minor)
            .and_then(|rest| rest.strip_prefix('.'));
        patch.is_some_and(|patch| patch.bytes().all(|digit| digit.is_ascii_digit()))
    });
    let linked = linked.map(move |linked| format!("{name}@{linked}"));
    std::iter::once(interface.to_owned()).chain(linked)
}

/// Names in one line of bounded length.
pub(super) fn list(names: &[String]) -> String {
    let mut list = String::new();
    for (at, name) in names.iter().enumerate() {
        if at > 0 && list.len() + name.len() > LIST_MAX {
            return format!("{list} and {} more", names.len() - at);
        }
        if at > 0 {
            list.push_str(", ");
        }
        list.extend(name.chars().take(LIST_MAX));
    }
    list
}
