//! The kinds of apps, the versions of the contract, and the functions that the host calls.
//!
//! A function is looked up when it is called. Loading the whole interface instead
//! would check the types of all its functions again, for each fresh instance.
//! Validation has loaded all interfaces, and so checked the types.

use wasmtime::component::{Component, ComponentExportIndex};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::contract::HostState;

/// A version of `ace:raxx` that this host serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContractVersion {
    /// 0.1.0: effects are calls of `mailbox`.
    V0_1,
    /// 0.2.0: effects are returned with a step.
    V0_2,
}

impl ContractVersion {
    /// All of them, the newest first.
    pub(crate) const ALL: [ContractVersion; 2] = [ContractVersion::V0_2, ContractVersion::V0_1];

    /// What is served, as a part of a sentence.
    pub(crate) const SERVED: &str = "ace:raxx 0.2.0 and 0.1.0";

    /// The version that an interface has in its name, if it is one that is served.
    pub(crate) fn of(interface: &str) -> Option<ContractVersion> {
        let (_, version) = interface.split_once('@')?;
        let is_of = |it: &ContractVersion| version.starts_with(it.compatible());
        ContractVersion::ALL.into_iter().find(is_of)
    }

    /// How all versions begin that this one is compatible with.
    fn compatible(self) -> &'static str {
        match self {
            ContractVersion::V0_1 => "0.1.",
            ContractVersion::V0_2 => "0.2.",
        }
    }
}

/// The kind of app that a component is, with the functions that the host calls.
#[derive(Clone)]
pub enum ComponentKind {
    /// Exports `ace:raxx/simple-server`, which is the same in all versions.
    Simple {
        /// Its one function.
        handle_request: ComponentExportIndex,
    },
    /// Exports `ace:raxx/server`.
    Streaming(Streaming),
    /// Exports `wasi:http/incoming-handler`.
    WasiHttp {
        /// Its one function.
        handle: ComponentExportIndex,
    },
    /// Exports `wasi:http/handler` of WASI 0.3. It runs on an engine of its own.
    WasiHttp03(ServicePre<HostState>),
}

/// The functions of an app that exports `ace:raxx/server`.
#[derive(Clone)]
pub struct Streaming {
    pub(crate) handle_head: ComponentExportIndex,
    pub(crate) handle_data: ComponentExportIndex,
    pub(crate) handle_tail: ComponentExportIndex,
    pub(crate) handle_info: ComponentExportIndex,
    pub(crate) version: ServerVersion,
    /// None if the component does not export `ace:raxx/upgrade`.
    pub(crate) upgrade: Option<Upgrade>,
}

/// What differs between the versions of `ace:raxx/server`.
#[derive(Clone)]
pub(crate) enum ServerVersion {
    V0_1,
    V0_2 { handle_body: ComponentExportIndex },
}

/// The functions of `ace:raxx/upgrade`.
#[derive(Clone)]
pub(crate) struct Upgrade {
    pub(crate) code_change: ComponentExportIndex,
    pub(crate) code_change_down: ComponentExportIndex,
}

impl ComponentKind {
    /// Finds the function of `ace:raxx/simple-server`, which is exported under the
    /// name `interface`. None if the function is not there.
    pub(super) fn simple(component: &Component, interface: &str) -> Option<ComponentKind> {
        let handle_request = function(component, interface, "handle-request")?;
        Some(ComponentKind::Simple { handle_request })
    }

    /// Finds the functions of `ace:raxx/server`, and of `ace:raxx/upgrade` if it is
    /// exported.
    pub(super) fn streaming(
        component: &Component,
        version: ContractVersion,
        interface: &str,
        upgrade: Option<&str>,
    ) -> Option<ComponentKind> {
        let find = |name| function(component, interface, name);
        let upgrade = match upgrade {
            None => None,
            Some(interface) => Some(Upgrade {
                code_change: function(component, interface, "code-change")?,
                code_change_down: function(component, interface, "code-change-down")?,
            }),
        };
        Some(ComponentKind::Streaming(Streaming {
            handle_head: find("handle-head")?,
            handle_data: find("handle-data")?,
            handle_tail: find("handle-tail")?,
            handle_info: find("handle-info")?,
            version: match version {
                ContractVersion::V0_1 => ServerVersion::V0_1,
                ContractVersion::V0_2 => ServerVersion::V0_2 {
                    handle_body: find("handle-body")?,
                },
            },
            upgrade,
        }))
    }

    /// Finds the function of `wasi:http/incoming-handler`.
    pub(super) fn wasi_http(component: &Component, interface: &str) -> Option<ComponentKind> {
        let handle = function(component, interface, "handle")?;
        Some(ComponentKind::WasiHttp { handle })
    }

    /// The name of the kind in the log.
    pub fn name(&self) -> &'static str {
        match self {
            ComponentKind::Simple { .. } => "ace:raxx/simple-server",
            ComponentKind::Streaming(_) => "ace:raxx/server",
            ComponentKind::WasiHttp { .. } => "wasi:http/incoming-handler",
            ComponentKind::WasiHttp03(_) => "wasi:http/handler",
        }
    }

    /// Whether its exchanges may gather the bodies of their requests by a step.
    pub(crate) fn can_collect(&self) -> bool {
        matches!(
            self,
            ComponentKind::Streaming(Streaming {
                version: ServerVersion::V0_2 { .. },
                ..
            })
        )
    }

    /// Whether its exchanges know the messages `fetched` and `key-changed`.
    pub(crate) fn knows_answers(&self) -> bool {
        self.can_collect()
    }
}

fn function(component: &Component, interface: &str, name: &str) -> Option<ComponentExportIndex> {
    let interface = component.get_export_index(None, interface)?;
    component.get_export_index(Some(&interface), name)
}
