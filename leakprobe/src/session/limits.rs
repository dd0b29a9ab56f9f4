//! Limits on leakprobe itself.

/// Descriptors that are asked for: each mapped file of each watched process is kept open for its
/// names.
const WANTED: libc::rlim_t = 65_536;

/// Descriptors that a watched process takes: its folder, its memory, its page map, and some to spare.
const OF_A_PROCESS: usize = 4;
/// Never that few processes are kept open.
const MIN_PROCESSES: usize = 8;

/// How many processes can be kept open from one snapshot to the next: a third of the descriptors.
pub fn kept_processes() -> usize {
    let open = open_files().map_or(0, |limit| limit.rlim_cur);
    (usize::try_from(open).unwrap_or(usize::MAX) / 3 / OF_A_PROCESS).max(MIN_PROCESSES)
}

/// Descriptors that are held back, so that the tasks can still be read when files have used up all
/// others.
#[derive(Default)]
pub struct Spare(Vec<std::fs::File>);

impl Spare {
    /// What opening the task iterator takes at most.
    const COUNT: usize = 4;

    /// Holds as many back as are to be had.
    pub fn hold() -> Spare {
        let open = || std::fs::File::open("/dev/null").ok();
        Spare(std::iter::repeat_with(open).take(Spare::COUNT).flatten().collect())
    }

    /// Lets them go.
    pub fn release(&mut self) {
        self.0.clear();
    }
}

/// Raises the number of files that leakprobe may have open, as far as it is allowed to.
pub fn raise_open_files() {
    if let Some(mut limit) = open_files() {
        limit.rlim_cur = limit.rlim_cur.max(WANTED.min(limit.rlim_max));
        // SAFETY: `limit` is valid for reads. If the call fails, the limit stays as it was.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    }
}

/// How many files leakprobe may have open.
fn open_files() -> Option<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0;
    read.then_some(limit)
}
