//! Endpoints under small numbers: many serials may name one endpoint, and flows hold no strings.

use super::{
    endpoint::{Endpoint, EndpointKey, EndpointKind, Socket},
    event::Serial,
    hash::HashMap,
    snapshot::FlowEnd,
    traits::Traits,
};

/// The model's own number of an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(crate) struct EndpointId(u32);

impl EndpointId {
    /// Memory of a process.
    pub(crate) const USER: Self = Self(0);
    /// What could not be identified.
    pub(crate) const UNKNOWN: Self = Self(1);
    /// Stands for several, where there are too many to tell apart.
    pub(crate) const OTHERS: Self = Self(2);
}

/// How many endpoints have a fixed number.
const FIXED: usize = 3;

/// What makes two descriptions mean the same endpoint. All anonymous inodes share one inode number (fs/anon_inodes.c)
/// and differ by name; what has no identity is told apart by name as well.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Identity {
    key: EndpointKey,
    kind: EndpointKind,
    name: Option<String>,
}

impl Identity {
    fn of(endpoint: &Endpoint) -> Self {
        let by_name = endpoint.kind == EndpointKind::Anonymous || endpoint.key == EndpointKey::Unknown;
        Self { key: endpoint.key, kind: endpoint.kind, name: endpoint.path.clone().filter(|_| by_name) }
    }

    /// That of whatever has the inode number at present.
    fn without_generation(&self) -> Self {
        let key = match self.key {
            EndpointKey::Inode { device, inode, .. } => {
                EndpointKey::Inode { device, inode, generation: None }
            }
            other => other,
        };
        Self { key, ..self.clone() }
    }
}

/// What a serial stands for.
#[derive(Clone, Copy, Debug)]
struct Named {
    id: EndpointId,
    traits: Traits,
    used: u64,
}

/// All endpoints seen.
#[derive(Debug)]
pub(crate) struct Endpoints {
    ends: Vec<FlowEnd>,
    by_identity: HashMap<Identity, EndpointId>,
    by_serial: HashMap<Serial, Named>,
    most: usize,
    clock: u64,
}

impl Endpoints {
    /// Tells at most `most` endpoints apart, and remembers as many serials.
    pub(crate) fn new(most: usize) -> Self {
        let others = FlowEnd { path: Some("(others)".to_owned()), ..nameless(EndpointKind::Unknown) };
        Self {
            ends: vec![nameless(EndpointKind::User), nameless(EndpointKind::Unknown), others],
            by_identity: HashMap::default(),
            by_serial: HashMap::default(),
            most: most.max(1),
            clock: 0,
        }
    }

    /// Learns what a serial stands for. A later description replaces the words of an earlier one.
    pub(crate) fn learn(&mut self, serial: Serial, endpoint: &Endpoint) {
        let id = self.identify(endpoint);
        if let Some(end) = self.ends.get_mut(id.0 as usize).filter(|_| id > EndpointId::OTHERS) {
            describe(end, endpoint);
        }
        if self.by_serial.len() >= self.most {
            self.forget_unused();
        }
        self.clock += 1;
        self.by_serial.insert(serial, Named { id, traits: Traits::of(endpoint), used: self.clock });
    }

    /// The number of an endpoint, a new one if it was not met before.
    fn identify(&mut self, endpoint: &Endpoint) -> EndpointId {
        let identity = Identity::of(endpoint);
        let latest = identity.without_generation();
        let known = self.by_identity.get(&identity).copied().or_else(|| {
            // Known by its number alone until now.
            let id = *self.by_identity.get(&latest)?;
            self.ends.get(id.0 as usize).is_some_and(|end| end.generation.is_none()).then_some(id)
        });
        let id = match known {
            Some(id) => id,
            None if endpoint.kind == EndpointKind::User => return EndpointId::USER,
            None if self.ends.len() >= self.most.saturating_add(FIXED) => return EndpointId::OTHERS,
            None => {
                // `most` bounds it far below 2^32.
                let id = EndpointId(u32::try_from(self.ends.len()).unwrap_or(EndpointId::OTHERS.0));
                self.ends.push(nameless(endpoint.kind));
                id
            }
        };
        self.by_identity.insert(latest, id);
        self.by_identity.insert(identity, id);
        id
    }

    /// What a serial stands for.
    pub(crate) fn resolve(&mut self, serial: Serial) -> (EndpointId, Traits) {
        self.clock += 1;
        match self.by_serial.get_mut(&serial) {
            Some(named) => {
                named.used = self.clock;
                (named.id, named.traits)
            }
            None => (EndpointId::UNKNOWN, Traits::UNKNOWN),
        }
    }

    /// How people see what a serial stands for, if that is known. Asking is no use that keeps it from being forgotten.
    pub(crate) fn end_of(&self, serial: Serial) -> Option<FlowEnd> {
        self.by_serial.get(&serial).map(|named| self.end(named.id))
    }

    /// How people see it.
    pub(crate) fn end(&self, id: EndpointId) -> FlowEnd {
        let found = self.ends.get(id.0 as usize).or_else(|| self.ends.get(1)).cloned();
        found.unwrap_or_else(|| nameless(EndpointKind::Unknown))
    }

    /// Drops the half of the serials that were not used for longest; the kernel side gives new ones when it meets
    /// those files again.
    fn forget_unused(&mut self) {
        let mut ages: Vec<u64> = self.by_serial.values().map(|named| named.used).collect();
        let middle = ages.len() / 2;
        let (_, &mut limit, _) = ages.select_nth_unstable(middle);
        self.by_serial.retain(|_, named| named.used > limit);
    }
}

/// An endpoint of which nothing but the kind is known.
fn nameless(kind: EndpointKind) -> FlowEnd {
    FlowEnd { kind, path: None, address: None, id: None, generation: None, file_system: None }
}

impl From<&Endpoint> for FlowEnd {
    fn from(endpoint: &Endpoint) -> Self {
        let mut end = nameless(endpoint.kind);
        describe(&mut end, endpoint);
        end
    }
}

/// Writes down what people see of an endpoint. What a later description lacks stays as it was.
fn describe(end: &mut FlowEnd, endpoint: &Endpoint) {
    let path = endpoint.path.as_deref();
    match &endpoint.socket {
        // Only /proc has the path of a unix socket.
        Some(socket) if socket.family == "unix" && path.is_none() && end.address.is_some() => {}
        Some(socket) => end.address = Some(address(socket, path)),
        None if path.is_some() => end.path = path.map(str::to_owned),
        None => {}
    }
    if let EndpointKey::Inode { device, inode, generation } = endpoint.key {
        end.generation = end.generation.or(generation);
        // include/linux/kdev_t.h: MINORBITS is 20.
        end.id.get_or_insert_with(|| format!("{}:{}:{inode}", device >> 20, device & 0xf_ffff));
    }
    if let Some(file_system) = endpoint.file_system {
        end.file_system = Some(file_system.to_owned());
    }
}

/// `tcp 127.0.0.1:80 → 127.0.0.1:4242`, `unix /run/name`, `netlink`.
fn address(socket: &Socket, path: Option<&str>) -> String {
    let mut text = match socket.family.as_str() {
        "inet" | "inet6" => socket.protocol.clone(),
        family => family.to_owned(),
    };
    // What the kernel calls a socket without a name says nothing.
    if let Some(path) = path.filter(|path| !path.starts_with("socket:")) {
        text.push(' ');
        text.push_str(path);
    }
    if let Some(local) = socket.local {
        text.push_str(&format!(" {local}"));
    }
    match socket.remote {
        Some(remote) => text.push_str(&format!(" → {remote}")),
        // What stands there is its own address, which must not be taken for where it sends to.
        None if socket.local.is_some() && socket.socket_type == "datagram" => text.push_str(" (unconnected)"),
        None => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing;

    #[test]
    fn many_serials_one_endpoint() {
        let mut endpoints = Endpoints::new(8);
        endpoints.learn(Serial(1), &testing::endpoint(EndpointKind::File, 7));
        endpoints.learn(Serial(2), &testing::endpoint(EndpointKind::File, 7));
        endpoints.learn(Serial(3), &testing::endpoint(EndpointKind::File, 8));
        let [one, two, three] = [1, 2, 3].map(|serial| endpoints.resolve(Serial(serial)).0);
        assert_eq!(one, two);
        assert_ne!(one, three);
        assert_eq!(endpoints.resolve(Serial(0)).0, EndpointId::UNKNOWN);
        assert_eq!(endpoints.end(one).id.as_deref(), Some("8:1:7"));
    }

    #[test]
    fn a_number_that_is_used_anew_is_another_file() {
        let of = |generation| {
            let endpoint = testing::endpoint(EndpointKind::File, 7);
            Endpoint { key: EndpointKey::Inode { device: 8 << 20 | 1, inode: 7, generation }, ..endpoint }
        };
        let mut endpoints = Endpoints::new(8);
        let generations = [None, Some(3), Some(4), None, Some(3)];
        let ids = generations.map(|generation| {
            endpoints.learn(Serial(1), &of(generation));
            endpoints.resolve(Serial(1)).0
        });
        // A mapping without a generation is the file that is then found by a descriptor, or was last.
        assert_eq!(ids[0], ids[1]);
        assert_ne!(ids[1], ids[2]);
        assert_eq!(ids[2], ids[3]);
        assert_eq!(ids[1], ids[4]);
        let shown = ids.map(|id| endpoints.end(id).generation);
        assert_eq!(shown, [Some(3), Some(3), Some(4), Some(4), Some(3)]);
    }

    #[test]
    fn addresses() {
        let mut tcp = testing::socket(1, "inet", "tcp", Some(true), None);
        let mut endpoints = Endpoints::new(8);
        endpoints.learn(Serial(1), &tcp);
        let (id, _) = endpoints.resolve(Serial(1));
        assert_eq!(endpoints.end(id).address.as_deref(), Some("tcp"));
        if let Some(socket) = &mut tcp.socket {
            socket.local = "127.0.0.1:80".parse().ok();
            socket.remote = "127.0.0.1:4242".parse().ok();
        }
        endpoints.learn(Serial(2), &tcp);
        assert_eq!(endpoints.end(id).address.as_deref(), Some("tcp 127.0.0.1:80 → 127.0.0.1:4242"));
        let mut udp = testing::socket(4, "inet", "udp", Some(true), None);
        if let Some(socket) = &mut udp.socket {
            socket.local = "127.0.0.1:5353".parse().ok();
            socket.socket_type = "datagram".to_owned();
        }
        endpoints.learn(Serial(4), &udp);
        let (id, _) = endpoints.resolve(Serial(4));
        assert_eq!(endpoints.end(id).address.as_deref(), Some("udp 127.0.0.1:5353 (unconnected)"));
        let mut unix = testing::socket(2, "unix", "0", None, None);
        unix.path = Some("/run/name".to_owned());
        endpoints.learn(Serial(3), &unix);
        let (id, _) = endpoints.resolve(Serial(3));
        assert_eq!(endpoints.end(id).address.as_deref(), Some("unix /run/name"));
    }

    #[test]
    fn too_many_are_others_and_those_in_use_stay_known() {
        let mut endpoints = Endpoints::new(16);
        for inode in 0..100 {
            endpoints.learn(Serial(inode + 1), &testing::endpoint(EndpointKind::Pipe, inode));
            assert_ne!(endpoints.resolve(Serial(1)).0, EndpointId::UNKNOWN);
        }
        let (id, traits) = endpoints.resolve(Serial(100));
        assert_eq!(id, EndpointId::OTHERS);
        assert_eq!(traits.kind, EndpointKind::Pipe);
        assert!(endpoints.by_serial.len() <= 16 && endpoints.ends.len() <= 19);
    }
}
