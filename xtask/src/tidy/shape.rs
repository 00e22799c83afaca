//! Rules about the shape of files: how they begin, and how long they and their
//! functions are.

use super::Finding;
use super::sources::Source;
use syn::visit::{self, Visit};

/// How many lines a file of product code may have.
const FILE_LINES_MAX: usize = 400;

/// How many lines a function may have, from `fn` to its last bracket.
const FUNCTION_LINES_MAX: usize = 70;

/// Every Rust file begins with `//!` and its purpose.
pub(super) fn opens_with_its_purpose(files: &[Source]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| file.is_rust() && !file.text.starts_with("//!"))
        .map(|file| Finding {
            rule: "purpose",
            subject: file.path.clone(),
            message: format!(
                "{}: the first line must be `//!` and say what the file is for",
                file.path
            ),
        })
        .collect()
}

/// No file of product code is too long.
pub(super) fn file_length(files: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_product()) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            found.push(Finding {
                rule: "file-length",
                subject: file.path.clone(),
                message: format!(
                    "{}: {lines} lines, of at most {FILE_LINES_MAX}; make two files of it",
                    file.path
                ),
            });
        }
    }
    found
}

/// No function in any Rust file is too long.
pub(super) fn function_length(files: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        // The compiler complains about a file that does not parse.
        if let Ok(parsed) = syn::parse_file(&file.text) {
            let mut functions = Functions {
                file,
                found: &mut found,
            };
            functions.visit_file(&parsed);
        }
    }
    found
}

/// Measures each function of a file.
struct Functions<'a> {
    file: &'a Source,
    found: &'a mut Vec<Finding>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let (path, name) = (&self.file.path, &signature.ident);
            self.found.push(Finding {
                rule: "function-length",
                subject: format!("{path}::{name}"),
                message: format!(
                    "{path}:{first}: fn {name} has {lines} lines, of at most \
                     {FUNCTION_LINES_MAX}; make functions of its parts"
                ),
            });
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_found() {
        let found = opens_with_its_purpose(&[
            Source::new("a.rs", "use std::io;\n//! Late.\n"),
            Source::new("b.rs", "//! What it is for.\n"),
            Source::new("c.md", "No Rust.\n"),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].subject, "a.rs");
    }

    #[test]
    fn a_long_file_is_found_if_it_is_product_code() {
        let long = "// line\n".repeat(FILE_LINES_MAX + 1);
        let found = file_length(&[
            Source::new("host/src/a.rs", long.clone()),
            Source::new("host/src/b.rs", "// line\n".repeat(FILE_LINES_MAX)),
            Source::new("host/tests/c.rs", long),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].subject, "host/src/a.rs");
    }

    #[test]
    fn a_long_function_is_found_wherever_it_is() {
        let body = |lines: usize| format!("{{\n{}}}", "f();\n".repeat(lines - 2));
        let long = body(FUNCTION_LINES_MAX + 1);
        let text = format!(
            "/// Not counted.\nfn most() {}\nfn a() {long}\n\
             impl A {{ fn b(&self) {long} }}\n\
             trait C {{ fn d() {long} fn e(); }}\n\
             mod tests {{ fn f() {long} }}",
            body(FUNCTION_LINES_MAX),
        );
        let found = function_length(&[Source::new("x.rs", text)]);
        let subjects: Vec<_> = found.iter().map(|one| one.subject.as_str()).collect();
        assert_eq!(subjects, ["x.rs::a", "x.rs::b", "x.rs::d", "x.rs::f"]);
    }
}
