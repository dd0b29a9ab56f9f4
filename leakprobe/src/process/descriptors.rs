//! Open descriptors of another process and what they lead to.

use std::{
    cell::{OnceCell, RefCell},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
};

use rustc_hash::FxHashMap;

use super::sockets::{Namespaces, Sockets};

/// Descriptors watched by one epoll instance that are read at the most.
const MAX_WATCHED: usize = 65_536;

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorKind {
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// An epoll instance.
    Epoll,
    /// Anything else.
    Other,
}

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    pub kind: DescriptorKind,
    /// What /proc/PID/fd/N leads to: `pipe:[123]`, a path.
    pub target: String,
    /// For a socket its protocol, state and both ends, where the process's network namespace tells.
    pub connection: Option<String>,
}

/// The descriptors of one process. The sockets of its network namespace are read at first use.
pub struct Descriptors {
    pid: u32,
    namespaces: Namespaces,
    sockets: OnceCell<Arc<Sockets>>,
    /// What was asked for already: thousands of threads can wait on one descriptor.
    known: RefCell<FxHashMap<u32, Option<Descriptor>>>,
}

impl Descriptors {
    /// Of this process; nothing is read yet.
    pub fn new(pid: u32, namespaces: Namespaces) -> Descriptors {
        Descriptors { pid, namespaces, sockets: OnceCell::new(), known: RefCell::default() }
    }

    /// One descriptor, `None` if it is not open or may not be seen.
    pub fn describe(&self, fd: u32) -> Option<Descriptor> {
        if let Some(known) = self.known.borrow().get(&fd) {
            return known.clone();
        }
        let found = self.read(fd);
        self.known.borrow_mut().insert(fd, found.clone());
        found
    }

    fn read(&self, fd: u32) -> Option<Descriptor> {
        let link = std::fs::read_link(format!("/proc/{}/fd/{fd}", self.pid)).ok()?;
        let kind = kind_of(&link);
        let target = link.to_string_lossy().into_owned();
        let connection = match kind {
            DescriptorKind::Socket => inode(&link).and_then(|inode| self.connection(inode)),
            _ => None,
        };
        Some(Descriptor { kind, target, connection })
    }

    fn connection(&self, inode: u64) -> Option<String> {
        self.sockets.get_or_init(|| self.namespaces.of(self.pid)).describe(inode)
    }

    /// The descriptors that an epoll instance watches (`tfd:` lines of its fdinfo).
    pub fn watched_by_epoll(&self, fd: u32) -> Option<Vec<u32>> {
        let text = std::fs::read(format!("/proc/{}/fdinfo/{fd}", self.pid)).ok()?;
        let text = String::from_utf8_lossy(&text);
        let watched = text.lines().filter_map(|line| {
            line.strip_prefix("tfd:")?.split_ascii_whitespace().next()?.parse().ok()
        });
        Some(watched.take(MAX_WATCHED).collect())
    }
}

fn kind_of(link: &Path) -> DescriptorKind {
    let bytes = link.as_os_str().as_bytes();
    if bytes.starts_with(b"pipe:") {
        DescriptorKind::Pipe
    } else if bytes.starts_with(b"socket:") {
        DescriptorKind::Socket
    } else if link.as_os_str() == OsStr::new("anon_inode:[eventpoll]") {
        DescriptorKind::Epoll
    } else {
        DescriptorKind::Other
    }
}

/// The number in `socket:[123]`.
fn inode(link: &Path) -> Option<u64> {
    let text = link.to_str()?;
    text.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpListener, os::fd::AsRawFd, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn own_descriptors_are_described() {
        // Check a pipe end, a listening socket with its address, a socket pair and a closed number.
        // Descriptors are read once for each look, and numbers are reused.
        let own = || Descriptors::new(std::process::id(), Namespaces::default());
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let pipe = own().describe(reader.as_raw_fd() as u32).expect("an open pipe");
        assert_eq!(pipe.kind, DescriptorKind::Pipe);
        drop(writer);
        let _ = { reader }.read(&mut [0]);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback socket");
        let port = listener.local_addr().expect("its address").port();
        let socket = own().describe(listener.as_raw_fd() as u32).expect("an open socket");
        assert_eq!(socket.connection, Some(format!("tcp listening on 127.0.0.1:{port}")));
        let (a, _b) = UnixStream::pair().expect("a socket pair");
        let unix = own().describe(a.as_raw_fd() as u32).expect("an open socket");
        assert_eq!(unix.connection.as_deref(), Some("unix stream, connected"));
        assert_eq!(own().describe(1_000_000), None);
    }
}
