//! Names of kernel functions, from /proc/kallsyms.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use super::function_name::{preference, printable};

/// Most bytes of the list that are read. A kernel with many modules has about 12 MB.
const MAX_BYTES: u64 = 64 << 20;

/// Longest function that is believed: the list has no sizes, so that a name reaches to the next one.
const MAX_FUNCTION: u64 = 1 << 20;

/// Why kernel addresses have no names.
#[derive(Debug, thiserror::Error)]
pub enum KallsymsError {
    /// The file could not be read.
    #[error(
        "/proc/kallsyms can't be read ({0}): kernel frames have no names; run as root with /proc mounted, on a kernel with CONFIG_KALLSYMS"
    )]
    Unreadable(#[from] io::Error),
    /// The kernel shows names but hides addresses.
    #[error(
        "the kernel hides its addresses: kernel frames have no names; run as root with CAP_SYSLOG, or set sysctl kernel.kptr_restrict=0"
    )]
    Hidden,
}

/// The kernel's functions, sorted by address.
#[derive(Debug)]
pub struct Kallsyms {
    functions: Vec<Function>,
    names: String,
}

#[derive(Debug)]
struct Function {
    start: u64,
    /// Range in `names`.
    name: u32,
    name_end: u32,
}

impl Kallsyms {
    /// Reads the running kernel's.
    pub fn load() -> Result<Self, KallsymsError> {
        Self::read(File::open("/proc/kallsyms")?)
    }

    /// Reads a list in the format of /proc/kallsyms: `ADDRESS TYPE NAME [MODULE]` (kernel
    /// kernel/kallsyms.c, `s_show`).
    pub fn read(list: impl Read) -> Result<Self, KallsymsError> {
        let mut kernel = Self { functions: Vec::new(), names: String::new() };
        let mut hidden = false;
        let mut line = Vec::new();
        let mut list = BufReader::with_capacity(64 << 10, list.take(MAX_BYTES));
        loop {
            line.clear();
            if list.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let Some((start, name)) = parse(&line) else {
                continue;
            };
            if start == 0 {
                hidden = true;
                continue;
            }
            let from = kernel.names.len() as u32;
            kernel.names.push_str(&printable(&name.replace('\t', " ")));
            kernel.functions.push(Function {
                start,
                name: from,
                name_end: kernel.names.len() as u32,
            });
        }
        if kernel.functions.is_empty() {
            return match hidden {
                true => Err(KallsymsError::Hidden),
                false => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
            };
        }
        let names = &kernel.names;
        let name = |f: &Function| names.get(f.name as usize..f.name_end as usize).unwrap_or("");
        let preference = |f: &Function| preference(name(f), false, false);
        (kernel.functions).sort_unstable_by_key(|f| f.start);
        kernel.functions.dedup_by(|next, kept| {
            let same = next.start == kept.start;
            if same && preference(next) < preference(kept) {
                std::mem::swap(next, kept);
            }
            same
        });
        Ok(kernel)
    }

    /// Name of the function that an address lies in, with its module in brackets where it is in
    /// one: `nfs_wait [nfs]`.
    pub fn lookup(&self, address: u64) -> Option<&str> {
        let after = self.functions.partition_point(|f| f.start <= address);
        let function = self.functions.get(after.checked_sub(1)?)?;
        if address - function.start >= MAX_FUNCTION {
            return None;
        }
        self.names.get(function.name as usize..function.name_end as usize)
    }
}

/// Address and name of a line about code.
fn parse(line: &[u8]) -> Option<(u64, &str)> {
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let (address, rest) = line.split_once(' ')?;
    let (kind, name) = rest.split_once(' ')?;
    if !matches!(kind, "t" | "T" | "w" | "W") {
        return None;
    }
    // The module is behind a tab.
    let address = u64::from_str_radix(address, 16).ok()?;
    Some((address, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
ffffffff81000100 T __x64_sys_read\nffffffff81000000 T _text\nffffffff81000000 T start\n\
ffffffff81000200 D some_data\nffffffff81000180 t do_wait\tnot\x07ok\nffffffffc0000000 t nfs_wait\t[nfs]\n";

    /// Check that addresses are named by the function that they lie in.
    #[test]
    fn addresses_are_named() {
        let kernel = Kallsyms::read(LIST.as_bytes()).unwrap();
        assert_eq!(kernel.lookup(0xffffffff80ffffff), None);
        assert_eq!(kernel.lookup(0xffffffff81000000), Some("start"));
        assert_eq!(kernel.lookup(0xffffffff8100017f), Some("__x64_sys_read"));
        assert_eq!(kernel.lookup(0xffffffffc0000010), Some("nfs_wait [nfs]"));
        assert_eq!(kernel.lookup(0xffffffffd0000000), None);
    }

    /// Check that hidden addresses are told apart from an unreadable list.
    #[test]
    fn hidden_addresses_are_said() {
        let zeros = "0000000000000000 T _text\n0000000000000000 T start\n";
        assert!(matches!(Kallsyms::read(zeros.as_bytes()), Err(KallsymsError::Hidden)));
        assert!(matches!(Kallsyms::read(&b""[..]), Err(KallsymsError::Unreadable(_))));
    }

    /// Check how long this machine's list takes.
    #[test]
    #[ignore = "a measurement"]
    fn measure() {
        let began = std::time::Instant::now();
        let kernel = Kallsyms::load().unwrap();
        let bytes = kernel.names.len() + kernel.functions.len() * size_of::<Function>();
        eprintln!("{:?}, {} functions, {bytes} bytes", began.elapsed(), kernel.functions.len());
    }
}
