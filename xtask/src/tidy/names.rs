//! Checks that one type name means one thing in the hand-written code of a
//! node.
//!
//! The rule looks at structs, enums, unions, traits and type aliases that other
//! files may see, in product code and in the simulation. It does not look at
//! associated types, types that are private to a file, and tests.

use super::Finding;
use super::sources::Source;
use std::collections::BTreeMap;
use syn::{Attribute, Ident, Item, Visibility};

/// No two types have the same name.
pub(super) fn one_meaning(files: &[Source]) -> Vec<Finding> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| is_looked_at(file)) {
        // The compiler complains about a file that does not parse.
        let Ok(parsed) = syn::parse_file(&file.text) else {
            continue;
        };
        for name in types_of(&parsed.items) {
            let place = format!("{}:{}", file.path, name.span().start().line);
            places.entry(name.to_string()).or_default().push(place);
        }
    }
    places.retain(|_, places| places.len() > 1);
    places
        .into_iter()
        .map(|(name, places)| Finding {
            rule: "type-name",
            message: format!(
                "{}: the type name `{name}` means {} things; give each its own name",
                places.join(", "),
                places.len()
            ),
            subject: name,
        })
        .collect()
}

fn is_looked_at(file: &Source) -> bool {
    let is_simulation = file.path.starts_with("host/cluster/src/sim");
    (file.is_product() || is_simulation) && file.node_crate().is_some()
}

/// The names of the types that other files may see.
fn types_of(items: &[Item]) -> Vec<&Ident> {
    let mut names = Vec::new();
    for item in items {
        let (attributes, visibility, name) = match item {
            Item::Struct(item) => (&item.attrs, &item.vis, &item.ident),
            Item::Enum(item) => (&item.attrs, &item.vis, &item.ident),
            Item::Union(item) => (&item.attrs, &item.vis, &item.ident),
            Item::Trait(item) => (&item.attrs, &item.vis, &item.ident),
            Item::Type(item) => (&item.attrs, &item.vis, &item.ident),
            Item::Mod(module) if !is_for_tests(&module.attrs) => {
                if let Some((_, items)) = &module.content {
                    names.extend(types_of(items));
                }
                continue;
            }
            _ => continue,
        };
        if !matches!(visibility, Visibility::Inherited) && !is_for_tests(attributes) {
            names.push(name);
        }
    }
    names
}

/// Whether the item is under `cfg(test)`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string() == "test")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(a: &str, b: &str) -> Vec<String> {
        one_meaning(&[
            Source::new("host/src/a.rs", a),
            Source::new("host/cluster/src/b.rs", b),
        ])
        .into_iter()
        .map(|one| one.subject)
        .collect()
    }

    #[test]
    fn a_name_with_two_meanings_is_found() {
        let a = "pub struct App; pub(crate) enum Status {} pub(super) trait Node {} mod m { pub type X = u8; }";
        let b =
            "pub enum App {} pub(crate) struct Status; pub type Node = u8; pub(crate) struct X;";
        assert_eq!(found(a, b), ["App", "Node", "Status", "X"]);
    }

    #[test]
    fn what_is_private_associated_or_for_tests_does_not_count() {
        let a = "pub struct App; struct Private; impl Iterator for App { type Item = u8; }";
        let b = "struct App; pub struct Private; pub enum Item {} \
                 #[cfg(test)] mod tests { pub struct App; } #[cfg(test)] pub struct App;";
        assert!(found(a, b).is_empty());
    }
}
