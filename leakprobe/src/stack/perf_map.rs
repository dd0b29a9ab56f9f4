//! Names of just-in-time compiled functions, from perf map files.
//!
//! A JIT (Node's `--perf-basic-prof`, the JVM's perf-map agents, .NET, CPython's `-X perf`) writes
//! `/tmp/perf-PID.map`, a line `START SIZE NAME` for each function, numbers in hex (kernel
//! tools/perf/Documentation/jit-interface.txt).

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use super::function_name::printable;

/// Most bytes of a map that are read; a JVM with 100,000 compiled methods writes about 12 MB.
const MAX_BYTES: u64 = 64 << 20;

/// Most functions kept.
const MAX_FUNCTIONS: usize = 1 << 20;

/// Longest line, bytes.
const MAX_LINE: u64 = 4096;

/// Most functions that are tried for one address: those that start below it.
const MAX_STEPS: usize = 256;

/// The functions that a process's JIT has written down.
#[derive(Debug, Default)]
pub struct PerfMap {
    /// By start address, then in order of writing.
    functions: Vec<Function>,
    names: String,
}

#[derive(Debug)]
struct Function {
    start: u64,
    end: u64,
    /// Line number: code is moved and its memory used again, the later line is the valid one.
    line: u32,
    /// Range in `names`.
    name: u32,
    name_end: u32,
}

impl PerfMap {
    /// Reads the map of a process: `pid` as leakprobe sees it, `ns_pid` as the process sees itself.
    ///
    /// `None` where there is none, or where it belongs neither to the process's user nor to root:
    /// anybody may write to /tmp.
    pub fn load(pid: u32, ns_pid: u32) -> Option<Self> {
        let user = effective_uid(pid)?;
        let file = open_in_root(pid, &format!("tmp/perf-{ns_pid}.map")).ok()?;
        let map = file.metadata().ok()?;
        let trusted = map.uid() == 0 || map.uid() == user;
        if !map.is_file() || !trusted {
            return None;
        }
        let map = Self::read(file);
        (!map.functions.is_empty()).then_some(map)
    }

    /// Reads a map. Lines that are none are skipped; reading stops at 64 MiB or a million functions.
    pub fn read(map: impl Read) -> Self {
        let mut read = Self::default();
        let mut map = BufReader::with_capacity(64 << 10, map.take(MAX_BYTES));
        let mut line = Vec::new();
        for number in 0.. {
            line.clear();
            match (&mut map).take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) if read.functions.len() >= MAX_FUNCTIONS => break,
                Ok(_) => read.push(&line, number),
            }
        }
        (read.functions).sort_unstable_by_key(|function| (function.start, function.line));
        read
    }

    /// Name of the function at an address of the process.
    pub fn lookup(&self, address: u64) -> Option<&str> {
        let below = self.functions.partition_point(|f| f.start <= address);
        let function = (self.functions.get(..below)?.iter().rev())
            .take(MAX_STEPS)
            .filter(|function| address < function.end)
            .max_by_key(|function| function.line)?;
        self.names.get(function.name as usize..function.name_end as usize)
    }

    fn push(&mut self, line: &[u8], number: u32) {
        let line = String::from_utf8_lossy(line);
        let mut fields = line.trim_end().splitn(3, ' ');
        let mut hex = || {
            let field = fields.next()?;
            u64::from_str_radix(field.strip_prefix("0x").unwrap_or(field), 16).ok()
        };
        let (Some(start), Some(size)) = (hex(), hex()) else {
            return;
        };
        let (Some(name), Some(end)) = (fields.next(), start.checked_add(size)) else {
            return;
        };
        if size == 0 || name.trim().is_empty() {
            return;
        }
        // At most MAX_BYTES of text, each byte of which becomes three at most: fits.
        let from = self.names.len() as u32;
        self.names.push_str(&printable(name.trim()));
        self.functions.push(Function {
            start,
            end,
            line: number,
            name: from,
            name_end: self.names.len() as u32,
        });
    }
}

/// The user that a process acts as. (/proc/PID itself belongs to root where the process may not be
/// dumped.)
fn effective_uid(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().nth(1)?.parse().ok()
}

/// Opens a file below a process's root directory as the process itself would find it: links are
/// followed within that root, never out of it.
fn open_in_root(pid: u32, path: &str) -> io::Result<File> {
    let root = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(format!("/proc/{pid}/root"))?;
    let path = CString::new(path)?;
    // SAFETY: open_how is a plain structure of integers, for which zero is a valid value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    // Not blocking: the file may be a FIFO.
    how.flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY) as u64;
    how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: `path` is NUL-terminated and `how` of the size that is passed; both outlive the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just handed out this descriptor; nothing else owns it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check that addresses are named, by the later line where code was moved.
    #[test]
    fn later_lines_win() {
        let map = "7f00 100 LazyCompile:~old app.js:1\n0x8000 0x10 JS:*f a.js\n7f80 40 new\nnonsense\nffffffffffffffff 10 wraps\n1 0 empty\n";
        let map = PerfMap::read(map.as_bytes());
        assert_eq!(map.lookup(0x7eff), None);
        assert_eq!(map.lookup(0x7f00), Some("LazyCompile:~old app.js:1"));
        assert_eq!(map.lookup(0x7f90), Some("new"));
        assert_eq!(map.lookup(0x7fc0), Some("LazyCompile:~old app.js:1"));
        assert_eq!(map.lookup(0x800f), Some("JS:*f a.js"));
        assert_eq!(map.lookup(0x8010), None);
    }

    /// Check that a process's own map is found, and none where there is none or it is another user's.
    #[test]
    fn own_map_is_found() {
        let pid = std::process::id();
        let path = format!("/tmp/perf-{pid}.map");
        std::fs::write(&path, "1000 10 jitted\n").unwrap();
        let map = PerfMap::load(pid, pid);
        // Only root can give a file away; without it this part has nothing to check.
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_ok() {
            assert!(PerfMap::load(pid, pid).is_none());
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(map.unwrap().lookup(0x1008), Some("jitted"));
        assert!(PerfMap::load(pid, pid).is_none());
    }

    proptest! {
        /// Check that any bytes are read without failing, and that lookups hold what they found.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2000), at: u64) {
            let map = PerfMap::read(&bytes[..]);
            let _ = map.lookup(at);
        }

        /// Check that a function written last is found at each of its addresses.
        #[test]
        fn last_function_is_found(
            earlier in proptest::collection::vec((0..1000u64, 1..100u64), 0..50),
            start in 0..1000u64,
            size in 1..100u64,
        ) {
            let mut text = String::new();
            for (start, size) in earlier {
                text += &format!("{start:x} {size:x} earlier\n");
            }
            text += &format!("{start:x} {size:x} last\n");
            let map = PerfMap::read(text.as_bytes());
            for at in [start, start + size - 1] {
                prop_assert_eq!(map.lookup(at), Some("last"));
            }
        }
    }
}
