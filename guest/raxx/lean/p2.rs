//! WASI 0.2, as `wasm32-wasip2` imports it: the functions that an app without
//! files and sockets may call. The canonical ABI says how they are flattened: a
//! result larger than a number is written to the memory that the last argument
//! points to.

use core::ffi::c_void;

use crate::host;

/// The error code of `wasi:sockets` that says so.
const NOT_SUPPORTED: u8 = 2;
/// The case of `stream-error` that says so.
const CLOSED: u8 = 1;
/// So many bytes at a time may be written: no limit of ours.
const WRITABLE: u64 = 64 * 1024;

/// Standard input, output and error, as handles of streams.
const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
/// The one pollable: of a stream, so it is always ready.
const READY: u32 = 0;

unsafe extern "C" {
    /// Of the C library, whose allocator frees what is returned here.
    fn malloc(size: usize) -> *mut c_void;
}

/// A list as a result.
#[repr(C)]
pub struct List {
    start: *mut u8,
    length: usize,
}

impl List {
    /// A pointer that is not null and aligned for whatever the list has none of.
    const EMPTY: List = List {
        start: core::ptr::without_provenance_mut(8),
        length: 0,
    };

    /// Memory for so many items of this size, which the caller frees.
    fn allocated(length: usize, size: usize) -> List {
        let start = unsafe { malloc((length * size).max(1)) }.cast::<u8>();
        if start.is_null() {
            core::arch::wasm32::unreachable();
        }
        List { start, length }
    }
}

macro_rules! define {
    ($($name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)? $body:block)*) => {$(
        #[unsafe(export_name = concat!("__wasm_import_", stringify!($name)))]
        unsafe extern "C" fn $name($($arg: $type),*) $(-> $result)? $body
    )*};
}

/// The functions that the standard library imports by itself besides.
macro_rules! define_of_std {
    ($($name:ident is $of_libc:ident($($arg:ident: $type:ty),*))*) => {$(
        #[unsafe(export_name = std_symbol!($name))]
        unsafe extern "C" fn $name($($arg: $type),*) {
            unsafe { $of_libc($($arg),*) }
        }
    )*};
}

define_of_std! {
    get_arguments is environment_get_arguments(list: *mut List)
    insecure_seed is random_insecure_seed_insecure_seed(seed: *mut [u64; 2])
    get_random_bytes is random_get_random_bytes(length: u64, list: *mut List)
}

define! {
    environment_get_arguments(list: *mut List) { unsafe { *list = List::EMPTY } }
    environment_get_environment(list: *mut List) { unsafe { *list = List::EMPTY } }
    environment_initial_cwd(none: *mut u8) { unsafe { *none = 0 } }
    exit_exit(_failed: u32) { host::exits() }

    monotonic_clock_now() -> u64 { host::monotonic() }
    monotonic_clock_resolution() -> u64 { 1 }
    monotonic_clock_subscribe_duration(_wait: u64) -> u32 { host::sleeps() }
    monotonic_clock_subscribe_instant(_when: u64) -> u32 { host::sleeps() }
    wall_clock_now(time: *mut Time) {
        let now = host::now();
        unsafe { *time = Time { seconds: now / 1_000_000_000, nanoseconds: (now % 1_000_000_000) as u32 } }
    }
    wall_clock_resolution(time: *mut Time) { unsafe { *time = Time { seconds: 0, nanoseconds: 1 } } }

    random_get_random_u64() -> u64 { host::random_bits() }
    random_get_random_bytes(length: u64, list: *mut List) {
        let bytes = List::allocated(length as usize, 1);
        host::fill(unsafe { core::slice::from_raw_parts_mut(bytes.start, bytes.length) });
        unsafe { *list = bytes }
    }
    random_insecure_get_insecure_random_u64() -> u64 { host::random_bits() }
    random_insecure_get_insecure_random_bytes(length: u64, list: *mut List) {
        unsafe { random_get_random_bytes(length, list) }
    }
    random_insecure_seed_insecure_seed(seed: *mut [u64; 2]) {
        unsafe { *seed = [host::random_bits(), host::random_bits()] }
    }

    stdin_get_stdin() -> u32 { STDIN }
    stdout_get_stdout() -> u32 { STDOUT }
    stderr_get_stderr() -> u32 { STDERR }
    terminal_stdin_get_terminal_stdin(none: *mut u8) { unsafe { *none = 0 } }
    terminal_stdout_get_terminal_stdout(none: *mut u8) { unsafe { *none = 0 } }
    terminal_stderr_get_terminal_stderr(none: *mut u8) { unsafe { *none = 0 } }
    terminal_input_terminal_input_drop(_handle: u32) {}
    terminal_output_terminal_output_drop(_handle: u32) {}

    streams_input_stream_drop(_handle: u32) {}
    streams_output_stream_drop(_handle: u32) {}
    streams_method_input_stream_read(_stream: u32, _most: u64, result: *mut [u8; 8]) {
        unsafe { *result = [1, 0, 0, 0, CLOSED, 0, 0, 0] }
    }
    streams_method_input_stream_blocking_read(_stream: u32, _most: u64, result: *mut [u8; 8]) {
        unsafe { *result = [1, 0, 0, 0, CLOSED, 0, 0, 0] }
    }
    streams_method_input_stream_subscribe(_stream: u32) -> u32 { READY }
    streams_method_output_stream_subscribe(_stream: u32) -> u32 { READY }
    streams_method_output_stream_check_write(_stream: u32, result: *mut [u64; 2]) {
        unsafe { *result = [0, WRITABLE] }
    }
    streams_method_output_stream_write(_stream: u32, start: *const u8, length: usize, ok: *mut u8) {
        if length > 0 {
            host::print(unsafe { core::slice::from_raw_parts(start, length) });
        }
        unsafe { *ok = 0 }
    }
    streams_method_output_stream_blocking_write_and_flush(
        stream: u32, start: *const u8, length: usize, ok: *mut u8
    ) {
        unsafe { streams_method_output_stream_write(stream, start, length, ok) }
    }
    streams_method_output_stream_flush(_stream: u32, ok: *mut u8) { unsafe { *ok = 0 } }
    streams_method_output_stream_blocking_flush(_stream: u32, ok: *mut u8) { unsafe { *ok = 0 } }

    poll_pollable_drop(_handle: u32) {}
    poll_method_pollable_block(_handle: u32) {}
    poll_method_pollable_ready(_handle: u32) -> u32 { 1 }
    poll_poll(_pollables: *const u32, count: usize, list: *mut List) {
        let ready = List::allocated(count, 4);
        for at in 0..count {
            unsafe { *ready.start.cast::<u32>().add(at) = at as u32 };
        }
        unsafe { *list = ready }
    }

    filesystem_preopens_get_directories(list: *mut List) { unsafe { *list = List::EMPTY } }

    instance_network_instance_network() -> u32 { 0 }
    network_network_drop(_handle: u32) {}
    tcp_create_socket_create_tcp_socket(_family: u32, result: *mut [u8; 8]) {
        unsafe { *result = [1, 0, 0, 0, NOT_SUPPORTED, 0, 0, 0] }
    }
    udp_create_socket_create_udp_socket(_family: u32, result: *mut [u8; 8]) {
        unsafe { *result = [1, 0, 0, 0, NOT_SUPPORTED, 0, 0, 0] }
    }
    ip_name_lookup_resolve_addresses(
        _network: u32, _name: *const u8, _length: usize, result: *mut [u8; 8]
    ) {
        unsafe { *result = [1, 0, 0, 0, NOT_SUPPORTED, 0, 0, 0] }
    }
}

/// `datetime` of `wasi:clocks`.
#[repr(C)]
pub struct Time {
    seconds: u64,
    nanoseconds: u32,
}
