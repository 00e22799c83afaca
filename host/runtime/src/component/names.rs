//! What a component imports and exports, by name, read from its bytes: also if no engine here can
//! read the rest of it.

use wasmparser::{Chunk, Parser, Payload};

/// The handler of WASI 0.3, without its version.
const HANDLER_03: &str = "wasi:http/handler@";

/// Whether a component exports `wasi:http/handler` of WASI 0.3. It runs on an engine of its own.
pub(crate) fn exports_handler_03(bytes: &[u8]) -> bool {
    names(bytes).exports.iter().any(|name| is_handler_03(name))
}

/// Whether an interface is `wasi:http/handler` of WASI 0.3, as it was released. What came before
/// that release under the same number is something else.
pub(crate) fn is_handler_03(interface: &str) -> bool {
    interface
        .strip_prefix(HANDLER_03)
        .and_then(|version| version.strip_prefix("0.3."))
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|it| it.is_ascii_digit()))
}

/// The first interface of WASI 0.3 that a component imports or exports, unless it is a handler,
/// which runs here.
pub(crate) fn of_wasi_03(bytes: &[u8]) -> Option<String> {
    let Names { imports, exports } = names(bytes);
    if exports.iter().any(|name| is_handler_03(name)) {
        return None;
    }
    let newer = |name: &&String| name.starts_with("wasi:") && name.contains("@0.3.");
    // What it exports says best what it is.
    let mut names = exports.iter().chain(imports.iter().rev());
    names.find(newer).cloned()
}

/// The names that a component imports and exports, each in their order.
#[derive(Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

/// The names, as far as the component can be read.
fn names(bytes: &[u8]) -> Names {
    let mut names = Names::default();
    let (mut parser, mut at) = (Parser::new(0), 0);
    while let Some(rest) = bytes.get(at..)
        && let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, true)
    {
        at += consumed;
        match payload {
            // What is nested is skipped. Its code is most of a component.
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } => {
                at = unchecked_range.end;
            }
            Payload::ComponentImportSection(imports) => {
                let imports = imports.into_iter().map_while(Result::ok);
                names
                    .imports
                    .extend(imports.map(|import| import.name.name.to_owned()));
            }
            Payload::ComponentExportSection(exports) => {
                let exports = exports.into_iter().map_while(Result::ok);
                names
                    .exports
                    .extend(exports.map(|export| export.name.name.to_owned()));
            }
            Payload::End(_) => break,
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_released_handler_of_wasi_03_is_one() {
        for (interface, is_one) in [
            ("wasi:http/handler@0.3.0", true),
            ("wasi:http/handler@0.3.12", true),
            ("wasi:http/handler@0.3.0-rc-2026-03-15", false),
            ("wasi:http/handler@0.4.0", false),
            ("wasi:http/incoming-handler@0.2.12", false),
        ] {
            assert_eq!(is_handler_03(interface), is_one, "{interface}");
        }
    }

    #[test]
    fn a_handler_is_known_by_its_export_and_other_things_of_wasi_03_by_their_name() {
        let component = |exports: &str| {
            let text = format!("(component (instance $i) {exports})");
            wat::parse_str(text).expect("a component")
        };
        let handler = component(r#"(export "wasi:http/handler@0.3.2" (instance $i))"#);
        assert!(exports_handler_03(&handler));
        assert_eq!(of_wasi_03(&handler), None);
        let command = component(r#"(export "wasi:cli/run@0.3.0" (instance $i))"#);
        assert!(!exports_handler_03(&command));
        assert_eq!(of_wasi_03(&command).as_deref(), Some("wasi:cli/run@0.3.0"));
        assert_eq!(of_wasi_03(&component("")), None);
    }
}
