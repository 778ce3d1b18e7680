//! The rows of the copy table for calls that move bytes without the memory of the process.

use super::{Act, EndpointKind, Mover, Node, Note, Parts, Place, Protocol, Storage, Traits};
use super::{Derived, Modelled};

impl Act {
    /// sendfile and splice: pages passed by reference where both sides can, else copies.
    pub(super) fn between(&self, parts: &mut Parts) {
        let (source, sink) = (self.source, self.sink);
        if source.is_unknown() || sink.is_unknown() {
            return self.unknown(parts, source.place(), sink.place(), None, Note::UnknownEndpoint);
        }
        if sink.traits.node != Node::Other {
            // drivers/char/mem.c, splice_write_null: drops the references.
            return self.nothing(parts, source.place(), Place::Device, Derived, Note::Discarded);
        }
        if source.is_direct() {
            // fs/splice.c, copy_splice_read: new pages, which the device fills itself. The pipe owns them.
            self.direct_read(parts, Place::Pipe);
            return self.hand_over(parts, Place::Pipe, true);
        }
        if source.traits.is_file() {
            self.fetched(parts, source);
        } else if source.traits.kind == EndpointKind::Socket {
            self.wire_in(parts, source);
        }
        let gives_pages = source.traits.is_file()
            || matches!(source.traits.kind, EndpointKind::Socket | EndpointKind::Pipe);
        if gives_pages {
            return self.hand_over(parts, source.place(), source.traits.kind != EndpointKind::Socket);
        }
        // fs/splice.c, copy_splice_read: what has no pages to give is read into new ones.
        let note = Some(Note::CopyingSplice);
        match sink.traits.kind {
            EndpointKind::Pipe | EndpointKind::Socket => {
                self.put(parts, source.place(), sink.place(), Mover::Cpu, Modelled, note);
                if sink.traits.kind == EndpointKind::Socket {
                    let rests = self.put_together(parts, Place::Socket, true);
                    self.wire_out(parts, rests, sink);
                }
            }
            _ => {
                self.put(parts, source.place(), Place::Pipe, Mover::Cpu, Modelled, note);
                self.finish_in_file(parts, Place::Pipe);
            }
        }
    }

    /// Pages that rest in `from` go to the sink, by reference where it takes such. `certain`: whether they surely can be given.
    fn hand_over(&self, parts: &mut Parts, from: Place, certain: bool) {
        let sink = self.sink;
        match sink.traits.kind {
            EndpointKind::Pipe if self.source.is_direct() => {}
            EndpointKind::Pipe => {
                // By reference: filemap_splice_read; the sockets' splice_read; splice_pipe_to_pipe.
                let evidence = if certain { Derived } else { Modelled };
                self.put(parts, from, Place::Pipe, Mover::None, evidence, None);
            }
            EndpointKind::Socket if sink.traits.protocol == Protocol::Tls => {
                // net/tls/tls_sw.c: takes references, and encrypts into pages of its own.
                let note = Some(self.encryption(true));
                self.put(parts, from, Place::Socket, Mover::Cpu, Modelled, note);
                let rests = self.put_together(parts, Place::Socket, false);
                self.wire_out(parts, rests, sink);
            }
            EndpointKind::Socket => {
                // MSG_SPLICE_PAGES or sendpage. TCP and AF_UNIX take references; others may copy.
                let certain = matches!(sink.traits.protocol, Protocol::Tcp | Protocol::Unix);
                let evidence = if certain { Derived } else { Modelled };
                self.put(parts, from, Place::Socket, Mover::None, evidence, None);
                let rests = if from == Place::PageCache { Place::PageCache } else { Place::Socket };
                let rests = self.put_together(parts, rests, true);
                self.wire_out(parts, rests, sink);
            }
            _ => self.finish_in_file(parts, from),
        }
    }

    /// The second half of a splice into what has neither socket nor pipe buffers (fs/splice.c, iter_file_splice_write).
    fn finish_in_file(&self, parts: &mut Parts, from: Place) {
        if self.sink.is_direct() && self.sees_requests() {
            self.direct_write(parts, from);
        } else if self.sink.is_direct() {
            self.put(parts, from, Place::Device, Mover::Dma, Modelled, None);
        } else if self.sink.traits.is_file() {
            // fs/splice.c, iter_file_splice_write: `write_iter` of the file copies from the pipe's pages.
            self.put(parts, from, Place::PageCache, Mover::Cpu, Modelled, Some(Note::IntoFile));
            self.written_back(parts, self.sink);
        } else {
            self.put(parts, from, Place::Device, Mover::Cpu, Modelled, Some(Note::SpecialFile));
        }
    }

    /// fs/read_write.c, vfs_copy_file_range: shares extents where the file system can, else splices.
    pub(super) fn copy_file_range(&self, parts: &mut Parts) {
        let (source, sink) = (self.source.traits, self.sink.traits);
        let cache = Place::PageCache;
        if !source.is_file() || !sink.is_file() {
            return self.unknown(parts, self.source.place(), self.sink.place(), None, Note::UnknownEndpoint);
        }
        let may_share = |traits: Traits| {
            matches!(traits.storage, Storage::Reflinking | Storage::ReflinkingIomap | Storage::Remote)
        };
        let moved_directly = self.source.is_direct() && self.sees_requests() && self.device_read() > Some(0)
            || self.sink.is_direct() && self.device_written() > 0;
        let shares = source.device == sink.device && (may_share(source) || may_share(sink));
        if shares && !moved_directly {
            return self.unknown(parts, cache, cache, None, Note::MaybeReflinked);
        }
        let from = if self.source.is_direct() {
            self.direct_read(parts, Place::Pipe);
            Place::Pipe
        } else {
            self.fetched(parts, self.source);
            cache
        };
        if self.sink.is_direct() {
            self.finish_in_file(parts, from);
        } else {
            self.put(parts, from, cache, Mover::Cpu, Modelled, Some(Note::NotReflinked));
            self.written_back(parts, self.sink);
        }
    }
}
