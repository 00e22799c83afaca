//! `wit-bindgen` generates these bindings from the contract in `wit/`. The rest
//! of this crate is the interface that apps use; only the export macros refer
//! to this module by its path.
//!
//! The world that has all interfaces generates their types. The other worlds
//! share these types, so that there is only one `Request` and one `View`.

#![allow(missing_docs, unreachable_pub, clippy::all)]

/// The world of streaming apps.
pub mod streaming {
    wit_bindgen::generate!({
        world: "streaming-app",
        path: "../../wit",
        additional_derives: [PartialEq, Eq],
        pub_export_macro: true,
        export_macro_name: "__export_streaming",
        default_bindings_module: "raxx::bindings::streaming",
        generate_all,
    });
}

/// The world of simple apps.
pub mod simple {
    wit_bindgen::generate!({
        world: "simple-app",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "__export_simple",
        default_bindings_module: "raxx::bindings::simple",
        with: {
            "ace:raxx/http@0.2.0": super::streaming::ace::raxx::http,
            "ace:raxx/cluster@0.2.0": super::streaming::ace::raxx::cluster,
            "ace:raxx/system@0.2.0": super::streaming::ace::raxx::system,
        },
    });
}

/// The world of apps whose state outlives their code.
pub mod upgradable {
    wit_bindgen::generate!({
        world: "upgradable",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "__export_upgradable",
        default_bindings_module: "raxx::bindings::upgradable",
    });
}
