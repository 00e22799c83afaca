//! Components to push, made of one that is there: the same code under another
//! digest ([`marked`]), more code, more bytes. Bytes flow in and out.

/// The bytes of a page of memory.
const PAGE: usize = 64 * 1024;
/// Steps of each function of [`with_code`].
const STEPS: u32 = 100;

/// The component with this mark in it: another app, which does the same.
pub fn marked(component: &[u8], mark: &[u8]) -> Vec<u8> {
    [component, &custom_section(mark)].concat()
}

/// A section of a component that means nothing: it makes the digest another
/// one, and the component larger.
pub fn custom_section(content: &[u8]) -> Vec<u8> {
    // Its name is `n`.
    let mut length = content.len() + 2;
    let mut section = vec![0];
    while length > 0x7f {
        section.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    section.extend([length as u8, 1, b'n']);
    section.extend(content);
    section
}

/// The component with the same code in so many bytes; they cannot be compressed,
/// and no two marks give the same. As it is if it is as large already.
pub fn filled(component: &[u8], bytes: usize, mark: u32) -> Vec<u8> {
    let more = bytes.saturating_sub(component.len()) / 4;
    let mut number = mark;
    let filling = (0..more).flat_map(|_| {
        number = next(number);
        number.to_le_bytes()
    });
    let filling: Vec<u8> = filling.collect();
    [component, &custom_section(&filling)].concat()
}

/// The component in so many bytes, of which all that are new are functions that
/// have to be compiled like any. No two marks give the same functions.
pub fn with_code(component: &[u8], bytes: usize, mark: u32) -> Vec<u8> {
    let more = bytes.saturating_sub(component.len());
    [component, &section(1, &functions(more, mark))].concat()
}

/// The component, whose every instance has so many pages of memory more, of 64
/// KiB each. It does not start where that is more than it may have.
///
/// # Panics
///
/// If it is no component: the test is wrong.
pub fn wanting_memory(component: &[u8], pages: u32) -> Vec<u8> {
    // One memory, with no upper bound.
    let memory = [&[1, 0], &unsigned(pages as usize)[..]].concat();
    let module = [b"\0asm\x01\0\0\0", &section(5, &memory)[..]].concat();
    // One instance, of the module after those that are there, with no imports.
    let instance = [&[1, 0], &unsigned(modules(component))[..], &[0]].concat();
    [component, &section(1, &module), &section(2, &instance)].concat()
}

/// A component with so many functions, each of so many small additions and
/// multiplications. Compiling a function takes about 460 bytes of memory for each of
/// them. It has no handler.
pub fn sums(functions: usize, operations: u32) -> Vec<u8> {
    // No locals; local.get 0.
    let mut body = vec![0, 0x20, 0];
    for number in 0..operations {
        // i32.const, in five bytes, then i32.add or i32.mul.
        body.extend([0x41, number as u8 | 0x80, (number >> 7) as u8 | 0x80]);
        body.extend([(number >> 14) as u8 | 0x80, 0x80, 0]);
        body.push([0x6a, 0x6c][number as usize % 2]);
    }
    body.push(0x0b);
    let body = [&unsigned(body.len())[..], &body].concat();
    let module = module(functions, &body.repeat(functions));
    [b"\0asm\x0d\0\x01\0", &section(1, &module)[..]].concat()
}

/// A component that takes 2.6 GB and 25 s to compile, without limits.
pub fn huge() -> Vec<u8> {
    sums(6, 940_000)
}

/// The component, with a module besides whose memory begins with so many bytes, which
/// have to be in the compiled code; an empty component becomes one that has just that.
pub fn holding(component: &[u8], bytes: usize) -> Vec<u8> {
    let empty: &[u8] = b"\0asm\x0d\0\x01\0";
    let component = if component.is_empty() {
        empty
    } else {
        component
    };
    let memory = [&[1, 0], &unsigned(bytes / PAGE + 1)[..]].concat();
    // One segment, of memory 0, from address 0 on: i32.const 0, end.
    let head = [&[1, 0, 0x41, 0, 0x0b], &unsigned(bytes)[..]].concat();
    let data = [head, vec![0x55; bytes]].concat();
    let sections = [section(5, &memory), section(11, &data)].concat();
    let module = [b"\0asm\x01\0\0\0", &sections[..]].concat();
    [component, &section(1, &module)].concat()
}

/// How many core modules a component has itself.
fn modules(component: &[u8]) -> usize {
    let mut modules = 0;
    // After the magic.
    let mut rest = component.get(8..).expect("a component");
    while let [id, after @ ..] = rest {
        modules += usize::from(*id == 1);
        let mut length = 0;
        let mut bytes = after.iter().zip((0..).step_by(7));
        let used = 1 + bytes
            .position(|(byte, shift)| {
                length |= usize::from(byte & 0x7f) << shift;
                byte & 0x80 == 0
            })
            .expect("the length of a section");
        rest = after.get(used + length..).expect("a whole section");
    }
    modules
}

/// A core module of functions: each takes a number through a hundred steps of
/// arithmetic and branches, and no two are alike.
fn functions(bytes: usize, mark: u32) -> Vec<u8> {
    let mut bodies = Vec::with_capacity(bytes);
    let mut count = 0;
    let mut constant = mark;
    while bodies.len() < bytes {
        bodies.extend(function(&mut constant));
        count += 1;
    }
    module(count, &bodies)
}

/// A core module of so many functions with these bodies, which have their lengths before
/// them.
fn module(count: usize, bodies: &[u8]) -> Vec<u8> {
    let length = unsigned(count);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // One type: (i32) -> i32. Every function has it.
    module.extend(section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]));
    module.extend(section(3, &[&length[..], &vec![0; count]].concat()));
    module.extend(section(10, &[&length[..], bodies].concat()));
    module
}

/// The body of one.
fn function(constant: &mut u32) -> Vec<u8> {
    let mut code = vec![0];
    for step in 0..STEPS {
        *constant = next(*constant);
        // local.get 0, i32.const C, an operation of two
        code.extend([0x20, 0, 0x41]);
        code.extend(signed(constant.cast_signed() >> 8));
        code.push([0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73][(*constant >> 29) as usize % 6]);
        match step % 4 {
            // local.tee 0, if (local.get 0, i32.const 1, i32.add, local.set 0) end
            0 => code.extend([0x22, 0, 0x04, 0x40, 0x20, 0, 0x41, 1, 0x6a, 0x21, 0, 0x0b]),
            // local.set 0
            _ => code.extend([0x21, 0]),
        }
    }
    // local.get 0, end
    code.extend([0x20, 0, 0x0b]);
    [&unsigned(code.len())[..], &code].concat()
}

/// The generator of Numerical Recipes: it goes through all numbers of 32 bits.
fn next(number: u32) -> u32 {
    number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], &unsigned(content.len())[..], content].concat()
}

/// LEB128 without a sign.
fn unsigned(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// LEB128 with a sign.
fn signed(mut number: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        let is_last = (number == 0 && low & 0x40 == 0) || (number == -1 && low & 0x40 != 0);
        if is_last {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::{filled, modules, wanting_memory, with_code};

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn each_mark_makes_another_component_of_the_size_that_was_asked_for() {
        for make in [filled, with_code] {
            let (one, other) = (make(EMPTY, 100_000, 1), make(EMPTY, 100_000, 2));
            assert_ne!(one, other);
            assert!((100_000..102_000).contains(&one.len()), "{}", one.len());
            assert!(one.starts_with(EMPTY));
        }
    }

    #[test]
    fn the_memory_that_is_wanted_besides_is_that_of_a_module_after_those_that_are_there() {
        let once = wanting_memory(&filled(EMPTY, 100_000, 1), 512);
        assert_eq!(modules(&once), 1);
        let twice = wanting_memory(&once, 1);
        assert_eq!(modules(&twice), 2);
        // The instance is one of module 1.
        assert!(twice.ends_with(&[2, 4, 1, 0, 1, 0]));
    }
}
