//! The embedded BPF object: refused if it is foreign, loaded with this kernel's offsets.

use std::thread;

use aya::{
    Btf, Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, MapData},
    programs::Iter,
};
use aya_obj::btf::{BtfType, Func, FuncLinkage};
use leakprobe_common::{ABI_VERSION, FILTER_NONE, FILTER_READER, FILTER_WATCHED, Filter, Offsets};
use object::{Object as _, ObjectSection as _};

use super::{ProbeError, btf, log::KernelLog, offsets};

/// Built by `cargo xtask ebpf build`, committed, and compared with its source by
/// `cargo xtask ebpf check`.
static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/leakprobe.bpf.o"));

/// The task iterators, the better one first (leakprobe-ebpf, tasks.rs).
const PROGRAMS: [&str; 2] = ["tasks", "tasks_before_5_15"];

/// Most entries of each of the maps `WATCHED` and `WATCHED_MM` (leakprobe-ebpf, maps.rs).
pub(super) const WATCHED_MAX: usize = 16384;

/// [`Offsets`] as aya wants a global.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct OffsetsGlobal(Offsets);

// SAFETY: repr(C) of u32 only, without padding.
unsafe impl Pod for OffsetsGlobal {}

/// Which tasks a pass lets through.
#[derive(Clone, Copy)]
pub(super) enum Through<'a> {
    /// Every one.
    All,
    /// None, but the first read gives a record about the reader.
    Reader,
    /// The threads of these processes, and whoever has one of these memories (`mm`).
    Watched(&'a [u32], &'a [u64]),
}

/// The loaded programs and the maps that the collector writes.
pub(super) struct Loaded {
    ebpf: Ebpf,
    /// Which of the programs was loaded.
    program: &'static str,
    filter: Array<MapData, [u32; 2]>,
    watched: Watched<u32>,
    watched_mm: Watched<u64>,
    /// What the programs log, under -v.
    pub(super) log: Option<KernelLog>,
}

fn kernel_types(vmlinux: &[u8]) -> Result<(OffsetsGlobal, Btf), ProbeError> {
    let types = btf::Btf::parse(vmlinux)?;
    let offsets = OffsetsGlobal(offsets::resolve(&types)?);
    let iterator = types.function(ITERATOR).ok_or(ProbeError::NoIterator)?;
    Ok((offsets, only_function(ITERATOR, iterator)))
}

/// The function that the kernel's task iterator calls its programs through (kernel/bpf/task_iter.c,
/// since 5.8).
const ITERATOR: &str = "bpf_iter_task";

/// BTF with one function at the type id that the kernel has it at: of all that is in the kernel's
/// BTF, attaching asks only for that id.
fn only_function(name: &str, id: u32) -> Btf {
    let mut btf = Btf::new();
    let function = |name| BtfType::Func(Func::new(name, 0, FuncLinkage::Global));
    for _ in 1..id {
        btf.add_type(function(0)); // nameless
    }
    let name = btf.add_string(name);
    btf.add_type(function(name));
    btf
}

impl Loaded {
    /// Loads the task iterator into the running kernel.
    pub(super) fn load(verbose: bool) -> Result<Loaded, ProbeError> {
        check_abi(OBJECT)?;
        let vmlinux = offsets::read_vmlinux()?;
        // The loader insists on reading the kernel's BTF for itself, which takes 13 ms.
        let (loader, known) = thread::scope(|scope| {
            let loader = scope.spawn(EbpfLoader::new);
            let known = kernel_types(&vmlinux);
            (loader.join(), known)
        });
        let mut loader = loader.unwrap_or_else(|_| EbpfLoader::new());
        let (offsets, btf) = known?;

        let log_level = KernelLog::level(verbose);
        loader
            .btf(None) // nothing in the object asks for relocations
            .override_global("OFFSETS", &offsets, true)
            .override_global(aya_log::LEVEL, &log_level, true);
        if !verbose {
            loader.map_max_entries(KernelLog::MAP, 4096); // the least that a ring buffer can have
        }
        let mut ebpf =
            loader.load(OBJECT).map_err(|error| ProbeError::refused("the BPF maps", error))?;

        let program = load_any(&mut ebpf, &btf)?;

        Ok(Loaded {
            program,
            filter: map(&mut ebpf, "FILTER")?,
            watched: Watched::new(map(&mut ebpf, "WATCHED")?),
            watched_mm: Watched::new(map(&mut ebpf, "WATCHED_MM")?),
            log: verbose.then(|| KernelLog::open(&mut ebpf)).transpose()?,
            ebpf,
        })
    }

    /// Sets what the next pass lets through.
    pub(super) fn set_filter(
        &mut self,
        through: Through<'_>,
        kernel_stacks: bool,
    ) -> Result<(), ProbeError> {
        let mode = match through {
            Through::All => FILTER_NONE,
            Through::Reader => FILTER_READER,
            Through::Watched(pids, memories) => {
                self.watched.set(pids)?;
                self.watched_mm.set(memories)?;
                FILTER_WATCHED
            }
        };
        let filter = Filter { mode, kernel_stacks: kernel_stacks as u32 };
        self.filter
            .set(0, [filter.mode, filter.kernel_stacks], 0)
            .map_err(|error| ProbeError::refused("an update of the map FILTER", error))
    }

    /// Opens the iterator's file: reading it to its end is one pass.
    pub(super) fn open_pass(&mut self) -> Result<std::fs::File, ProbeError> {
        let program = program(&mut self.ebpf, self.program)?;
        let link = program
            .attach()
            .and_then(|id| program.take_link(id))
            .map_err(|error| ProbeError::refused("to attach the task iterator", error))?;
        link.into_file().map_err(|error| ProbeError::refused("to open the task iterator", error))
    }
}

/// A map used as a set, and what is in it.
struct Watched<K: Pod> {
    map: HashMap<MapData, K, u32>,
    held: Vec<K>,
}

impl<K: Pod + Ord> Watched<K> {
    fn new(map: HashMap<MapData, K, u32>) -> Self {
        Watched { map, held: Vec::new() }
    }

    /// Makes the map hold exactly `keys`.
    fn set(&mut self, keys: &[K]) -> Result<(), ProbeError> {
        let mut wanted = keys.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        for old in self.held.drain(..) {
            if wanted.binary_search(&old).is_err() {
                // An entry that is gone already is what was wanted.
                let _ = self.map.remove(&old);
            }
        }
        for key in &wanted {
            self.map
                .insert(key, 1, 0)
                .map_err(|error| ProbeError::refused("an entry of the map WATCHED", error))?;
        }
        self.held = wanted;
        Ok(())
    }
}

/// Loads the first of the programs that this kernel takes.
fn load_any(ebpf: &mut Ebpf, btf: &Btf) -> Result<&'static str, ProbeError> {
    let refused = |error| ProbeError::refused("the task iterator", error);
    let [first, second] = PROGRAMS;
    let Err(error) = program(ebpf, first)?.load("task", btf) else {
        return Ok(first);
    };
    match program(ebpf, second)?.load("task", btf) {
        Ok(()) => Ok(second),
        // What is wrong with the one that was meant for this kernel is of more interest.
        Err(_) => Err(refused(error)),
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Iter, ProbeError> {
    ebpf.program_mut(name)
        .ok_or_else(|| ProbeError::refused(name, anyhow::anyhow!("it is not in the object")))?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| ProbeError::refused(name, error))
}

fn map<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, ProbeError>
where
    M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    ebpf.take_map(name)
        .ok_or(aya::maps::MapError::InvalidName { name: name.into() })
        .and_then(M::try_from)
        .map_err(|error| ProbeError::refused(name, error))
}

/// Refuses an object that was built for another version of `leakprobe-common`, before anything of
/// it reaches the kernel.
fn check_abi(bytes: &[u8]) -> Result<(), ProbeError> {
    let found = object::File::parse(bytes).ok().and_then(|file| {
        let data = file.section_by_name("leakprobe.abi")?.data().ok()?;
        Some(u32::from_le_bytes(data.try_into().ok()?))
    });
    match found {
        Some(ABI_VERSION) => Ok(()),
        Some(other) => Err(foreign(other.to_string())),
        None => Err(foreign("unknown".into())),
    }
}

fn foreign(found: String) -> ProbeError {
    ProbeError::ForeignAbi { found, expected: ABI_VERSION }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_object_is_accepted() {
        // Check that the committed object was built for this version of leakprobe-common.
        check_abi(OBJECT).unwrap();
    }

    #[test]
    fn foreign_objects_are_refused() {
        // Check that an object of another ABI version, without one, or no object at all is refused.
        let mut other = OBJECT.to_vec();
        let section = object::File::parse(OBJECT)
            .unwrap()
            .section_by_name("leakprobe.abi")
            .and_then(|section| section.file_range())
            .unwrap();
        other[section.0 as usize] ^= 0xff;
        for bytes in [&other[..], b"", b"\x7fELF", &OBJECT[..OBJECT.len() / 2]] {
            assert!(matches!(check_abi(bytes), Err(ProbeError::ForeignAbi { .. })));
        }
    }
}
