//! What devices moved outside of operations: read from the kernel side's counters, by difference.

use std::collections::HashMap;

use aya::maps::{MapData, PerCpuHashMap};
use tracer_common::{
    device::{DeviceBytes, DeviceKey, DeviceKind},
    offsets::{ABSENT, Offsets},
};

use super::{endpoints::Describer, reader::now_ns};
use crate::model::event::{DeviceIo, DeviceIoOf, Event, Serial};

/// Whether the members by which a request leads to its file were all found.
pub(super) fn members_found(offsets: &Offsets) -> bool {
    [
        offsets.task_bio_list,
        offsets.bio_operation,
        offsets.bio_flags,
        offsets.bio_size,
        offsets.bio_index,
        offsets.bio_vectors,
        offsets.bio_device,
        offsets.bdev_number,
        offsets.vector_page,
        offsets.page_head,
        offsets.page_mapping,
        offsets.file_mapping,
        offsets.mapping_host,
        offsets.bio_cloned,
    ]
    .iter()
    .all(|offset| *offset != ABSENT)
}

/// Likewise for a packet and its socket.
pub(super) fn socket_members_found(offsets: &Offsets) -> bool {
    [
        offsets.skb_sock,
        offsets.skb_length,
        offsets.sk_socket,
        offsets.socket_sk,
        offsets.netdev_flags,
        offsets.netdev_parent,
    ]
    .iter()
    .all(|offset| *offset != ABSENT)
}

/// The counters, and what of them was told before.
pub(super) struct DeviceCounters {
    counters: PerCpuHashMap<MapData, DeviceKey, DeviceBytes>,
    seen: HashMap<DeviceKey, DeviceBytes>,
}

impl DeviceCounters {
    pub(super) fn new(counters: PerCpuHashMap<MapData, DeviceKey, DeviceBytes>) -> Self {
        Self { counters, seen: HashMap::new() }
    }

    /// What was moved since the last time. The entries stay, as those of folded operations do.
    pub(super) fn moved(&mut self, describer: &mut Describer) -> Vec<Event> {
        let mut changes = Vec::new();
        for (key, per_cpu) in self.counters.iter().flatten() {
            let mut sum = DeviceBytes::default();
            for cpu in per_cpu.iter() {
                sum.read = sum.read.wrapping_add(cpu.read);
                // A packet that was refused is taken back, maybe on another CPU.
                sum.written = sum.written.wrapping_add(cpu.written);
            }
            let before = self.seen.get(&key).copied().unwrap_or_default();
            let Some(read_bytes) = sum.read.checked_sub(before.read) else { continue };
            // Less than before for a moment, if a refused packet was counted at the last reading.
            let Some(written_bytes) = sum.written.checked_sub(before.written) else { continue };
            self.seen.insert(key, sum);
            if let Some(of) = belongs_to(key, describer)
                && read_bytes + written_bytes > 0
            {
                changes.push((of, read_bytes, written_bytes));
            }
        }
        // Taken last: nothing that was read happened later.
        let time_ns = now_ns();
        changes
            .into_iter()
            .map(|(of, read_bytes, written_bytes)| {
                Event::DeviceIo(DeviceIo { of, time_ns, read_bytes, written_bytes })
            })
            .collect()
    }
}

fn belongs_to(key: DeviceKey, describer: &mut Describer) -> Option<DeviceIoOf> {
    match DeviceKind(key.kind) {
        DeviceKind::FILE => Some(DeviceIoOf::File(Serial(key.serial))),
        DeviceKind::NETWORK => Some(DeviceIoOf::Socket(Serial(key.serial))),
        DeviceKind::BOUNCED => Some(DeviceIoOf::Bounced),
        DeviceKind::OTHER_FILE => Some(DeviceIoOf::OtherFile { dma: describer.storage_dma(key.device) }),
        DeviceKind::METADATA => Some(DeviceIoOf::Metadata { dma: describer.storage_dma(key.device) }),
        // Of a newer kernel side.
        _ => None,
    }
}
