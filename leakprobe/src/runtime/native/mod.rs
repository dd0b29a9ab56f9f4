//! OS threads: glibc, musl and Rust std.
