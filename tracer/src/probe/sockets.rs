//! Addresses of sockets by inode, from `/proc/PID/net`: as the target's network namespace has them, also of sockets that
//! no call has used since tracing began.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
};

use procfs::{
    net::{TcpNetEntries, UdpNetEntries},
    prelude::FromBufReadSI as _,
};

use crate::model::endpoint::Socket;

/// What is known of a socket: itself, and the path that it is bound to.
pub(super) type Known = (Socket, Option<String>);

/// The tables, and in which column each has the inode.
const TABLES: [(&str, usize); 5] = [("tcp", 9), ("tcp6", 9), ("udp", 9), ("udp6", 9), ("unix", 6)];

/// Looks the wanted inodes up. A busy machine has a million sockets: only the lines of those that are wanted are looked
/// at closer, and no table is read beyond the last of them.
pub(super) fn find(process: &Path, mut wanted: HashSet<u64>) -> HashMap<u64, Known> {
    let mut found = HashMap::new();
    for (table, column) in TABLES {
        let Ok(file) = File::open(process.join("net").join(table)) else { continue };
        for line in BufReader::new(file).split(b'\n').map_while(Result::ok).skip(1) {
            if wanted.is_empty() {
                return found;
            }
            // The path of a unix socket may be anything at all.
            let line = String::from_utf8_lossy(&line);
            let inode = line.split_ascii_whitespace().nth(column).and_then(|inode| inode.parse().ok());
            let Some(inode) = inode.filter(|inode| wanted.contains(inode)) else { continue };
            if let Some(known) = parse(table, &line) {
                wanted.remove(&inode);
                found.insert(inode, known);
            }
        }
    }
    found
}

fn parse(table: &str, line: &str) -> Option<Known> {
    match table {
        "unix" => unix(line),
        "tcp" | "tcp6" => {
            let entry =
                TcpNetEntries::from_buf_read(with_head(line).as_bytes(), procfs::current_system_info());
            entry
                .ok()?
                .0
                .pop()
                .map(|entry| (internet(table, entry.local_address, entry.remote_address), None))
        }
        _ => {
            let entry =
                UdpNetEntries::from_buf_read(with_head(line).as_bytes(), procfs::current_system_info());
            entry
                .ok()?
                .0
                .pop()
                .map(|entry| (internet(table, entry.local_address, entry.remote_address), None))
        }
    }
}

/// The parser skips a table's head.
fn with_head(line: &str) -> String {
    format!("\n{line}\n")
}

fn internet(table: &str, local: SocketAddr, remote: SocketAddr) -> Socket {
    let protocol = table.trim_end_matches('6');
    // A mapped IPv4 address is shown as such, as the kernel side's findings are.
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    Socket {
        family: if table.ends_with('6') { "inet6" } else { "inet" }.to_owned(),
        socket_type: if protocol == "tcp" { "stream" } else { "datagram" }.to_owned(),
        protocol: protocol.to_owned(),
        local: Some(canonical(local)),
        remote: Some(canonical(remote)).filter(|remote| remote.port() != 0),
        loopback: None,
        offloads: None,
    }
}

/// `ffff9e2a8b3c0000: 00000002 00000000 00010000 0001 01 12345 /run/name` (net/unix/af_unix.c, `unix_seq_show`).
fn unix(line: &str) -> Option<Known> {
    let mut rest = line;
    let mut fields = std::iter::from_fn(|| {
        let (field, after) =
            rest.trim_start_matches(' ').split_once(' ').unwrap_or((rest.trim_start_matches(' '), ""));
        rest = after;
        (!field.is_empty()).then_some(field)
    });
    let socket_type = match u16::from_str_radix(fields.nth(4)?, 16).ok()? {
        1 => "stream".to_owned(),
        2 => "datagram".to_owned(),
        5 => "seqpacket".to_owned(),
        other => format!("type_{other}"),
    };
    // State and inode.
    fields.nth(1)?;
    let path = (!rest.is_empty()).then(|| rest.to_owned());
    let socket = Socket {
        family: "unix".to_owned(),
        socket_type,
        protocol: "unix".to_owned(),
        local: None,
        remote: None,
        loopback: Some(true),
        offloads: None,
    };
    Some((socket, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str =
        "   0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0";

    #[test]
    fn lines_of_each_table() {
        let (tcp, _) = parse("tcp", TCP).unwrap();
        assert_eq!((tcp.protocol.as_str(), tcp.local), ("tcp", "127.0.0.1:8080".parse().ok()));
        assert_eq!(tcp.remote, "127.0.0.1:50000".parse().ok());
        let listening = TCP.replace("C350", "0000");
        assert_eq!(parse("udp", &listening).unwrap().0.remote, None);
        assert!(parse("tcp", "nonsense").is_none());
        let line = "0000000000000000: 00000002 00000000 00010000 0005 01    17 /run/a name";
        let (socket, path) = parse("unix", line).unwrap();
        assert_eq!((socket.socket_type.as_str(), path.as_deref()), ("seqpacket", Some("/run/a name")));
        let nameless = "0000000000000000: 00000003 00000000 00000000 0001 03 123456";
        assert_eq!(parse("unix", nameless).unwrap().1, None);
    }

    #[test]
    fn finds_its_own_sockets() {
        use std::os::fd::AsRawFd as _;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = rustix::fs::fstat(&listener).unwrap().st_ino;
        let found = find(Path::new("/proc/self"), HashSet::from([inode]));
        assert_eq!(found[&inode].0.local, listener.local_addr().ok(), "{}", listener.as_raw_fd());
    }
}
