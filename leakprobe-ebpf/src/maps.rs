//! Every map and global: who writes it, who reads it.
//!
//! | name | written by | read by |
//! | --- | --- | --- |
//! | `OFFSETS` | the loader, before the load | every program |
//! | `FILTER` | the collector, before each pass | `tasks` |
//! | `WATCHED` | the collector, before each pass | `tasks` |
//! | `WATCHED_MM` | the collector, before each pass | `tasks` |
//! | `READER` | `tasks`, at the first task of a pass | `tasks` |
//! | `SCRATCH` | `tasks` | `tasks` |
//! | `AYA_LOGS` (aya-log) | every program, under -v only | the collector |

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
};
use leakprobe_common::{Filter, TaskRecord};

/// Most processes that can be watched by id; the loader asks for no more.
const WATCHED_MAX: u32 = 16384;

/// What the next pass lets through; one entry.
#[map]
pub static FILTER: Array<Filter> = Array::with_max_entries(1, 0);

/// Thread group ids, in the reader's PID namespace, that are let through.
#[map]
pub static WATCHED: HashMap<u32, u32> = HashMap::with_max_entries(WATCHED_MAX, BPF_F_NO_PREALLOC);

/// `task_struct.mm` values that are let through.
#[map]
pub static WATCHED_MM: HashMap<u64, u32> =
    HashMap::with_max_entries(WATCHED_MAX, BPF_F_NO_PREALLOC);

/// Level of the reader's PID namespace; one entry.
#[map]
pub static READER: Array<u32> = Array::with_max_entries(1, 0);

/// The record in the making: it does not fit on the 512-byte stack. Programs of one iterator do
/// not nest on a CPU, and each leakprobe has maps of its own.
#[map]
pub static SCRATCH: PerCpuArray<TaskRecord> = PerCpuArray::with_max_entries(1, 0);

/// Watching few processes must not cost the memory of many.
const BPF_F_NO_PREALLOC: u32 = aya_ebpf::bindings::BPF_F_NO_PREALLOC;
