//! Descriptors that a process has open, from `/proc/PID/fd` and `/proc/PID/fdinfo`.
//!
//! Nothing here opens a file of the target, nor asks a file system that may wait for somebody else: the inode number is in
//! fdinfo (since Linux 5.14), the device in mountinfo, by the file's mount. Both are the kernel's own, as the kernel side
//! finds them; `stat` would give those that btrfs and overlayfs make up for programs.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use procfs::{prelude::FromRead as _, process::MountInfos};
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{
        AtFlags, CWD, MemfdFlags, Mode, OFlags, StatxFlags, fstat, major, memfd_create, minor, openat,
        readlinkat, statx,
    },
    pipe::{PipeFlags, pipe_with},
};

use super::{endpoints, mappings, reader::now_ns, sockets};
use crate::model::{
    endpoint::{Endpoint, EndpointKey, EndpointKind},
    event::{DescriptorSeen, DescriptorsSeen, Event},
};

/// Most descriptors that one look takes in, of all processes together.
const MOST: usize = 100_000;
/// What fdinfo begins with, whatever follows (an epoll's watches may be many), bytes.
const FDINFO_HEAD: usize = 256;
/// include/uapi/asm-generic/fcntl.h
const O_CLOEXEC: u32 = 0o2_000_000;
const O_DIRECTORY: u32 = 0o200_000;
/// include/uapi/linux/stat.h
const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
/// File systems that may wait for another machine or program, so that they are asked nothing.
const REMOTE: [&str; 4] = ["nfs", "smb2", "9p", "fuse"];

/// One look at the descriptors of one or more processes.
pub struct Look {
    next_serial: u64,
    room: usize,
    own: OwnDevices,
}

/// Descriptors that a child of this process will inherit.
pub struct Inheritance(Vec<Event>);

impl Inheritance {
    /// The events that tell the model what the child has open.
    pub fn of_child(mut self, pid: u32) -> Vec<Event> {
        for event in &mut self.0 {
            if let Event::DescriptorsSeen(seen) = event {
                seen.pid = pid;
            }
        }
        self.0
    }
}

/// What fdinfo says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Info {
    position_bytes: Option<u64>,
    flags: Option<u32>,
    mount: Option<i32>,
    inode: Option<u64>,
}

/// A descriptor before it is described.
struct Raw {
    fd: i32,
    link: String,
    info: Info,
}

/// A mount by its id.
struct Mount {
    device: Option<u32>,
    mount_type: String,
}

/// The process as it sees itself: its mounts and its root; and the folder of its descriptors.
struct Surroundings {
    mounts: HashMap<i32, Mount>,
    root: String,
    links: Option<OwnedFd>,
}

impl Look {
    /// A look whose serials begin after `serials`.
    pub(super) fn new(serials: u64) -> Self {
        Self { next_serial: serials, room: MOST, own: OwnDevices::find() }
    }

    /// The events that tell the model what a process has open now. One that has vanished has none.
    pub fn at(&mut self, pid: u32, at_begin: bool) -> Vec<Event> {
        let time_ns = now_ns();
        match open_folder(pid) {
            Some(folder) => self.events(&folder, pid, time_ns, at_begin, false),
            None => Vec::new(),
        }
    }

    /// What a child that is started next will have open when its program begins.
    pub fn inheritable(&mut self) -> Inheritance {
        Inheritance(self.events(Path::new("/proc/self"), 0, now_ns(), true, true))
    }

    fn events(
        &mut self,
        folder: &Path,
        pid: u32,
        time_ns: u64,
        at_begin: bool,
        only_inherited: bool,
    ) -> Vec<Event> {
        let (mut raws, complete) = read(folder, self.room);
        if only_inherited {
            raws.retain(|raw| raw.info.flags.is_some_and(|flags| flags & O_CLOEXEC == 0));
        }
        self.room -= raws.len();
        let sockets: HashSet<u64> = raws.iter().filter_map(|raw| special(&raw.link, "socket:")).collect();
        let sockets = if sockets.is_empty() { HashMap::new() } else { sockets::find(folder, sockets) };
        let surroundings = Surroundings::of(folder);
        let mut events = Vec::with_capacity(raws.len() + 1);
        let mut descriptors = Vec::with_capacity(raws.len());
        for raw in &raws {
            let endpoint = self.describe(raw, &surroundings, &sockets);
            let serial = mappings::own(self.next_serial);
            self.next_serial += 1;
            descriptors.push(DescriptorSeen {
                fd: raw.fd,
                serial,
                identified: endpoint.key != EndpointKey::Unknown,
                flags: raw.info.flags.map(|flags| flags & !O_CLOEXEC),
                close_on_exec: raw.info.flags.map(|flags| flags & O_CLOEXEC != 0),
                position_bytes: raw.info.position_bytes,
            });
            events.push(Event::Endpoint(serial, endpoint));
        }
        events.push(Event::DescriptorsSeen(DescriptorsSeen {
            pid,
            time_ns,
            at_begin,
            complete,
            descriptors,
        }));
        events
    }

    fn describe(
        &self,
        raw: &Raw,
        surroundings: &Surroundings,
        sockets: &HashMap<u64, sockets::Known>,
    ) -> Endpoint {
        let link = raw.link.as_str();
        let of = |kind, device: Option<u32>, inode: Option<u64>, path: Option<String>| Endpoint {
            key: key(device, inode),
            kind,
            path,
            ..endpoints::unknown()
        };
        if let Some(inode) = special(link, "socket:") {
            let socket = Endpoint {
                file_system: Some("sockfs"),
                ..of(EndpointKind::Socket, self.own.sockets, Some(inode), None)
            };
            return match sockets.get(&inode) {
                Some((known, path)) => Endpoint { socket: Some(known.clone()), path: path.clone(), ..socket },
                None => socket,
            };
        }
        if let Some(inode) = special(link, "pipe:") {
            let pipe = of(EndpointKind::Pipe, self.own.pipes, Some(inode), Some(link.to_owned()));
            return Endpoint { file_system: Some("pipefs"), ..pipe };
        }
        if link.starts_with("anon_inode:") {
            // Those of pidfds lie in a file system of their own since Linux 6.9.
            let device = self.own.anonymous.filter(|_| link != "anon_inode:[pidfd]");
            let inode = device.and(raw.info.inode);
            let anonymous = of(EndpointKind::Anonymous, device, inode, Some(link.to_owned()));
            return Endpoint { file_system: Some("anon_inode"), ..anonymous };
        }
        if let Some(name) = link.strip_prefix("/memfd:") {
            let name = format!("/memfd:{}", name.strip_suffix(DELETED).unwrap_or(name));
            let file = of(EndpointKind::File, self.own.memory_files, raw.info.inode, Some(name));
            return Endpoint { file_system: Some("tmpfs"), ..file };
        }
        if !link.starts_with('/') {
            return of(EndpointKind::Unknown, None, None, Some(link.to_owned()));
        }
        Self::describe_file(raw, surroundings)
    }

    fn describe_file(raw: &Raw, surroundings: &Surroundings) -> Endpoint {
        let mount = raw.info.mount.and_then(|id| surroundings.mounts.get(&id));
        let mount_type = mount.map_or("", |mount| mount.mount_type.as_str());
        let (file_system, _) = endpoints::by_mount_type(mount_type, 0, 0);
        let asked = file_system
            .filter(|name| !REMOTE.contains(name))
            .and_then(|_| ask(surroundings.links.as_ref()?, raw.fd));
        let directory = raw.info.flags.is_some_and(|flags| flags & O_DIRECTORY != 0);
        let likely = if directory { S_IFDIR } else { S_IFREG };
        let (mode, special_device, links) = asked.unwrap_or((likely, 0, 1));
        let (_, kind) = endpoints::by_mount_type(mount_type, mode, special_device);
        let is_node =
            matches!(kind, EndpointKind::CharDevice | EndpointKind::BlockDevice | EndpointKind::Terminal);
        Endpoint {
            key: key(mount.and_then(|mount| mount.device), raw.info.inode),
            kind,
            path: Some(surroundings.inside(raw.link.as_str(), links == 0)),
            file_system,
            device_node: is_node.then_some((special_device >> 20, special_device & 0xf_ffff)),
            ..endpoints::unknown()
        }
    }
}

/// fs/d_path.c: what the kernel adds to the name of a file that has none any more.
const DELETED: &str = " (deleted)";

fn key(device: Option<u32>, inode: Option<u64>) -> EndpointKey {
    match (device, inode) {
        (Some(device), Some(inode)) => EndpointKey::Inode { device, inode, generation: None },
        _ => EndpointKey::Unknown,
    }
}

/// The inode in `socket:[123]`.
fn special(link: &str, kind: &str) -> Option<u64> {
    link.strip_prefix(kind)?.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Type, device (in the kernel's encoding) and number of names of what a descriptor stands for, as far as the file system
/// knows them without asking anybody.
fn ask(links: &OwnedFd, fd: i32) -> Option<(u32, u32, u32)> {
    let wanted = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::NLINK;
    let known = statx(links, fd.to_string(), AtFlags::STATX_DONT_SYNC, wanted).ok()?;
    let device = known.stx_rdev_major << 20 | known.stx_rdev_minor;
    Some((known.stx_mode.into(), device, known.stx_nlink))
}

/// The folder of a process that has descriptors: if its first thread has ended, that of another one.
fn open_folder(pid: u32) -> Option<PathBuf> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let has_descriptors =
        |folder: &PathBuf| fs::read_dir(folder.join("fd")).is_ok_and(|mut entries| entries.next().is_some());
    if has_descriptors(&process) {
        return Some(process);
    }
    let threads = fs::read_dir(process.join("task")).ok()?;
    // A process may have closed all its descriptors.
    threads.flatten().map(|thread| thread.path()).find(has_descriptors).or(Some(process))
}

/// The descriptors by number, no more than `room`, and whether these are all.
fn read(folder: &Path, room: usize) -> (Vec<Raw>, bool) {
    let Ok(entries) = fs::read_dir(folder.join("fd")) else { return (Vec::new(), false) };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut numbers: Vec<i32> = numbers.take(room.saturating_add(1)).collect();
    numbers.sort_unstable();
    let complete = numbers.len() <= room;
    numbers.truncate(room);
    let (Some(links), Some(infos)) = (open_directory(folder, "fd"), open_directory(folder, "fdinfo")) else {
        return (Vec::new(), false);
    };
    // One that was closed since then has nothing to read.
    let raws = numbers.into_iter().filter_map(|fd| {
        let link = readlinkat(&links, fd.to_string(), Vec::new()).ok()?;
        let info = info(&infos, fd);
        Some(Raw { fd, link: link.to_string_lossy().into_owned(), info })
    });
    (raws.collect(), complete)
}

/// A process may have a hundred thousand: what is named from here needs no way through `/proc` for each.
fn open_directory(folder: &Path, name: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, folder.join(name), flags, Mode::empty()).ok()
}

fn info(infos: &OwnedFd, fd: i32) -> Info {
    let mut text = [0; FDINFO_HEAD];
    let file = openat(infos, fd.to_string(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    match file.and_then(|file| rustix::io::read(file, &mut text)) {
        Ok(bytes) => parse(&String::from_utf8_lossy(text.get(..bytes).unwrap_or(&[]))),
        Err(_) => Info::default(),
    }
}

/// `pos: flags: mnt_id: ino:` (fs/proc/fd.c, `seq_show`).
fn parse(text: &str) -> Info {
    let fields: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let field = |name| fields.get(name).copied();
    Info {
        position_bytes: field("pos").and_then(|position| position.parse().ok()),
        flags: field("flags").and_then(|flags| u32::from_str_radix(flags, 8).ok()),
        mount: field("mnt_id").and_then(|mount| mount.parse().ok()),
        inode: field("ino").and_then(|inode| inode.parse().ok()),
    }
}

impl Surroundings {
    fn of(folder: &Path) -> Self {
        let mounts = MountInfos::from_file(folder.join("mountinfo"));
        let mounts = mounts.into_iter().flatten().map(|mount| {
            let device = mount.majmin.split_once(':').and_then(|(major, minor)| {
                Some(major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?)
            });
            (mount.mnt_id, Mount { device, mount_type: mount.fs_type })
        });
        let root = fs::read_link(folder.join("root"));
        let root = root.map_or_else(|_| String::new(), |root| root.to_string_lossy().into_owned());
        Self {
            mounts: mounts.collect(),
            root: root.trim_end_matches('/').to_owned(),
            links: open_directory(folder, "fd"),
        }
    }

    /// A path as the process itself sees it.
    fn inside(&self, link: &str, deleted: bool) -> String {
        let link = if deleted { link.strip_suffix(DELETED).unwrap_or(link) } else { link };
        match link.strip_prefix(&self.root) {
            Some("") => "/".to_owned(),
            Some(inside) if inside.starts_with('/') => inside.to_owned(),
            _ => link.to_owned(),
        }
    }
}

/// Devices of the file systems that are in nobody's list of mounts, found out by files of our own.
struct OwnDevices {
    sockets: Option<u32>,
    pipes: Option<u32>,
    anonymous: Option<u32>,
    memory_files: Option<u32>,
}

impl OwnDevices {
    fn find() -> Self {
        let device = |file: Option<OwnedFd>| {
            let device = fstat(file?).ok()?.st_dev;
            Some(major(device) << 20 | minor(device))
        };
        let socket = std::os::unix::net::UnixDatagram::unbound();
        Self {
            sockets: device(socket.ok().map(OwnedFd::from)),
            pipes: device(pipe_with(PipeFlags::CLOEXEC).ok().map(|(reader, _)| reader)),
            anonymous: device(eventfd(0, EventfdFlags::CLOEXEC).ok()),
            memory_files: device(memfd_create("zc-trace", MemfdFlags::CLOEXEC).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn what_fdinfo_says() {
        let text = "pos:\t4096\nflags:\t02100002\nmnt_id:\t29\nino:\t77\neventfd-count: 0\n";
        let expected =
            Info { position_bytes: Some(4096), flags: Some(0o2_100_002), mount: Some(29), inode: Some(77) };
        assert_eq!(parse(text), expected);
        assert_eq!(parse("pos\nflags: x\n"), Info::default());
    }

    #[test]
    fn paths_are_those_of_the_process() {
        let within = |root: &str| Surroundings { mounts: HashMap::new(), root: root.to_owned(), links: None };
        assert_eq!(within("").inside("/a/b", false), "/a/b");
        assert_eq!(within("/jail").inside("/jail/a", false), "/a");
        assert_eq!(within("/jail").inside("/jail", false), "/");
        assert_eq!(within("/jail").inside("/jailed/a", false), "/jailed/a");
        assert_eq!(within("").inside("/a (deleted)", true), "/a");
        assert_eq!(within("").inside("/a (deleted)", false), "/a (deleted)");
    }

    #[test]
    fn own_descriptors_are_seen_as_fstat_has_them() {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let file = tempfile::tempfile().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let events = Look::new(0).at(std::process::id(), true);
        let Some(Event::DescriptorsSeen(seen)) = events.last() else { panic!("nothing was seen") };
        assert!(seen.complete && seen.at_begin);
        let endpoint = |fd: i32| {
            let serial = seen.descriptors.iter().find(|seen| seen.fd == fd).unwrap().serial;
            events.iter().find_map(|event| match event {
                Event::Endpoint(found, endpoint) if *found == serial => Some(endpoint.clone()),
                _ => None,
            })
        };
        for fd in [reader.as_raw_fd(), file.as_raw_fd(), listener.as_raw_fd()] {
            // SAFETY: open while this runs.
            let stat = fstat(unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }).unwrap();
            let device = major(stat.st_dev) << 20 | minor(stat.st_dev);
            assert_eq!(
                endpoint(fd).unwrap().key,
                EndpointKey::Inode { device, inode: stat.st_ino, generation: None },
                "{fd}"
            );
        }
        let file = endpoint(file.as_raw_fd()).unwrap();
        assert_eq!(file.kind, EndpointKind::File);
        assert!(file.path.is_some_and(|path| !path.ends_with(DELETED)));
        let socket = endpoint(listener.as_raw_fd()).unwrap().socket.unwrap();
        assert_eq!(socket.local, listener.local_addr().ok());
    }
}
