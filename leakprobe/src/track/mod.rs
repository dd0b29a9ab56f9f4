//! Takes snapshots in order and keeps what persists. Pure: no I/O, no clock, no names.
