//! `lap reads|relay|command [ARGUMENTS…]`: a workload that takes its own time, for `cargo xtask bench`.
//!
//! Says `ready`, then does one lap for each line on standard input and answers each with a line of three numbers: wall time
//! (ns), CPU time (ns) and operations done. So starting and stopping a tracer is not in the times. A lap of `reads` and `relay`
//! takes `$LAP_MS` (300) milliseconds, however slow the operations are. Ends with its input.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, BufRead as _, Read as _, Seek as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use zc_trace_tests::{call, workload};

/// Of the file that `relay` sends over and over.
const CHUNK: usize = 64 << 10;
/// Operations between two looks at the clock: the look is then no part of the cost.
const READS_AT_ONCE: u64 = 1000;
const CHUNKS_AT_ONCE: u64 = 16;

fn main() -> Result<()> {
    workload::bound();
    let mut arguments = env::args_os().skip(1);
    let kind = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    match kind.to_str() {
        Some("reads") => reads(),
        Some("relay") => relay(workload::path(&rest, 0, "FILE")?),
        Some("receive") => receive(&rest),
        Some("command") => command(&rest),
        _ => bail!("usage: lap reads | relay FILE | command PROGRAM ARGUMENTS…"),
    }
}

/// Does laps until the input ends.
fn laps(cpu_clock: fn() -> Result<Duration>, mut lap: impl FnMut() -> Result<u64>) -> Result<()> {
    println!("ready");
    for line in io::stdin().lock().lines() {
        line?;
        workload::bound();
        let (began, cpu_before) = (Instant::now(), cpu_clock()?);
        let operations = lap()?;
        let (wall, cpu) = (began.elapsed(), cpu_clock()?.saturating_sub(cpu_before));
        println!("{} {} {operations}", wall.as_nanos(), cpu.as_nanos());
        io::stdout().flush()?;
    }
    Ok(())
}

fn length() -> Duration {
    let named = env::var("LAP_MS").ok().and_then(|text| text.parse().ok());
    Duration::from_millis(named.unwrap_or(300))
}

/// Repeats `work`, which does so many operations at once, until the lap is over; how many were done.
fn repeat(at_once: u64, mut work: impl FnMut() -> Result<()>) -> Result<u64> {
    let (began, length) = (Instant::now(), length());
    let mut done = 0;
    while began.elapsed() < length {
        work()?;
        done += at_once;
    }
    Ok(done)
}

fn reads() -> Result<()> {
    let source = File::open("/dev/zero")?;
    let mut byte = [0];
    laps(own_cpu_time, || {
        repeat(READS_AT_ONCE, || {
            for _ in 0..READS_AT_ONCE {
                ensure!(call::read(source.as_raw_fd(), &mut byte)? == 1, "/dev/zero gave nothing");
            }
            Ok(())
        })
    })
}

fn relay(path: &Path) -> Result<()> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut receiver = start_receiver(&listener.local_addr()?.to_string())?;
    let (mut socket, _) = listener.accept()?;
    let mut buffer = vec![0; CHUNK];
    laps(own_cpu_time, || {
        repeat(CHUNKS_AT_ONCE, || {
            for _ in 0..CHUNKS_AT_ONCE {
                if file.read(&mut buffer)? < CHUNK {
                    file.rewind()?;
                    file.read_exact(&mut buffer)?;
                }
                socket.write_all(&buffer)?;
            }
            Ok(())
        })
    })?;
    drop(socket);
    workload::did_well("the receiver", receiver.wait()?)
}

/// A process of its own, which a tracer of this one does not see.
fn start_receiver(address: &str) -> Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    Ok(command.arg("receive").arg(address).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
}

fn receive(arguments: &[OsString]) -> Result<()> {
    let address = arguments.first().and_then(|address| address.to_str()).context("no address")?;
    let mut socket = TcpStream::connect(address)?;
    let mut buffer = vec![0; 4 * CHUNK];
    // It lives as long as the sender, not as long as one lap.
    while socket.read(&mut buffer)? > 0 {
        workload::bound();
    }
    Ok(())
}

fn command(arguments: &[OsString]) -> Result<()> {
    let (program, arguments) = arguments.split_first().context("command needs a program")?;
    laps(childrens_cpu_time, || {
        let status =
            Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        workload::did_well("the command", status)?;
        Ok(1)
    })
}

fn own_cpu_time() -> Result<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}

/// Of those that have ended and were waited for.
fn childrens_cpu_time() -> Result<Duration> {
    // SAFETY: zeros are a value of the structure, which the call only writes to.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        ensure!(
            libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) == 0,
            "getrusage: {}",
            io::Error::last_os_error()
        );
        usage
    };
    let micros =
        |time: libc::timeval| Ok::<_, anyhow::Error>(u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec)?);
    Ok(Duration::from_micros(micros(usage.ru_utime)? + micros(usage.ru_stime)?))
}
