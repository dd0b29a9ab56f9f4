//! Names for addresses on a live machine.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::debug_file;
use super::debug_info::{DebugInfo, Failure, Frames};
use super::elf_sections::{ReadAt, Sections};
use super::elf_symbols::{self, Symbol};
use super::function_name::clean;
use super::kallsyms::{Kallsyms, KallsymsError};
use super::{Named, Names};
use crate::snapshot::Module;

/// Most addresses whose names are kept for one module.
const MAX_CACHED: usize = 100_000;

/// After so many files whose debug information made no end, no more is read: each left a thread behind.
const MAX_STUCK: usize = 3;

/// Most bytes of a vdso image. It has a few pages.
const MAX_VDSO: usize = 1 << 20;

/// What a [`Symbolizer`] may spend.
#[derive(Clone, Copy, Debug)]
pub struct SymbolizeOptions {
    /// Read debug information: lines and inlined functions. Without it names come from symbol
    /// tables alone, which takes less time and memory.
    pub debug_info: bool,
    /// Time for debug information in one call of [`Symbolizer::resolve_all`]. When it is over the
    /// rest is named from symbol tables.
    pub debug_info_time: Duration,
}

impl Default for SymbolizeOptions {
    fn default() -> Self {
        Self { debug_info: true, debug_info_time: Duration::from_secs(2) }
    }
}

/// Names addresses from the files that were [added](Self::add), and from the running kernel.
///
/// A function's name comes from symbol tables (the separate debug file's first), where it is chosen
/// among aliases as `function_name::preference` says; inlined functions and lines come from debug
/// information. A name is only given for an address that its symbol's size covers, or that follows a
/// label without size in a full symbol table.
///
/// Ask for all addresses at once with [`resolve_all`](Self::resolve_all), then one by one: what is
/// known is answered from memory, anything else costs a walk over the symbol table.
#[derive(Debug, Default)]
pub struct Symbolizer {
    options: SymbolizeOptions,
    modules: FxHashMap<Module, ModuleNames>,
    debug_info: Option<DebugInfo>,
    stuck: usize,
    kernel: Option<Result<Kallsyms, KallsymsError>>,
    notes: Vec<String>,
}

#[derive(Debug, Default)]
struct ModuleNames {
    /// The separate debug file, where there is one, then the file itself.
    files: Vec<NameFile>,
    known: FxHashMap<u64, Vec<Named>>,
}

#[derive(Debug)]
struct NameFile {
    bytes: Bytes,
    sections: Sections,
    debug_info: bool,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    Memory(Vec<u8>),
}

impl ReadAt for Bytes {
    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Bytes::File(file) => file.fill(buffer, offset),
            Bytes::Memory(bytes) => bytes.fill(buffer, offset),
        }
    }

    fn fill_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Bytes::File(file) => file.fill_some(buffer, offset),
            Bytes::Memory(bytes) => bytes.fill_some(buffer, offset),
        }
    }
}

/// glibc's and musl's shared objects, by their names.
fn is_c_library(module: &Module) -> bool {
    let name = module.file_name();
    let starts = ["libc.so", "libc-2.", "libpthread", "ld-linux-x86-64", "ld-musl-", "libc.musl-"];
    starts.iter().any(|start| name.starts_with(start))
}

impl Symbolizer {
    /// With the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// With options.
    pub fn with_options(options: SymbolizeOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Adds a module: `elf` is the mapped file itself (deleted or not; it is held open), `debug` the
    /// path of its separate debug file. A file whose build id is not the module's is not used. A
    /// module that is there already stays as it is.
    ///
    /// What could not be used is in [`notes`](Self::notes). The vdso need not be added.
    pub fn add(&mut self, module: Module, elf: File, debug: Option<PathBuf>) {
        if self.modules.contains_key(&module) {
            return;
        }
        let mut files = Vec::new();
        if let Some(path) = debug {
            match open(&path).and_then(|file| NameFile::new(Bytes::File(file), &module)) {
                Ok(file) => files.push(file),
                Err(error) => self.note(format!(
                    "{}: the separate debug file {} is not used: {error}",
                    module.path,
                    path.display()
                )),
            }
        }
        let regular = |file: File| match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(not_a_file()),
        };
        match regular(elf).and_then(|file| NameFile::new(Bytes::File(file), &module)) {
            Ok(file) => files.push(file),
            Err(error) => self.note(format!("{}: no names from it: {error}", module.path)),
        }
        let names = ModuleNames { files, ..Default::default() };
        self.modules.insert(module, names);
    }

    /// Whether a module was added.
    pub fn knows(&self, module: &Module) -> bool {
        self.modules.contains_key(module)
    }

    /// Finds the names of many addresses, so that [`Names::in_module`] has them at hand. Memory for
    /// a module's debug information is released when its addresses are done.
    pub fn resolve_all(&mut self, wanted: &[(Module, Vec<u64>)]) {
        self.resolve_until(wanted, Instant::now() + self.options.debug_info_time);
    }

    /// The same, reading debug information no longer than until then.
    pub fn resolve_until(&mut self, wanted: &[(Module, Vec<u64>)], until: Instant) {
        for (module, addresses) in wanted {
            self.resolve(module, addresses, true, until);
        }
    }

    /// For people: what could not be used for naming, and why. One sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Why kernel addresses have no names; `None` where they have, or none was asked for.
    pub fn kernel_error(&self) -> Option<&KallsymsError> {
        self.kernel.as_ref()?.as_ref().err()
    }

    fn note(&mut self, sentence: String) {
        if !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }

    fn resolve(&mut self, module: &Module, addresses: &[u64], last: bool, until: Instant) {
        if module.path == "[vdso]" && !self.modules.contains_key(module) {
            let names = ModuleNames::of_own_vdso(module);
            self.modules.insert(module.clone(), names);
        }
        // Taken out while other fields are in use.
        let Some(mut names) = self.modules.remove(module) else {
            return;
        };
        let mut unknown: Vec<u64> = (addresses.iter().copied())
            .filter(|address| !names.known.contains_key(address))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            let symbols = names.symbols(&unknown);
            let frames = self.debug_frames(module, &mut names, &unknown, last, until);
            if names.known.len() + unknown.len() > MAX_CACHED {
                names.known.clear();
            }
            let merged = (symbols.into_iter().zip(frames)).map(|(symbol, f)| merge(symbol, f));
            names.known.extend(unknown.into_iter().zip(merged));
        }
        self.modules.insert(module.clone(), names);
    }

    /// What debug information says, one for each address.
    fn debug_frames(
        &mut self,
        module: &Module,
        names: &mut ModuleNames,
        addresses: &[u64],
        last: bool,
        until: Instant,
    ) -> Vec<Frames> {
        let mut frames = vec![Frames::default(); addresses.len()];
        // Nobody looks for a leak in the lines of the C library, and where its debug information is
        // installed, it is half of the time that a report takes. Its functions have their names.
        if is_c_library(module) {
            return frames;
        }
        for file in &mut names.files {
            let Bytes::File(open) = &file.bytes else {
                continue;
            };
            if !file.debug_info || !self.options.debug_info || self.stuck >= MAX_STUCK {
                continue;
            }
            let (open_slots, asked): (Vec<usize>, Vec<u64>) = (addresses.iter().enumerate())
                .filter(|(i, _)| frames.get(*i).is_some_and(|f| f.named.is_empty()))
                .map(|(i, address)| (i, *address))
                .unzip();
            if asked.is_empty() {
                break;
            }
            let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
            let why = match self.look_up(path, asked, last, until) {
                Ok(found) => {
                    for (slot, found) in open_slots.into_iter().zip(found) {
                        if let Some(frames) = frames.get_mut(slot) {
                            *frames = found;
                        }
                    }
                    continue;
                }
                Err(Failure::File(why)) => why,
                Err(Failure::Stuck) => {
                    self.debug_info = None;
                    self.stuck += 1;
                    "reading it takes too long".into()
                }
            };
            file.debug_info = false;
            self.note(format!(
                "{}: no lines and no inlined functions, its debug information is not used: {why}",
                module.path
            ));
        }
        frames
    }

    fn look_up(
        &mut self,
        file: PathBuf,
        addresses: Vec<u64>,
        last: bool,
        until: Instant,
    ) -> Result<Vec<Frames>, Failure> {
        if self.debug_info.is_none() {
            let started = DebugInfo::start();
            self.debug_info = Some(started.map_err(|error| Failure::File(error.to_string()))?);
        }
        match &self.debug_info {
            Some(thread) => thread.find(file, addresses, last, until),
            None => Err(Failure::Stuck),
        }
    }
}

impl Names for Symbolizer {
    fn in_module(&mut self, module: &Module, offset: u64) -> Vec<Named> {
        let known = |this: &Self| this.modules.get(module)?.known.get(&offset).cloned();
        if let Some(names) = known(self) {
            return names;
        }
        let until = Instant::now() + self.options.debug_info_time;
        self.resolve(module, &[offset], false, until);
        known(self).unwrap_or_default()
    }

    fn in_kernel(&mut self, address: u64) -> Option<Named> {
        let kernel = self.kernel.get_or_insert_with(Kallsyms::load);
        let function = kernel.as_ref().ok()?.lookup(address)?;
        Some(Named { function: function.to_owned(), ..Default::default() })
    }
}

impl ModuleNames {
    fn of_own_vdso(module: &Module) -> Self {
        let image = own_vdso().and_then(|image| NameFile::new(Bytes::Memory(image), module));
        Self { files: image.into_iter().collect(), ..Default::default() }
    }

    fn symbols(&self, addresses: &[u64]) -> Vec<Option<Symbol>> {
        let files: Vec<_> = (self.files.iter()).map(|file| (&file.bytes, &file.sections)).collect();
        elf_symbols::find(&files, addresses)
    }
}

impl NameFile {
    fn new(bytes: Bytes, module: &Module) -> io::Result<Self> {
        let sections = Sections::read(&bytes)?;
        let id = sections.build_id(&bytes);
        if module.build_id.is_some() && id.is_some() && id != module.build_id {
            return Err(io::Error::other("its build id is not that of the mapped file"));
        }
        Ok(Self { debug_info: debug_file::present(&sections), bytes, sections })
    }
}

fn merge(symbol: Option<Symbol>, mut frames: Frames) -> Vec<Named> {
    let by_label = symbol.as_ref().is_some_and(|symbol| !symbol.covers);
    let name = symbol.and_then(|symbol| clean(&symbol.name));
    if let Some(function) = frames.named.last_mut() {
        // Debug information knows a C function by the name it was defined under
        // (`___pthread_cond_wait`); the symbol table also by the one it is called by.
        let better = !frames.linkage_name && !by_label || function.function.is_empty();
        if let (true, Some(name)) = (better, name) {
            function.function = name;
        }
        if function.function.is_empty() {
            function.function = "(unnamed)".into();
        }
        return frames.named;
    }
    let named = name.map(|function| Named { function, ..Default::default() });
    named.into_iter().collect()
}

/// Opens a regular file, and never waits for one that is not.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_a_file()),
    }
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// leakprobe's own vdso: the kernel maps the same image into each 64-bit process.
fn own_vdso() -> io::Result<Vec<u8>> {
    let none = || io::Error::from(io::ErrorKind::NotFound);
    let mut maps = String::new();
    File::open("/proc/self/maps")?.read_to_string(&mut maps)?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]"));
    let range = line.and_then(|line| line.split(' ').next()).ok_or_else(none)?;
    let (start, end) = range.split_once('-').ok_or_else(none)?;
    let number = |text| u64::from_str_radix(text, 16).map_err(|_| none());
    let (start, end) = (number(start)?, number(end)?);
    let length = usize::try_from(end.saturating_sub(start)).map_or(MAX_VDSO, |l| l.min(MAX_VDSO));
    let mut image = vec![0; length];
    File::open("/proc/self/mem")?.read_exact_at(&mut image, start)?;
    Ok(image)
}

#[cfg(test)]
#[path = "symbolize_tests.rs"]
mod tests;
