//! One process that is read.

use std::{
    fs::{self, File},
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Backing, Maps, Memory, ModuleFile, ModuleFiles, ProcessError, Unusable, module::Access,
};

/// Nanoseconds of a tick in /proc/PID/stat (USER_HZ is 100 on x86).
const TICK_NS: u64 = 10_000_000;
/// Tasks looked through for one that still has memory.
const MAX_TASKS: usize = 4096;

/// A file mapped as code.
#[derive(Clone, Debug)]
pub struct LoadedModule {
    /// First address of its code.
    pub start: u64,
    /// First address after its code.
    pub end: u64,
    /// What to add (wrapping) to an address of the file (svma) to have it in the process.
    pub bias: u64,
    /// The file.
    pub file: Arc<ModuleFile>,
}

impl LoadedModule {
    /// The address in the file's own terms.
    pub fn svma(&self, address: u64) -> u64 {
        address.wrapping_sub(self.bias)
    }
}

/// One process that is read. Its identity is (pid, start time): what is read here is never of
/// another process that has got its pid since.
#[derive(Debug)]
pub struct Target {
    pid: u32,
    start_ticks: u64,
    /// Its folder in /proc. While this is open the folder is that process's or dead.
    _folder: File,
    /// A path of ours to that folder.
    path: PathBuf,
    /// The folder of the task through which its memory is read.
    task: PathBuf,
    maps: Maps,
    memory: Memory,
    modules: Vec<LoadedModule>,
    modules_known: bool,
    generation: u64,
}

impl Target {
    /// Opens whichever process has this pid now.
    pub fn open_present(pid: u32) -> Result<Target, ProcessError> {
        let ticks = start_ticks(&PathBuf::from(format!("/proc/{pid}")), pid)
            .map_err(|e| ProcessError::from_io(pid, "stat", e))?;
        Target::open(pid, ticks.ok_or(ProcessError::Gone { pid })?.saturating_mul(TICK_NS))
    }

    /// Opens a process that was created at `start_boottime_ns` (`CLOCK_BOOTTIME`; 10 ms are enough).
    pub fn open(pid: u32, start_boottime_ns: u64) -> Result<Target, ProcessError> {
        let folder =
            File::open(format!("/proc/{pid}")).map_err(|e| ProcessError::from_io(pid, "", e))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        let start_ticks = start_boottime_ns / TICK_NS;
        if !is_same(&path, pid, start_ticks).map_err(|e| ProcessError::from_io(pid, "stat", e))? {
            return Err(ProcessError::Gone { pid });
        }
        let (tid, task, maps) = reading_task(pid, &path)?;
        let memory = Memory::open(pid, tid, &task)?;
        Ok(Target {
            pid,
            start_ticks,
            _folder: folder,
            path,
            task,
            maps,
            memory,
            modules: Vec::new(),
            modules_known: false,
            generation: 0,
        })
    }

    /// Whatever process has this pid now.
    #[cfg(test)]
    pub(crate) fn open_now(pid: u32) -> Result<Target, ProcessError> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_err(|e| ProcessError::from_io(pid, "stat", e))?;
        let after = stat.rsplit(')').next().unwrap_or_default();
        let start = after.split_whitespace().nth(19).unwrap_or_default();
        Target::open(pid, start.parse().unwrap_or(0) * TICK_NS)
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is in leakprobe's own PID namespace, so that ids mean the same in both.
    pub fn in_own_pid_namespace(&self) -> bool {
        let own = fs::read_link("/proc/self/ns/pid");
        let its = fs::read_link(self.path.join("ns/pid"));
        matches!((own, its), (Ok(own), Ok(its)) if own == its)
    }

    /// The kernel function that one of its threads sleeps in. `None` if it isn't in one, or if this
    /// user may not know (proc_pid_wchan(5)).
    pub fn wchan(&self, tid: u32) -> Option<String> {
        let name = fs::read_to_string(self.path.join(format!("task/{tid}/wchan"))).ok()?;
        let name = name.trim();
        (!name.is_empty() && name != "0").then(|| name.to_owned())
    }

    /// Its mappings, as of the last [`Target::refresh`].
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// Its memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Opens the files that it has mapped as code, if that is not done yet for these mappings; by
    /// address.
    pub fn modules(&mut self, files: &mut ModuleFiles) -> &[LoadedModule] {
        if !self.modules_known {
            self.modules = loaded(&self.access(), files);
            self.modules_known = true;
            self.generation += 1;
        }
        &self.modules
    }

    pub(super) fn access(&self) -> Access<'_> {
        Access { pid: self.pid, folder: &self.task, maps: &self.maps, memory: &self.memory }
    }

    /// The same without opening: empty before [`Target::modules`] was called.
    pub fn loaded(&self) -> &[LoadedModule] {
        &self.modules
    }

    /// The module that an address lies in.
    pub fn module_at(&self, address: u64) -> Option<&LoadedModule> {
        let after = self.modules.partition_point(|m| m.start <= address);
        let module = self.modules.get(after.checked_sub(1)?)?;
        (address < module.end).then_some(module)
    }

    /// Puts other modules in the place of those found.
    #[cfg(test)]
    pub(crate) fn replace_modules(&mut self, modules: Vec<LoadedModule>) {
        self.modules = modules;
        self.generation += 1;
    }

    /// Moves when [`Target::loaded`] changes.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Rereads the mappings; whether they have changed.
    pub fn refresh(&mut self) -> Result<bool, ProcessError> {
        if !self.still_there()? {
            return Err(ProcessError::Gone { pid: self.pid });
        }
        self.memory.recheck(&self.task);
        let maps = match read_maps(&self.task) {
            Ok(maps) if !maps.is_empty() => maps,
            // The task that was read through has ended; its process has others.
            _ => {
                let (tid, task, maps) = reading_task(self.pid, &self.path)?;
                self.memory = Memory::open(self.pid, tid, &task)?;
                self.task = task;
                maps
            }
        };
        if maps == self.maps {
            return Ok(false);
        }
        self.maps = maps;
        self.modules_known = false;
        Ok(true)
    }

    /// Whether it is the process that was created then (`CLOCK_BOOTTIME` ns).
    pub fn started_at(&self, start_boottime_ns: u64) -> bool {
        self.start_ticks.abs_diff(start_boottime_ns / TICK_NS) <= 1
    }

    /// Whether it is still the same process, running the same program as when it was opened. To be
    /// asked after reading. An error that isn't about the process (no descriptor left) is no answer.
    pub fn still_there(&self) -> Result<bool, ProcessError> {
        let same = match is_same(&self.path, self.pid, self.start_ticks) {
            Ok(same) => same,
            Err(error) => match ProcessError::from_io(self.pid, "task", error) {
                ProcessError::Gone { .. } => false,
                other => return Err(other),
            },
        };
        Ok(same && self.memory.is_current())
    }
}

/// Whether the process in this folder was created then.
fn is_same(folder: &Path, pid: u32, start: u64) -> io::Result<bool> {
    Ok(start_ticks(folder, pid)?.is_some_and(|its| its.abs_diff(start) <= 1))
}

/// When the process in this folder was created, in ticks since the boot.
///
/// Of the leader alone: a process's own stat sums up all its threads, which takes as long as there
/// are many.
fn start_ticks(folder: &Path, pid: u32) -> io::Result<Option<u64>> {
    let stat = fs::read(folder.join(format!("task/{pid}/stat")))?;
    // The command name may hold anything, parentheses too: what follows the last one is numbers.
    let after = stat.iter().rposition(|b| *b == b')').map_or(0, |at| at + 1);
    let fields = String::from_utf8_lossy(stat.get(after..).unwrap_or_default());
    // Field 22 of proc_pid_stat(5); the state, field 3, is the first one here.
    let start = fields.split_ascii_whitespace().nth(19);
    Ok(start.and_then(|field| field.parse().ok()))
}

/// The task through which the process's memory can be read: the leader, or if that has ended (its
/// threads may live on) another one.
fn reading_task(pid: u32, folder: &Path) -> Result<(u32, PathBuf, Maps), ProcessError> {
    let maps = read_maps(folder).map_err(|e| ProcessError::from_io(pid, "maps", e))?;
    if !maps.is_empty() {
        return Ok((pid, folder.to_owned(), maps));
    }
    let tasks =
        fs::read_dir(folder.join("task")).map_err(|e| ProcessError::from_io(pid, "task", e))?;
    for task in tasks.take(MAX_TASKS).flatten() {
        if let Ok(maps) = read_maps(&task.path())
            && !maps.is_empty()
            && let Some(tid) = task.file_name().to_str().and_then(|name| name.parse().ok())
        {
            return Ok((tid, task.path(), maps));
        }
    }
    Err(ProcessError::NoMemory { pid })
}

fn read_maps(folder: &Path) -> io::Result<Maps> {
    Maps::read(File::open(folder.join("maps"))?)
}

/// One module for each file and load bias.
fn loaded(access: &Access, files: &mut ModuleFiles) -> Vec<LoadedModule> {
    let mut modules: Vec<LoadedModule> = Vec::new();
    for mapping in access.maps.iter().filter(|m| m.executable) {
        if !matches!(mapping.backing, Backing::File { .. } | Backing::Vdso) {
            continue;
        }
        let mut file = files.get(access, mapping);
        let bias = match file.svma(mapping.offset) {
            Some(svma) => mapping.start.wrapping_sub(svma),
            None if file.usable().is_ok() => {
                file = Arc::new(file.without_contents(Unusable::Damaged));
                0
            }
            None => 0,
        };
        match modules.last_mut() {
            Some(last) if Arc::ptr_eq(&last.file, &file) && last.bias == bias => {
                last.end = mapping.end;
            }
            _ => modules.push(LoadedModule { start: mapping.start, end: mapping.end, bias, file }),
        }
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start_ns(pid: u32) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after = stat.rsplit(')').next().unwrap();
        after.split_whitespace().nth(19).unwrap().parse::<u64>().unwrap() * TICK_NS
    }

    #[test]
    fn own_modules() {
        // Check that the load bias takes an address of ours to the symbol that it is in.
        let pid = std::process::id();
        let mut target = Target::open(pid, start_ns(pid)).unwrap();
        assert!(target.module_at(start_ns as fn(u32) -> u64 as usize as u64).is_none());
        target.modules(&mut ModuleFiles::new());
        let address = start_ns as fn(u32) -> u64 as usize as u64;
        let module = target.module_at(address).unwrap();
        let svma = module.svma(address);
        let symbols = module.file.symbols();
        let covering =
            symbols.iter().find(|(_, start, size)| (*start..start + size).contains(&svma));
        let (name, ..) = covering.unwrap();
        assert!(name.contains("start_ns"), "{name}");
        let vdso = target.loaded().iter().find(|m| m.file.module().path == "[vdso]").unwrap();
        assert!(vdso.file.symbols().iter().any(|(name, ..)| name == "__vdso_clock_gettime"));
        assert!(vdso.file.call_frames().unwrap().eh_frame.is_some());
        assert!(target.still_there().expect("readable"));
    }

    #[test]
    fn modules_are_shared() {
        // Check that one file is opened once for two processes.
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let mut files = ModuleFiles::new();
        let pid = std::process::id();
        let mut own = Target::open_now(pid).unwrap();
        let mut other = Target::open_now(child.id()).unwrap();
        let libc = |modules: &[LoadedModule]| {
            let libc = modules.iter().find(|m| m.file.module().file_name() == "libc.so.6");
            libc.map(|m| Arc::clone(&m.file))
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let theirs = loop {
            // The child may not have come to mapping it yet.
            if let Some(libc) = libc(other.modules(&mut files)) {
                break libc;
            }
            assert!(std::time::Instant::now() < deadline);
            other = Target::open_now(child.id()).unwrap();
        };
        assert!(Arc::ptr_eq(&theirs, &libc(own.modules(&mut files)).unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn another_process_with_its_pid() {
        // Check that a process created at another time is not taken for the one that was meant.
        let pid = std::process::id();
        let error = Target::open(pid, start_ns(pid) + 50 * TICK_NS).unwrap_err();
        assert!(matches!(error, ProcessError::Gone { pid: gone } if gone == pid));
    }

    #[test]
    fn no_such_process() {
        // Check that a pid that nobody has is said to be gone.
        let error = Target::open(u32::MAX >> 2, 0).unwrap_err();
        assert!(matches!(error, ProcessError::Gone { .. }), "{error}");
    }
}
