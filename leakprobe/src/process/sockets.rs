//! The sockets of a process's network namespace, from /proc/PID/net.
//!
//! Formats: Linux net/ipv4/tcp_ipv4.c (`tcp4_seq_show`), net/ipv4/udp.c, net/ipv6/tcp_ipv6.c,
//! net/unix/af_unix.c (`unix_seq_show`), 6.18.

use std::{
    fs::File,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;

/// Bytes of one table that are read at the most: about 400,000 sockets.
const MAX_TABLE: u64 = 64 << 20;

/// Descriptions by socket inode.
#[derive(Debug, Default)]
pub struct Sockets(FxHashMap<u64, String>);

/// How long a namespace's tables serve the processes in it: the time of one snapshot.
const FRESH: Duration = Duration::from_secs(1);

/// The sockets of network namespaces, each read once for all its processes. Cloning shares it: a
/// machine can have hundreds of processes in one namespace with a hundred thousand sockets.
#[derive(Clone, Default)]
pub struct Namespaces(Arc<Mutex<FxHashMap<PathBuf, Read>>>);

/// When the tables were read, and what they held.
type Read = (Instant, Arc<Sockets>);

impl Namespaces {
    /// The sockets of a process's network namespace.
    pub(super) fn of(&self, pid: u32) -> Arc<Sockets> {
        let Ok(namespace) = std::fs::read_link(format!("/proc/{pid}/ns/net")) else {
            return Arc::new(Sockets::of(pid));
        };
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lock().retain(|_, (read, _)| read.elapsed() < FRESH);
        if let Some((_, known)) = lock().get(&namespace) {
            return known.clone();
        }
        // Not under the lock: reading takes its time.
        let sockets = Arc::new(Sockets::of(pid));
        lock().insert(namespace, (Instant::now(), sockets.clone()));
        sockets
    }
}

impl Sockets {
    /// Reads the tables of a process's network namespace. A table that is not there (IPv6 off) is
    /// empty.
    pub fn of(pid: u32) -> Sockets {
        let mut sockets = Sockets::default();
        for (table, protocol) in [("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")]
        {
            sockets.add(pid, table, |line| internet(line, protocol));
        }
        sockets.add(pid, "unix", unix);
        sockets
    }

    /// What is known of a socket.
    pub fn describe(&self, inode: u64) -> Option<String> {
        self.0.get(&inode).cloned()
    }

    fn add(&mut self, pid: u32, table: &str, parse: impl Fn(&str) -> Option<(u64, String)>) {
        let Ok(file) = File::open(format!("/proc/{pid}/net/{table}")) else { return };
        let mut text = Vec::new();
        if file.take(MAX_TABLE).read_to_end(&mut text).is_ok() {
            self.0.extend(String::from_utf8_lossy(&text).lines().skip(1).filter_map(parse));
        }
    }
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`
fn internet(line: &str, protocol: &str) -> Option<(u64, String)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = address(fields.next()?)?;
    let remote = address(fields.next()?)?;
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let (_, unread) = fields.next()?.split_once(':')?;
    let unread = u64::from_str_radix(unread, 16).ok()?;
    let inode = fields.nth(4)?.parse().ok()?;
    let text = match (protocol, state) {
        ("tcp", 10) => format!("tcp listening on {local}"),
        ("tcp", _) => format!("tcp {local} to {remote}, {}", tcp_state(state)),
        (_, _) if remote.port() == 0 => format!("{protocol} bound to {local}"),
        (_, _) => format!("{protocol} {local} to {remote}"),
    };
    Some((inode, if unread > 0 { format!("{text}, {unread} unread") } else { text }))
}

/// `0100007F:1F90`, or 32 hex digits for IPv6: 32-bit words in the machine's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = (0..ip.len() / 8)
        .map(|i| u32::from_str_radix(ip.get(i * 8..i * 8 + 8)?, 16).ok())
        .collect::<Option<Vec<u32>>>()?;
    let ip: IpAddr = match words[..] {
        [v4] => Ipv4Addr::from(v4.to_ne_bytes()).into(),
        [a, b, c, d] => {
            let mut bytes = [0; 16];
            for (chunk, word) in bytes.chunks_exact_mut(4).zip([a, b, c, d]) {
                chunk.copy_from_slice(&word.to_ne_bytes());
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Names of include/net/tcp_states.h.
fn tcp_state(state: u8) -> &'static str {
    match state {
        1 => "established",
        2 => "syn sent",
        3 => "syn received",
        4 => "fin wait 1",
        5 => "fin wait 2",
        6 => "time wait",
        7 => "closed",
        8 => "closed by the peer",
        9 => "last ack",
        11 => "closing",
        _ => "unknown state",
    }
}

/// `Num RefCount Protocol Flags Type St Inode Path`.
fn unix(line: &str) -> Option<(u64, String)> {
    let mut fields = line.split_ascii_whitespace().skip(3);
    let flags = u32::from_str_radix(fields.next()?, 16).ok()?;
    let kind = match fields.next()? {
        "0001" => "stream",
        "0002" => "datagram",
        "0005" => "seqpacket",
        _ => "socket",
    };
    let state = fields.next()?;
    let inode = fields.next()?.parse().ok()?;
    let path = fields.next().map(|p| format!(" {p}")).unwrap_or_default();
    // __SO_ACCEPTCON: it listens.
    let how = match (flags & 0x1_0000 != 0, state) {
        (true, _) => ", listening",
        (_, "03") => ", connected",
        _ => "",
    };
    Some((inode, format!("unix {kind}{path}{how}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_each_table_are_read() {
        // Check IPv4, IPv6, unread bytes, and lines that are cut short.
        let tcp = "   0: 0100007F:1F90 0200007F:0035 01 00000000:00000010 00:00000000 00000000  0 \
                   0 4242 1 0000000000000000 100 0 0 10 0";
        let expected = "tcp 127.0.0.1:8080 to 127.0.0.2:53, established, 16 unread";
        assert_eq!(internet(tcp, "tcp"), Some((4242, expected.into())));
        assert_eq!(internet(&tcp[..60], "tcp"), None);
        let v6 = address("00000000000000000000000001000000:0050").map(|a| a.to_string());
        assert_eq!(v6.as_deref(), Some("[::1]:80"));
        let line = "0: 00000002 0 00010000 0001 01 777 /run/a.sock";
        assert_eq!(unix(line), Some((777, "unix stream /run/a.sock, listening".into())));
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in ".{0,200}") {
            // Check that whatever a kernel prints is survived.
            let _ = (internet(&line, "tcp"), unix(&line), address(&line));
        }
    }
}
