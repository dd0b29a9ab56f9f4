//! Descriptors as wait objects.

use crate::{
    process::{Descriptor, DescriptorKind},
    runtime::{Found, Look, Why},
    snapshot::ObjectKind,
};

/// Polled descriptors that are listed; programs poll thousands.
const MAX_LISTED: u64 = 8;
/// Watched descriptors that are named; their number is said in any case.
const MAX_NAMED: usize = 3;
/// `sizeof(struct pollfd)`.
const POLLFD_SIZE: u64 = 8;

/// Whether a call's first argument is the descriptor that it waits on.
pub fn in_first_argument(name: &str) -> bool {
    matches!(
        name,
        "read"
            | "pread64"
            | "readv"
            | "preadv"
            | "preadv2"
            | "write"
            | "pwrite64"
            | "writev"
            | "pwritev"
            | "pwritev2"
            | "accept"
            | "accept4"
            | "connect"
            | "recvfrom"
            | "recvmsg"
            | "recvmmsg"
            | "sendto"
            | "sendmsg"
            | "sendmmsg"
            | "sendfile"
            | "splice"
            | "tee"
            | "vmsplice"
            | "flock"
            | "fcntl"
            | "ioctl"
            | "fsync"
            | "fdatasync"
            | "getdents64"
            | "mq_timedreceive"
            | "mq_timedsend"
            | "io_uring_enter"
            | "sync_file_range"
            | "fallocate"
            | "ftruncate"
            | "close"
    )
}

/// One descriptor.
pub fn one(look: &Look, fd: u64) -> Found {
    let fd = u64::from(fd as u32);
    match look.descriptors.describe(fd as u32) {
        Some(descriptor) => found(fd, descriptor),
        None => {
            Found::new(ObjectKind::File, fd).with("fd", fd.to_string()).with("target", "unreadable")
        }
    }
}

fn found(fd: u64, descriptor: Descriptor) -> Found {
    let kind = match descriptor.kind {
        DescriptorKind::Pipe => ObjectKind::Pipe,
        DescriptorKind::Socket => ObjectKind::Socket,
        DescriptorKind::Epoll => ObjectKind::Epoll,
        DescriptorKind::Other => ObjectKind::File,
    };
    let found = Found::new(kind, fd).with("fd", fd.to_string()).with("target", descriptor.target);
    match descriptor.connection {
        Some(connection) => found.with("connection", connection),
        None => found,
    }
}

/// `poll(struct pollfd[], n, …)`: the first descriptors that are asked for.
pub fn polled(look: &Look, mut why: Why, args: [u64; 6]) -> Why {
    let [array, count, ..] = args;
    for index in 0..count.min(MAX_LISTED) {
        let entry = array.wrapping_add(index * POLLFD_SIZE);
        // A negative descriptor is ignored by poll.
        match look.u32(entry).map(|fd| fd as i32) {
            Some(fd) if fd >= 0 => why.objects.push(one(look, fd as u64)),
            _ => {}
        }
    }
    match count {
        0 => why.notes.push("polls no descriptor: a sleep".into()),
        _ if count > MAX_LISTED => why.notes.push(format!("polls {count} descriptors")),
        _ => {}
    }
    why
}

/// An epoll instance and what it watches.
pub fn epoll(look: &Look, why: Why, fd: u64) -> Why {
    let mut epoll = one(look, fd);
    epoll.kind = ObjectKind::Epoll;
    if let Some(watched) = look.descriptors.watched_by_epoll(fd as u32) {
        let named = watched.iter().take(MAX_NAMED).map(|fd| {
            let target = look.descriptors.describe(*fd).map(|d| d.connection.unwrap_or(d.target));
            format!("{fd} {}", target.unwrap_or_default())
        });
        let listed = named.collect::<Vec<_>>().join(", ");
        let number = match watched.len() {
            1 => "1 descriptor".to_owned(),
            n => format!("{n} descriptors"),
        };
        epoll = epoll.with("watches", number);
        if !listed.is_empty() {
            epoll = epoll.with("watched", listed);
        }
    }
    why.on(epoll)
}
