//! DMA that cannot reach the memory it is meant for goes through a buffer that can, and the CPU copies between the two
//! (kernel/dma/swiotlb.c). No request, socket or file is known there: the whole machine's is counted.

use tracer_common::device::DeviceKind;

use crate::{
    block,
    form::{Context, hook},
    threads,
};

#[hook]
pub fn swiotlb_bounced(ctx: Context) -> i32 {
    if !threads::has_ended() {
        // Device, address, bytes.
        block::add_up(DeviceKind::BOUNCED, 0, 0, 0, ctx.arg::<u64>(2));
    }
    0
}
