//! TLS in the kernel (Documentation/networking/tls.rst): a connection of which the kernel encrypts what is sent and decrypts
//! what is received, with keys that nobody negotiated.

use std::{
    io,
    net::{TcpListener, TcpStream},
    os::fd::{AsRawFd as _, RawFd},
};

use anyhow::Result;

/// linux/tcp.h, linux/socket.h, linux/tls.h
const TCP_ULP: libc::c_int = 31;
const SOL_TLS: libc::c_int = 282;
const TLS_TX: libc::c_int = 1;
const TLS_RX: libc::c_int = 2;
const TLS_CIPHER_AES_GCM_128: u16 = 51;
/// How the kernel says that it has no module tls, or nothing that encrypts so.
const ABSENT: [i32; 3] = [libc::ENOENT, libc::ENOPROTOOPT, libc::EINVAL];
/// The most payload that a record holds (RFC 8446, section 5.1).
pub const RECORD: usize = 16 << 10;

/// A version of the protocol, as it goes over the wire.
#[derive(Clone, Copy, Debug)]
#[repr(u16)]
pub enum Version {
    /// TLS 1.2: the kernel decrypts a record right into the memory of whoever reads all of it.
    Tls12 = 0x0303,
    /// TLS 1.3: only the decrypted record tells where its payload ends, so it is decrypted first and then copied.
    Tls13 = 0x0304,
}

/// `struct tls12_crypto_info_aes_gcm_128`: for 1.3 it is the same.
#[repr(C)]
struct Keys {
    version: u16,
    cipher: u16,
    iv: [u8; 8],
    key: [u8; 16],
    salt: [u8; 4],
    sequence: [u8; 8],
}

/// Both ends of a loopback connection: what one sends is encrypted, what the other receives is decrypted. In the inner result
/// why this kernel cannot.
pub fn connection(version: Version) -> Result<Result<(TcpStream, TcpStream), String>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let sender = TcpStream::connect(listener.local_addr()?)?;
    let (receiver, _) = listener.accept()?;
    let keys = Keys {
        version: version as u16,
        cipher: TLS_CIPHER_AES_GCM_128,
        iv: [1; 8],
        key: [2; 16],
        salt: [3; 4],
        sequence: [0; 8],
    };
    for (socket, direction) in [(&sender, TLS_TX), (&receiver, TLS_RX)] {
        let socket = socket.as_raw_fd();
        let set = set(socket, libc::IPPROTO_TCP, TCP_ULP, b"tls")
            .and_then(|()| set(socket, SOL_TLS, direction, &keys));
        match set {
            Err(error) if error.raw_os_error().is_some_and(|code| ABSENT.contains(&code)) => {
                return Ok(Err(format!("TLS in the kernel: {error}")));
            }
            set => set?,
        }
    }
    Ok(Ok((sender, receiver)))
}

fn set<T: ?Sized>(socket: RawFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(value)).map_err(io::Error::other)?;
    // SAFETY: the option is read from `value`, which is that long.
    let outcome =
        unsafe { libc::setsockopt(socket, level, option, std::ptr::from_ref(value).cast(), length) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
