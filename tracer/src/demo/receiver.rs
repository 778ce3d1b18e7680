//! The receiving end: a thread of the demonstration's own process, which is not traced.

use std::{
    io::{self, ErrorKind, Read as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::checksum::Checksum;

const BUFFER_BYTES: usize = 256 * 1024;

/// What arrived on the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Received {
    /// Bytes.
    pub bytes: u64,
    /// Their checksum.
    pub checksum: u64,
    /// From the connection's begin to its end.
    pub wall: Duration,
}

/// Takes one connection and drains it.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    thread: JoinHandle<io::Result<Received>>,
}

impl Receiver {
    /// Listens on a free loopback port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let thread =
            thread::Builder::new().name("demo-receiver".to_owned()).spawn(move || receive(&listener))?;
        Ok(Self { address, thread })
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What arrived. To be called when the sender has ended; if it never connected, nothing arrived.
    pub fn finish(self) -> io::Result<Received> {
        // Queues up behind the sender's connection, if there is one; else it is what the thread is waiting for.
        drop(TcpStream::connect(self.address));
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the receiving thread panicked")))
    }
}

fn receive(listener: &TcpListener) -> io::Result<Received> {
    let (mut connection, _) = listener.accept()?;
    let start = Instant::now();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut checksum = Checksum::new();
    loop {
        match connection.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => checksum.add(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Received { bytes: checksum.bytes(), checksum: checksum.value(), wall: start.elapsed() })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_sent_arrives() {
        let receiver = Receiver::start().unwrap();
        let mut sender = TcpStream::connect(receiver.address()).unwrap();
        sender.write_all(&[1; 100_000]).unwrap();
        drop(sender);
        let received = receiver.finish().unwrap();
        assert_eq!(received.bytes, 100_000);
        assert!(received.wall > Duration::ZERO);
    }

    #[test]
    fn a_sender_that_never_comes_is_not_waited_for() {
        assert_eq!(Receiver::start().unwrap().finish().unwrap().bytes, 0);
    }
}
