//! Copies counted by what the functions return that make them: on kernels that take programs on function exits
//! (`bpf_get_func_ret`, Linux 5.17). Where a function is not there, or not in this shape, its figure stays derived.
//!
//! Each program is named as its function on recent kernels; `probe/hooks.rs` has the names on others. Arguments are read
//! by their place, the returned value never: its place moves with the number of arguments.

use aya_ebpf::{macros::fexit, programs::FExitContext};

use super::load;
use crate::{
    copies::counting,
    kernel::{config, offset},
};

/// What a function returned, if that is a number of bytes.
#[inline(always)]
fn bytes(ctx: &FExitContext) -> u64 {
    match ctx.ret::<i64>() {
        Ok(bytes) if bytes > 0 => bytes as u64,
        _ => 0,
    }
}

/// Likewise of one that returns an `int`: the upper half of the register is not part of it.
#[inline(always)]
fn int_bytes(ctx: &FExitContext) -> u64 {
    match ctx.ret::<i32>() {
        Ok(bytes) if bytes > 0 => bytes as u64,
        _ => 0,
    }
}

/// Whether an iterator is over user memory (include/linux/uio.h, `enum iter_type`, whose values move).
#[inline(always)]
fn is_user(iterator: *const u8) -> bool {
    // SAFETY: a struct iov_iter, as the verifier knows by the function's type.
    let kind: u8 = unsafe { load(iterator, offset!(iter_type) as usize) };
    (config!(user_iterators) >> (kind & 31) as u32) & 1 != 0
}

/// Whether a message's iterator is.
#[inline(always)]
fn is_user_message(message: *const u8) -> bool {
    // SAFETY: a struct msghdr, likewise.
    let kind: u8 = unsafe { load(message, offset!(message_iter_type) as usize) };
    (config!(user_iterators) >> (kind & 31) as u32) & 1 != 0
}

/// mm/filemap.c: `(iocb, iter, already_read)`. Up to Linux 6.1 sendfile and splice pass here too, with an iterator over
/// a pipe, and copy nothing.
#[fexit]
pub fn filemap_read(ctx: FExitContext) -> i32 {
    if let Some(slot) = counting()
        && is_user(ctx.arg(1))
    {
        let already: u64 = ctx.arg(2);
        slot.counted.to_user += bytes(&ctx).saturating_sub(already);
    }
    0
}

/// mm/shmem.c: `(iocb, to)`. tmpfs does not pass `filemap_read`.
#[fexit]
pub fn shmem_file_read_iter(ctx: FExitContext) -> i32 {
    if let Some(slot) = counting()
        && is_user(ctx.arg(1))
    {
        slot.counted.to_user += bytes(&ctx);
    }
    0
}

/// mm/filemap.c: `(iocb, iter)`, or `(file, iter, pos)`.
#[fexit]
pub fn generic_perform_write(ctx: FExitContext) -> i32 {
    written(&ctx)
}

/// fs/iomap/buffered-io.c: `(iocb, iter, …)`.
#[fexit]
pub fn iomap_file_buffered_write(ctx: FExitContext) -> i32 {
    written(&ctx)
}

/// Into the page cache: from user memory, or from pages that a splice carries.
#[inline(always)]
fn written(ctx: &FExitContext) -> i32 {
    if let Some(slot) = counting() {
        if is_user(ctx.arg(1)) {
            slot.counted.from_user += bytes(ctx);
        } else {
            slot.counted.to_file += bytes(ctx);
        }
    }
    0
}

/// net/ipv4/tcp.c: `(sk, msg, size)`. What it took by reference the two functions below have told before.
#[fexit]
pub fn tcp_sendmsg_locked(ctx: FExitContext) -> i32 {
    if let Some(slot) = counting() {
        let copied = int_bytes(&ctx).saturating_sub(slot.by_reference);
        slot.by_reference = 0;
        if is_user_message(ctx.arg(1)) {
            slot.counted.from_user += copied;
        } else {
            slot.counted.to_socket += copied;
        }
    }
    0
}

/// net/core/skbuff.c: MSG_ZEROCOPY.
#[fexit]
pub fn skb_zerocopy_iter_stream(ctx: FExitContext) -> i32 {
    if let Some(slot) = counting() {
        slot.by_reference += int_bytes(&ctx);
    }
    0
}

/// net/core/skbuff.c: MSG_SPLICE_PAGES, so sendfile and splice since Linux 6.5.
#[fexit]
pub fn skb_splice_from_iter(ctx: FExitContext) -> i32 {
    if let Some(slot) = counting() {
        slot.by_reference += bytes(&ctx);
    }
    0
}

/// net/ipv4/ip_output.c: `(from, to, offset, len, odd, skb)`; 0 if it copied.
#[fexit]
pub fn ip_generic_getfrag(ctx: FExitContext) -> i32 {
    if let Some(slot) = counting()
        && ctx.ret::<i32>() == Ok(0)
    {
        let length: i32 = ctx.arg(3);
        slot.counted.from_user += length as u32 as u64;
    }
    0
}

/// net/core/datagram.c: `(skb, offset, from, len)`; 0 if it copied.
#[fexit]
pub fn skb_copy_datagram_from_iter(ctx: FExitContext) -> i32 {
    if let Some(slot) = counting()
        && ctx.ret::<i32>() == Ok(0)
    {
        let length: i32 = ctx.arg(3);
        if is_user(ctx.arg(2)) {
            slot.counted.from_user += length as u32 as u64;
        } else {
            slot.counted.to_socket += length as u32 as u64;
        }
    }
    0
}

/// fs/pipe.c: `(iocb, to)`.
#[fexit]
pub fn pipe_read(ctx: FExitContext) -> i32 {
    if let Some(slot) = counting()
        && is_user(ctx.arg(1))
    {
        slot.counted.to_user += bytes(&ctx);
    }
    0
}

/// fs/pipe.c: `(iocb, from)`.
#[fexit]
pub fn pipe_write(ctx: FExitContext) -> i32 {
    if let Some(slot) = counting()
        && is_user(ctx.arg(1))
    {
        slot.counted.from_user += bytes(&ctx);
    }
    0
}

/// fs/splice.c: what has no pages to give is read into new ones.
#[fexit]
pub fn copy_splice_read(ctx: FExitContext) -> i32 {
    if let Some(slot) = counting() {
        slot.counted.to_pipe += bytes(&ctx);
    }
    0
}
