//! Whether a file that is being written has all of its component yet.
//!
//! A component is a preamble and sections, each with its length before it
//! (<https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>).
//! So a file that was cut off is nearly always noticed without compiling it. If it
//! was cut between two sections, the compiler or the linker refuses it.

/// What a file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    /// A component with all of its last section.
    Component,
    /// The beginning of a component, or of anything else. More may come.
    CutOff,
    /// A core module. Builds write one there before they turn it into a component.
    CoreModule,
}

/// Looks at the bytes of a file. A file that is no WebAssembly counts as cut off.
pub(super) fn look_at(bytes: &[u8]) -> Completeness {
    let mut rest = match bytes {
        [0, b'a', b's', b'm', _, _, 1, 0, rest @ ..] => rest,
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => return Completeness::CoreModule,
        _ => return Completeness::CutOff,
    };
    while let Some((_id, after)) = rest.split_first() {
        rest = match section(after) {
            Some(after) => after,
            None => return Completeness::CutOff,
        };
    }
    Completeness::Component
}

/// The bytes after the section whose length these bytes begin with.
fn section(bytes: &[u8]) -> Option<&[u8]> {
    let mut length = 0usize;
    // LEB128 of 32 bits: five bytes at most.
    for (at, byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes.get(at + 1..)?.get(length..);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty core module and a custom section of 200 bytes in a component.
    fn component() -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        bytes.extend([1, 8]);
        bytes.extend(b"\0asm\x01\0\0\0");
        bytes.extend([0, 0xc8, 0x01, 1, b'n']);
        bytes.extend([7; 198]);
        bytes
    }

    #[test]
    fn a_component_is_whole_and_each_beginning_of_it_that_cuts_a_section_is_not() {
        let whole = component();
        assert_eq!(look_at(&whole), Completeness::Component);
        // The end of the preamble, and the end of the first section.
        let between = [8, 18];
        for cut in (0..whole.len()).filter(|cut| !between.contains(cut)) {
            assert_eq!(look_at(&whole[..cut]), Completeness::CutOff, "{cut} bytes");
        }
    }

    #[test]
    fn other_files_are_told_apart() {
        assert_eq!(look_at(b"\0asm\x01\0\0\0"), Completeness::CoreModule);
        assert_eq!(look_at(b"<!doctype html>"), Completeness::CutOff);
        assert_eq!(
            look_at(b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\xff\xff"),
            Completeness::CutOff
        );
    }
}
