//! What hooks on the copying functions themselves count inside one call.

/// Bytes copied or moved on behalf of a thread while it is inside a call. Which of these are counted depends on the hooks
/// that the kernel takes; user space knows which those are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Counted {
    /// Copied by the CPU from the kernel into user memory.
    pub to_user: u64,
    /// Copied by the CPU from user memory into the kernel.
    pub from_user: u64,
    /// Copied by the CPU from the kernel into new pages of a pipe (a splice that falls back to copying).
    pub to_pipe: u64,
    /// Copied by the CPU from pages of the kernel into the page cache.
    pub to_file: u64,
    /// Copied by the CPU from pages of the kernel into a socket's buffers.
    pub to_socket: u64,
    /// Read from block devices, as requested: of an O_DIRECT file into the memory that the call reads into, of another
    /// into the page cache of the call's own file.
    pub device_read: u64,
    /// Written to block devices, as requested: to an O_DIRECT file from the memory that the call writes from, to another
    /// (O_SYNC) from the page cache of the call's own file.
    pub device_written: u64,
    /// Read or written by file systems and memory management for themselves: inodes, extents, journals, swap.
    pub device_metadata: u64,
}

const _: () = assert!(size_of::<Counted>() == 64);

impl Counted {
    /// Nothing.
    pub const NONE: Self = Self {
        to_user: 0,
        from_user: 0,
        to_pipe: 0,
        to_file: 0,
        to_socket: 0,
        device_read: 0,
        device_written: 0,
        device_metadata: 0,
    };

    /// Adds another's bytes. Wraps: part of a sum may be negative for a while.
    #[inline(always)]
    pub fn add(&mut self, other: &Self) {
        self.to_user = self.to_user.wrapping_add(other.to_user);
        self.from_user = self.from_user.wrapping_add(other.from_user);
        self.to_pipe = self.to_pipe.wrapping_add(other.to_pipe);
        self.to_file = self.to_file.wrapping_add(other.to_file);
        self.to_socket = self.to_socket.wrapping_add(other.to_socket);
        self.device_read = self.device_read.wrapping_add(other.device_read);
        self.device_written = self.device_written.wrapping_add(other.device_written);
        self.device_metadata = self.device_metadata.wrapping_add(other.device_metadata);
    }

    /// Takes another's bytes out.
    #[inline(always)]
    pub fn subtract(&mut self, other: &Self) {
        self.to_user = self.to_user.wrapping_sub(other.to_user);
        self.from_user = self.from_user.wrapping_sub(other.from_user);
        self.to_pipe = self.to_pipe.wrapping_sub(other.to_pipe);
        self.to_file = self.to_file.wrapping_sub(other.to_file);
        self.to_socket = self.to_socket.wrapping_sub(other.to_socket);
        self.device_read = self.device_read.wrapping_sub(other.device_read);
        self.device_written = self.device_written.wrapping_sub(other.device_written);
        self.device_metadata = self.device_metadata.wrapping_sub(other.device_metadata);
    }
}
