//! WASI preview 1, as `wasm32-wasip1` imports it. Each function returns an errno;
//! https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md has the
//! numbers and the layouts.

use crate::host;

const SUCCESS: i32 = 0;
const BADF: i32 = 8;
const INVAL: i32 = 28;
const SPIPE: i32 = 70;

/// The C library imports a function under one name, the standard library under
/// another.
macro_rules! define {
    ($($name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)? $body:block)*) => {$(
        mod $name {
            use super::*;

            #[unsafe(export_name = concat!("__imported_wasi_snapshot_preview1_", stringify!($name)))]
            unsafe extern "C" fn of_libc($($arg: $type),*) $(-> $result)? {
                unsafe { serve($($arg),*) }
            }

            #[unsafe(export_name = std_symbol!($name))]
            unsafe extern "C" fn of_std($($arg: $type),*) $(-> $result)? {
                unsafe { serve($($arg),*) }
            }

            #[inline(always)]
            unsafe fn serve($($arg: $type),*) $(-> $result)? $body
        }
    )*};
}

/// Functions of files and sockets that nobody has opened.
macro_rules! not_open {
    ($($name:ident($($type:ty),*))*) => {$(
        #[unsafe(export_name = concat!("__imported_wasi_snapshot_preview1_", stringify!($name)))]
        extern "C" fn $name($(_: $type),*) -> i32 { BADF }

        const _: () = {
            #[unsafe(export_name = std_symbol!($name))]
            extern "C" fn of_std($(_: $type),*) -> i32 { BADF }
        };
    )*};
}

/// Some bytes that are to be written.
#[repr(C)]
pub struct Piece {
    start: *const u8,
    length: usize,
}

define! {
    args_sizes_get(count: *mut u32, size: *mut u32) -> i32 {
        unsafe {
            *count = 0;
            *size = 0;
        }
        SUCCESS
    }

    args_get(_args: *mut *mut u8, _bytes: *mut u8) -> i32 { SUCCESS }

    environ_sizes_get(count: *mut u32, size: *mut u32) -> i32 {
        unsafe {
            *count = 0;
            *size = 0;
        }
        SUCCESS
    }

    environ_get(_variables: *mut *mut u8, _bytes: *mut u8) -> i32 { SUCCESS }

    clock_res_get(clock: u32, resolution: *mut u64) -> i32 {
        if clock > 1 {
            return INVAL;
        }
        unsafe { *resolution = 1 };
        SUCCESS
    }

    clock_time_get(clock: u32, _precision: u64, time: *mut u64) -> i32 {
        let read = match clock {
            0 => host::now(),
            1 => host::monotonic(),
            _ => return INVAL,
        };
        unsafe { *time = read };
        SUCCESS
    }

    random_get(start: *mut u8, length: usize) -> i32 {
        host::fill(unsafe { core::slice::from_raw_parts_mut(start, length) });
        SUCCESS
    }

    fd_write(file: u32, pieces: *const Piece, count: usize, written: *mut usize) -> i32 {
        if !matches!(file, 1 | 2) {
            return BADF;
        }
        let mut sum = 0;
        for piece in unsafe { core::slice::from_raw_parts(pieces, count) } {
            if piece.length > 0 {
                host::print(unsafe { core::slice::from_raw_parts(piece.start, piece.length) });
                sum += piece.length;
            }
        }
        unsafe { *written = sum };
        SUCCESS
    }

    // Standard input is at its end.
    fd_read(file: u32, _pieces: *const Piece, _count: usize, read: *mut usize) -> i32 {
        if file != 0 {
            return BADF;
        }
        unsafe { *read = 0 };
        SUCCESS
    }

    // Standard input, output and error are of a kind that nobody knows, so that
    // none is a terminal; all may be done with them.
    fd_fdstat_get(file: u32, status: *mut u64) -> i32 {
        if file > 2 {
            return BADF;
        }
        unsafe {
            *status = 0;
            *status.add(1) = u64::MAX;
            *status.add(2) = u64::MAX;
        }
        SUCCESS
    }

    fd_close(file: u32) -> i32 {
        if file > 2 { BADF } else { SUCCESS }
    }

    fd_seek(file: u32, _offset: i64, _whence: u32, _to: *mut u64) -> i32 {
        if file > 2 { BADF } else { SPIPE }
    }

    sched_yield() -> i32 { SUCCESS }

    poll_oneoff(_for: *const u8, _events: *mut u8, _count: usize, _stored: *mut usize) -> i32 {
        host::sleeps()
    }

    proc_exit(_code: u32) { host::exits() }
}

not_open! {
    fd_advise(u32, u64, u64, u32)
    fd_allocate(u32, u64, u64)
    fd_datasync(u32)
    fd_fdstat_set_flags(u32, u32)
    fd_fdstat_set_rights(u32, u64, u64)
    fd_filestat_get(u32, u32)
    fd_filestat_set_size(u32, u64)
    fd_filestat_set_times(u32, u64, u64, u32)
    fd_pread(u32, u32, u32, u64, u32)
    fd_prestat_dir_name(u32, u32, u32)
    fd_prestat_get(u32, u32)
    fd_pwrite(u32, u32, u32, u64, u32)
    fd_readdir(u32, u32, u32, u64, u32)
    fd_renumber(u32, u32)
    fd_sync(u32)
    fd_tell(u32, u32)
    path_create_directory(u32, u32, u32)
    path_filestat_get(u32, u32, u32, u32, u32)
    path_filestat_set_times(u32, u32, u32, u32, u64, u64, u32)
    path_link(u32, u32, u32, u32, u32, u32, u32)
    path_open(u32, u32, u32, u32, u32, u64, u64, u32, u32)
    path_readlink(u32, u32, u32, u32, u32, u32)
    path_remove_directory(u32, u32, u32)
    path_rename(u32, u32, u32, u32, u32, u32)
    path_symlink(u32, u32, u32, u32, u32)
    path_unlink_file(u32, u32, u32)
    sock_accept(u32, u32, u32)
    sock_recv(u32, u32, u32, u32, u32, u32)
    sock_send(u32, u32, u32, u32, u32)
    sock_shutdown(u32, u32)
}
