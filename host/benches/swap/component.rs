//! Components to change to.

use lab::programs::marked;

use crate::support::components::read_built;

/// The example guest, as `cargo component build` leaves it.
pub(crate) fn guest() -> Vec<u8> {
    read_built("guest")
}

/// Another component that does the same: a section that means nothing makes
/// its digest another one.
pub(crate) fn another(component: &[u8], number: usize) -> Vec<u8> {
    marked(component, &number.to_le_bytes())
}

/// The example guest with so many bytes of functions besides, that have to be
/// compiled like any.
pub(crate) fn large(bytes: usize) -> Vec<u8> {
    let guest = guest();
    let more = bytes.saturating_sub(guest.len());
    [&guest[..], &section(1, &functions(more))].concat()
}

/// A core module of functions: each takes a number through a hundred steps of
/// arithmetic and branches, and no two are alike.
fn functions(bytes: usize) -> Vec<u8> {
    const STEPS: u32 = 100;
    let body = |seed: u32| {
        let mut code = vec![0];
        let mut constant = seed;
        for step in 0..STEPS {
            constant = constant.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // local.get 0, i32.const C, an operation of two
            code.extend([0x20, 0, 0x41]);
            code.extend(signed(constant as i32 >> 8));
            code.push([0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73][(constant >> 29) as usize % 6]);
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
    };
    let mut bodies = Vec::with_capacity(bytes);
    let mut count = 0;
    while bodies.len() < bytes {
        bodies.extend(body(count));
        count += 1;
    }
    let count = unsigned(count as usize);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // One type: (i32) -> i32. Every function has it.
    module.extend(section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]));
    let types = vec![0; bodies_of(&count)];
    module.extend(section(3, &[&count[..], &types].concat()));
    module.extend(section(10, &[&count[..], &bodies].concat()));
    module
}

/// The number that was written so.
fn bodies_of(leb: &[u8]) -> usize {
    leb.iter()
        .enumerate()
        .map(|(at, byte)| usize::from(byte & 0x7f) << (7 * at))
        .sum()
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
