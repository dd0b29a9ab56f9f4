//! Opening files as a process sees them: below its root, whatever links lead out of it.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::Path,
};

/// Opens a regular file. Links are resolved below `root`, so that a container can't lead us to a
/// file of the host (openat2, Linux 5.6).
pub(super) fn open_below(root: &File, path: &Path) -> io::Result<File> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all zeroes is a valid open_how.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: the path is a C string and `how` an open_how of the size given; both outlive the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root.as_raw_fd(),
            name.as_ptr(),
            &how,
            size_of::<libc::open_how>(),
        )
    };
    let fd = i32::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    readable(&unsafe { File::from_raw_fd(fd) })
}

/// Opens a regular file by a path of our own.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let place = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?;
    readable(&place)
}

/// Opens for reading what an O_PATH descriptor stands for, if it is a regular file: opening a FIFO
/// would block, opening a device might do something.
fn readable(place: &File) -> io::Result<File> {
    if !place.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    File::open(format!("/proc/self/fd/{}", place.as_raw_fd()))
}
