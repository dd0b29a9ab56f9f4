//! leakprobe's BPF programs, one file for each probe family.
//!
//! | file | program | attached to |
//! | --- | --- | --- |
//! | `tasks` | `tasks` | `iter/task` |
//!
//! `maps` says who writes and who reads each map, `kernel` reads kernel structs at offsets that the
//! loader took from the running kernel's BTF. The loader refuses an object whose [`ABI`] is not its
//! own before anything of it reaches the kernel.
#![no_std]
#![no_main]

mod kernel;
mod maps;
mod tasks;

/// What the kernel asks for before it lets a program call GPL-only helpers.
#[used]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Version of `leakprobe-common` that this object was built with, in a section of its own so that
/// it can be read from the file. Nothing in the kernel looks at it.
#[used]
#[unsafe(link_section = "leakprobe.abi")]
#[unsafe(no_mangle)]
static ABI: u32 = leakprobe_common::ABI_VERSION;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
