//! The functions of WASI 0.2 that need a file, a socket or a clock to wait for. An
//! app can get none of these here, so it never comes to call one. They are defined
//! all the same: an app that is linked with code of files would else import them.

macro_rules! absent {
    ($($name:ident($($type:ty),*) $(-> $result:ty)?)*) => {$(
        #[unsafe(export_name = concat!("__wasm_import_", stringify!($name)))]
        extern "C" fn $name($(_: $type),*) $(-> $result)? {
            core::arch::wasm32::unreachable()
        }
    )*};
}

#[rustfmt::skip]
absent! {
    filesystem_descriptor_drop(u32)
    filesystem_directory_entry_stream_drop(u32)
    filesystem_filesystem_error_code(u32, u32)
    filesystem_method_descriptor_advise(u32, u64, u64, u32, u32)
    filesystem_method_descriptor_append_via_stream(u32, u32)
    filesystem_method_descriptor_create_directory_at(u32, u32, u32, u32)
    filesystem_method_descriptor_get_flags(u32, u32)
    filesystem_method_descriptor_get_type(u32, u32)
    filesystem_method_descriptor_is_same_object(u32, u32) -> u32
    filesystem_method_descriptor_link_at(u32, u32, u32, u32, u32, u32, u32, u32)
    filesystem_method_descriptor_metadata_hash(u32, u32)
    filesystem_method_descriptor_metadata_hash_at(u32, u32, u32, u32, u32)
    filesystem_method_descriptor_open_at(u32, u32, u32, u32, u32, u32, u32)
    filesystem_method_descriptor_read(u32, u64, u64, u32)
    filesystem_method_descriptor_read_directory(u32, u32)
    filesystem_method_descriptor_read_via_stream(u32, u64, u32)
    filesystem_method_descriptor_readlink_at(u32, u32, u32, u32)
    filesystem_method_descriptor_remove_directory_at(u32, u32, u32, u32)
    filesystem_method_descriptor_rename_at(u32, u32, u32, u32, u32, u32, u32)
    filesystem_method_descriptor_set_size(u32, u64, u32)
    filesystem_method_descriptor_set_times(u32, u32, u64, u32, u32, u64, u32, u32)
    filesystem_method_descriptor_set_times_at(u32, u32, u32, u32, u32, u64, u32, u32, u64, u32, u32)
    filesystem_method_descriptor_stat(u32, u32)
    filesystem_method_descriptor_stat_at(u32, u32, u32, u32, u32)
    filesystem_method_descriptor_symlink_at(u32, u32, u32, u32, u32, u32)
    filesystem_method_descriptor_sync(u32, u32)
    filesystem_method_descriptor_sync_data(u32, u32)
    filesystem_method_descriptor_unlink_file_at(u32, u32, u32, u32)
    filesystem_method_descriptor_write(u32, u32, u32, u64, u32)
    filesystem_method_descriptor_write_via_stream(u32, u64, u32)
    filesystem_method_directory_entry_stream_read_directory_entry(u32, u32)
    io_error_error_drop(u32)
    io_error_method_error_to_debug_string(u32, u32)
    ip_name_lookup_method_resolve_address_stream_resolve_next_address(u32, u32)
    ip_name_lookup_method_resolve_address_stream_subscribe(u32) -> u32
    ip_name_lookup_resolve_address_stream_drop(u32)
    streams_method_input_stream_blocking_skip(u32, u64, u32)
    streams_method_input_stream_skip(u32, u64, u32)
    streams_method_output_stream_blocking_splice(u32, u32, u64, u32)
    streams_method_output_stream_blocking_write_zeroes_and_flush(u32, u64, u32)
    streams_method_output_stream_splice(u32, u32, u64, u32)
    streams_method_output_stream_write_zeroes(u32, u64, u32)
    tcp_method_tcp_socket_accept(u32, u32)
    tcp_method_tcp_socket_address_family(u32) -> u32
    tcp_method_tcp_socket_finish_bind(u32, u32)
    tcp_method_tcp_socket_finish_connect(u32, u32)
    tcp_method_tcp_socket_finish_listen(u32, u32)
    tcp_method_tcp_socket_hop_limit(u32, u32)
    tcp_method_tcp_socket_is_listening(u32) -> u32
    tcp_method_tcp_socket_keep_alive_count(u32, u32)
    tcp_method_tcp_socket_keep_alive_enabled(u32, u32)
    tcp_method_tcp_socket_keep_alive_idle_time(u32, u32)
    tcp_method_tcp_socket_keep_alive_interval(u32, u32)
    tcp_method_tcp_socket_local_address(u32, u32)
    tcp_method_tcp_socket_receive_buffer_size(u32, u32)
    tcp_method_tcp_socket_remote_address(u32, u32)
    tcp_method_tcp_socket_send_buffer_size(u32, u32)
    tcp_method_tcp_socket_set_hop_limit(u32, u32, u32)
    tcp_method_tcp_socket_set_keep_alive_count(u32, u32, u32)
    tcp_method_tcp_socket_set_keep_alive_enabled(u32, u32, u32)
    tcp_method_tcp_socket_set_keep_alive_idle_time(u32, u64, u32)
    tcp_method_tcp_socket_set_keep_alive_interval(u32, u64, u32)
    tcp_method_tcp_socket_set_listen_backlog_size(u32, u64, u32)
    tcp_method_tcp_socket_set_receive_buffer_size(u32, u64, u32)
    tcp_method_tcp_socket_set_send_buffer_size(u32, u64, u32)
    tcp_method_tcp_socket_shutdown(u32, u32, u32)
    tcp_method_tcp_socket_start_bind(u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32)
    tcp_method_tcp_socket_start_connect(u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32)
    tcp_method_tcp_socket_start_listen(u32, u32)
    tcp_method_tcp_socket_subscribe(u32) -> u32
    tcp_tcp_socket_drop(u32)
    udp_incoming_datagram_stream_drop(u32)
    udp_method_incoming_datagram_stream_receive(u32, u64, u32)
    udp_method_incoming_datagram_stream_subscribe(u32) -> u32
    udp_method_outgoing_datagram_stream_check_send(u32, u32)
    udp_method_outgoing_datagram_stream_send(u32, u32, u32, u32)
    udp_method_outgoing_datagram_stream_subscribe(u32) -> u32
    udp_method_udp_socket_address_family(u32) -> u32
    udp_method_udp_socket_finish_bind(u32, u32)
    udp_method_udp_socket_local_address(u32, u32)
    udp_method_udp_socket_receive_buffer_size(u32, u32)
    udp_method_udp_socket_remote_address(u32, u32)
    udp_method_udp_socket_send_buffer_size(u32, u32)
    udp_method_udp_socket_set_receive_buffer_size(u32, u64, u32)
    udp_method_udp_socket_set_send_buffer_size(u32, u64, u32)
    udp_method_udp_socket_set_unicast_hop_limit(u32, u32, u32)
    udp_method_udp_socket_start_bind(u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32)
    udp_method_udp_socket_stream(u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32)
    udp_method_udp_socket_subscribe(u32) -> u32
    udp_method_udp_socket_unicast_hop_limit(u32, u32)
    udp_outgoing_datagram_stream_drop(u32)
    udp_udp_socket_drop(u32)
}
