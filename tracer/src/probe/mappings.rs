//! Files that a process had mapped before tracing began, or that an exec has mapped, from `/proc/PID/maps`.

use procfs::process::{MMPermissions, MMapPath, Process};

use super::endpoints::Describer;
use crate::model::event::{Event, Mapping, Serial};

/// Serials that user space gives out itself have this bit; the kernel side's never do.
const OWN: u64 = 1 << 63;

/// Whether user space gave this serial out: then it has told the identity too.
pub(super) fn is_own(serial: Serial) -> bool {
    serial.0 & OWN != 0
}

/// A serial of user space's own.
pub(super) fn own(number: u64) -> Serial {
    Serial(OWN | number)
}

/// The events that tell the model what is mapped already. A process that has vanished has none.
pub fn of_process(pid: u32, describer: &mut Describer, next: &mut u64) -> Vec<Event> {
    let Some(maps) = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok()?.maps().ok()) else {
        return Vec::new();
    };
    let mut events = Vec::new();
    // One that has ended has no memory any more, but had some.
    let known = maps.0.iter().any(|map| map.perms.contains(MMPermissions::EXECUTE));
    for map in maps {
        let MMapPath::Path(path) = &map.pathname else { continue };
        if map.perms.contains(MMPermissions::WRITE | MMPermissions::PRIVATE) {
            // Memory of the program: see decode::is_private_copy.
            continue;
        }
        let (Ok(major), Ok(minor)) = (u32::try_from(map.dev.0), u32::try_from(map.dev.1)) else { continue };
        let serial = Serial(OWN | *next);
        *next += 1;
        let device = major << 20 | minor;
        events.push(Event::Endpoint(serial, describer.describe_mapped(device, map.inode, path)));
        let range = map.address.0..map.address.1;
        events.push(Event::Mapped(Mapping { pid, range, serial, offset: map.offset, fresh: false }));
    }
    if known {
        events.push(Event::MappingsKnown { pid });
    }
    events
}
