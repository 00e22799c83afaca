//! What a component imports and exports, which kind of app that makes, and the first instance of
//! it, which says of which version and shape its state is.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wasmtime_wasi_http::p3::bindings::{ServiceIndices, ServicePre};

use super::validate::{ComponentError, SHAPE_MAX, contract};
use super::{ComponentKind, ContractVersion, Generation, Span, imports, invoke};
use crate::component::is_handler_03;
use crate::contract::simple::SimpleAppIndices;
use crate::contract::streaming::StreamingAppIndices;
use crate::contract::upgrade::exports::ace::raxx::upgrade::GuestIndices as UpgradeIndices;
use crate::contract::v0_1;
use crate::contract::v0_1::upgrade::exports::ace::raxx::upgrade::GuestIndices as UpgradeIndices0_1;
use crate::contract::{HostState, Subscribed};
use crate::engine::one_line;

const PACKAGE: &str = "ace:raxx/";
const SIMPLE: &str = "ace:raxx/simple-server@";
const STREAMING: &str = "ace:raxx/server@";
const MAILBOX: &str = "ace:raxx/mailbox@";
const UPGRADE: &str = "ace:raxx/upgrade@";
const WASI_HTTP: &str = "wasi:http/incoming-handler@";

/// What a component imports and exports, by name.
pub(super) struct Interfaces {
    imports: Vec<String>,
    exports: Vec<String>,
}

/// What the first instance is loaded with, so that all types are checked.
pub(super) struct World {
    handler: Handler,
    upgrade: Option<UpgradeOf>,
}

enum Handler {
    Simple(SimpleAppIndices),
    Streaming(StreamingAppIndices),
    Simple0_1(v0_1::simple::SimpleAppIndices),
    Streaming0_1(v0_1::streaming::StreamingAppIndices),
    WasiHttp(ProxyIndices),
    WasiHttp03(ServiceIndices),
}

enum UpgradeOf {
    V0_1(UpgradeIndices0_1),
    V0_2(UpgradeIndices),
}

/// What the code of a component says of the state that it writes.
#[derive(Default)]
pub(super) struct StateOf {
    pub(super) version: u32,
    pub(super) shape: Option<Arc<str>>,
}

/// Whether an interface is of the contract, and of no version that is served.
fn is_foreign(interface: &str) -> bool {
    interface.starts_with(PACKAGE) && ContractVersion::of(interface).is_none()
}

impl Interfaces {
    pub(super) fn of(component: &Component) -> Interfaces {
        let (engine, component) = (component.engine(), component.component_type());
        let (imports, exports) = (component.imports(engine), component.exports(engine));
        Interfaces {
            imports: imports.map(|(import, _)| import.to_owned()).collect(),
            exports: exports.map(|(export, _)| export.to_owned()).collect(),
        }
    }

    /// Checks the versions of the contract that it is for. A component may be for several, if it
    /// exports the handler of each.
    ///
    /// # Errors
    /// [`ComponentError::Version`].
    pub(super) fn check_versions(&self, app: &str) -> Result<(), ComponentError> {
        let error = |cause| ComponentError::Version {
            app: app.to_owned(),
            cause,
        };
        let handlers: Vec<&str> = [STREAMING, SIMPLE]
            .iter()
            .filter_map(|of| Some(self.handler(of)?.1))
            .collect();
        let is_served =
            !handlers.is_empty() || self.export(WASI_HTTP, None).is_some() || self.has_handler_03();
        let foreign_import = self.imports.iter().any(|it| is_foreign(it));
        if foreign_import || (!is_served && self.exports.iter().any(|it| is_foreign(it))) {
            let all = self.exports.iter().chain(&self.imports);
            let foreign: Vec<String> = all.filter(|it| is_foreign(it)).cloned().collect();
            return Err(error(format!("needs {}", imports::list(&foreign))));
        }
        let mailboxes = self.imports.iter().filter(|it| it.starts_with(MAILBOX));
        let upgrades = self.exports.iter().filter(|it| it.starts_with(UPGRADE));
        for other in mailboxes.chain(upgrades) {
            let version = ContractVersion::of(other);
            let has_handler = [STREAMING, SIMPLE]
                .iter()
                .any(|of| self.export(of, version).is_some());
            if let (Some(handler), false) = (handlers.first(), has_handler) {
                let cause = format!("mixes versions of the contract, {handler} and {other}");
                return Err(error(cause));
            }
        }
        Ok(())
    }

    /// The newest version of this interface that it exports and that is served.
    fn handler(&self, interface: &str) -> Option<(ContractVersion, &str)> {
        let versions = ContractVersion::ALL.into_iter();
        versions
            .filter_map(|version| Some((version, self.export(interface, Some(version))?)))
            .next()
    }

    fn has_handler_03(&self) -> bool {
        self.exports.iter().any(|export| is_handler_03(export))
    }

    fn export(&self, interface: &str, version: Option<ContractVersion>) -> Option<&str> {
        let is_it = |export: &&String| {
            export.starts_with(interface)
                && version.is_none_or(|version| ContractVersion::of(export) == Some(version))
        };
        self.exports.iter().find(is_it).map(String::as_str)
    }

    /// The kind of app that a component with these interfaces is.
    pub(super) fn kind(
        &self,
        app: &str,
        pre: &InstancePre<HostState>,
    ) -> Result<(ComponentKind, World), ComponentError> {
        let component = pre.component();
        let unfit = |error| contract(app, one_line(&error));
        let (kind, handler, version) = if self.has_handler_03() {
            // Its engine is the one for WASI 0.3, whatever else it exports.
            let kind = ServicePre::new(pre.clone()).map_err(unfit)?;
            let handler = ServiceIndices::new(pre).map(Handler::WasiHttp03);
            (Some(ComponentKind::WasiHttp03(kind)), handler, None)
        } else if let Some((version, handler)) = self.handler(STREAMING) {
            let upgrade = self.export(UPGRADE, Some(version));
            let kind = ComponentKind::streaming(component, version, handler, upgrade);
            (kind, Handler::streaming(version, pre), Some(version))
        } else if let Some((version, handler)) = self.handler(SIMPLE) {
            let kind = ComponentKind::simple(component, handler);
            (kind, Handler::simple(version, pre), Some(version))
        } else if let Some(handler) = self.export(WASI_HTTP, None) {
            let kind = ComponentKind::wasi_http(component, handler);
            (kind, ProxyIndices::new(pre).map(Handler::WasiHttp), None)
        } else {
            let exports = match &self.exports[..] {
                [] => "nothing".to_owned(),
                some => some.join(", "),
            };
            return Err(ComponentError::NoHandler {
                app: app.to_owned(),
                exports,
            });
        };
        let handler = handler.map_err(unfit)?;
        self.check_mailbox(app, &handler)?;
        let missing = || contract(app, "a function of its handler is missing".to_owned());
        // An app without exchanges of its own may be for any version.
        let has_it = |it: &ContractVersion| {
            version.is_none_or(|of| of == *it) && self.export(UPGRADE, Some(*it)).is_some()
        };
        let upgrade = ContractVersion::ALL.into_iter().find(has_it);
        let upgrade = upgrade.map(|version| UpgradeOf::new(version, pre));
        let world = World {
            handler,
            upgrade: upgrade.transpose().map_err(unfit)?,
        };
        Ok((kind.ok_or_else(missing)?, world))
    }

    fn check_mailbox(&self, app: &str, handler: &Handler) -> Result<(), ComponentError> {
        let imports_it = self.imports.iter().any(|it| it.starts_with(MAILBOX));
        let has_one = matches!(handler, Handler::Streaming(_) | Handler::Streaming0_1(_));
        if imports_it && !has_one {
            return Err(ComponentError::Import {
                app: app.to_owned(),
                cause: "ace:raxx/mailbox is for apps that export ace:raxx/server, since only \
                        their exchanges have a mailbox"
                    .to_owned(),
            });
        }
        Ok(())
    }
}

impl Handler {
    fn streaming(
        version: ContractVersion,
        pre: &InstancePre<HostState>,
    ) -> wasmtime::Result<Handler> {
        use v0_1::streaming::StreamingAppIndices as Indices0_1;
        match version {
            ContractVersion::V0_1 => Indices0_1::new(pre).map(Handler::Streaming0_1),
            ContractVersion::V0_2 => StreamingAppIndices::new(pre).map(Handler::Streaming),
        }
    }

    fn simple(version: ContractVersion, pre: &InstancePre<HostState>) -> wasmtime::Result<Handler> {
        use v0_1::simple::SimpleAppIndices as Indices0_1;
        match version {
            ContractVersion::V0_1 => Indices0_1::new(pre).map(Handler::Simple0_1),
            ContractVersion::V0_2 => SimpleAppIndices::new(pre).map(Handler::Simple),
        }
    }

    fn load(&self, store: &mut Store<HostState>, instance: &Instance) -> wasmtime::Result<()> {
        match self {
            Handler::Simple(indices) => indices.load(store, instance).map(drop),
            Handler::Streaming(indices) => indices.load(store, instance).map(drop),
            Handler::Simple0_1(indices) => indices.load(store, instance).map(drop),
            Handler::Streaming0_1(indices) => indices.load(store, instance).map(drop),
            Handler::WasiHttp(indices) => indices.load(store, instance).map(drop),
            Handler::WasiHttp03(indices) => indices.load(store, instance).map(drop),
        }
    }
}

impl UpgradeOf {
    fn new(version: ContractVersion, pre: &InstancePre<HostState>) -> wasmtime::Result<UpgradeOf> {
        match version {
            ContractVersion::V0_1 => UpgradeIndices0_1::new(pre).map(UpgradeOf::V0_1),
            ContractVersion::V0_2 => UpgradeIndices::new(pre).map(UpgradeOf::V0_2),
        }
    }

    /// Loads it, and asks what it says. The inner error is that it does not fit.
    async fn ask(
        &self,
        store: &mut Store<HostState>,
        instance: &Instance,
    ) -> wasmtime::Result<Result<(u32, String), wasmtime::Error>> {
        match self {
            UpgradeOf::V0_1(indices) => match indices.load(&mut *store, instance) {
                Ok(upgrade) => Ok(Ok((
                    upgrade.call_state_version(store).await?,
                    String::new(),
                ))),
                Err(error) => Ok(Err(error)),
            },
            UpgradeOf::V0_2(indices) => match indices.load(&mut *store, instance) {
                Ok(upgrade) => {
                    let version = upgrade.call_state_version(&mut *store).await?;
                    Ok(Ok((version, upgrade.call_state_shape(store).await?)))
                }
                Err(error) => Ok(Err(error)),
            },
        }
    }
}

impl World {
    /// Makes one instance, loads each of its interfaces, and asks of which version and shape its
    /// state is.
    pub(super) async fn try_out(
        &self,
        generation: &Generation,
        app: &str,
    ) -> Result<StateOf, ComponentError> {
        let held = Subscribed::default();
        let tried = invoke(generation, Span::Callback, held, async |store, instance| {
            if let Err(error) = self.handler.load(store, instance) {
                return Ok(Err(error));
            }
            match &self.upgrade {
                None => Ok(Ok((0, String::new()))),
                Some(upgrade) => upgrade.ask(store, instance).await,
            }
        });
        match tried.await {
            Ok((Ok((version, shape)), _)) if shape.len() <= SHAPE_MAX => Ok(StateOf {
                version,
                shape: (!shape.is_empty()).then(|| shape.into()),
            }),
            Ok((Ok((_, shape)), _)) => Err(ComponentError::Shape {
                app: app.to_owned(),
                bytes: shape.len(),
            }),
            Ok((Err(error), _)) => Err(contract(app, one_line(&error))),
            Err(failure) if failure.is_busy() => Err(ComponentError::NoRoom {
                app: app.to_owned(),
                cause: failure.to_string(),
            }),
            Err(failure) => Err(ComponentError::Start {
                app: app.to_owned(),
                cause: failure.to_string(),
            }),
        }
    }
}
