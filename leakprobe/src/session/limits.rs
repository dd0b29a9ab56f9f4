//! Limits on leakprobe itself.

/// Descriptors that are asked for: each mapped file of each watched process is kept open for its
/// names.
const WANTED: libc::rlim_t = 65_536;

/// Raises the number of files that leakprobe may have open, as far as it is allowed to.
pub fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for reads and writes. If either call fails, the limit stays as it was.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_cur.max(WANTED.min(limit.rlim_max));
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
