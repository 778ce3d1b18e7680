//! `screenshots FOLDER`: the pictures of the README, from a real screen. The dashboard runs in tmux on a real program, keys are
//! pressed, and what the terminal then shows is written to FOLDER as SVG, with its colours and not a character changed.
//!
//! `screenshots serve FOLDER` is that program: it sends a file over loopback, by read and write and by sendfile, and copies one
//! by small calls. `screenshots drain ADDRESS` takes what it sends.

use std::{
    env, fs,
    fs::File,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use anstyle::{Color, RgbColor};
use anstyle_svg::Term;
use anyhow::{Context as _, Result, anyhow, ensure};
use zc_trace_tests::{
    scenario::{Scenario, require_root, scenario},
    screen::Screen,
    tracer, workload,
};

/// Columns and rows of the terminal.
const SIZE: (u16, u16) = (120, 34);
/// For how long the program is watched first, so that the graphs show something.
const WATCHED: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", folder] => serve(Path::new(folder)),
        ["drain", address] => drain(address),
        [folder] => {
            let folder = std::path::absolute(folder)?;
            let made = scenario("screenshots", |scenario| {
                require_root()?;
                make(scenario, &folder)
            });
            made.map_err(|failure| anyhow!("{failure:?}"))
        }
        _ => Err(anyhow!("usage: screenshots FOLDER")),
    }
}

/// A picture: its name, the keys that lead to it, and what is on the screen then.
type Picture = (&'static str, &'static [&'static str], &'static str);

const PICTURES: [Picture; 8] = [
    ("overview", &["1"], "Top findings"),
    ("flows", &["2"], "COPIES/B"),
    ("flow", &["Enter"], "The way of the bytes"),
    (
        "transfer",
        &["3", "/", "C-u", "m", "e", "t", "h", "o", "d", "=", "read+*", "Enter", "Enter"],
        "As it was",
    ),
    ("calls", &["Escape", "Escape", "4"], "p99"),
    ("call", &["/", "C-u", "call=read", "Enter", "Enter"], "Latency over time"),
    ("threads", &["Escape", "Escape", "5"], "PREEMPT"),
    ("findings", &["6", "Enter"], "would save"),
];

fn make(scenario: &Scenario, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    scenario.file("film.bin", 16 << 20)?;
    let mut command = Command::new(env::current_exe()?);
    command.arg("serve").arg(scenario.folder());
    let server = scenario.spawn(&mut command)?;
    let screen = Screen::open(scenario, SIZE.0, SIZE.1)?;
    // As most terminals of today: tmux passes 24-bit colours on as they are.
    screen.tell(&["set", "-ga", "terminal-overrides", ",*:RGB"])?;
    let zc_trace = tracer::binary()?;
    screen.line(scenario, &format!("COLORTERM=truecolor {} -p {}", zc_trace.display(), server.pid()))?;
    screen.wait_for(scenario, "copy amplification")?;
    thread::sleep(WATCHED);
    for (name, keys, shown) in PICTURES {
        for key in keys {
            screen.press(scenario, &[key])?;
            // As a user does; else one sees what was there before.
            thread::sleep(Duration::from_millis(300));
        }
        screen.wait_for(scenario, shown)?;
        thread::sleep(Duration::from_secs(1));
        let path = folder.join(format!("{name}.svg"));
        fs::write(&path, picture(&screen.painted()?)).with_context(|| path.display().to_string())?;
        eprintln!("{}", path.display());
    }
    screen.press(scenario, &["q"])?;
    screen.wait_without("? help")
}

fn picture(painted: &str) -> String {
    let color = |red, green, blue| Color::Rgb(RgbColor(red, green, blue));
    Term::new().fg_color(color(0xd7, 0xda, 0xe0)).bg_color(color(0x16, 0x19, 0x1f)).render_svg(painted)
}

/// Bytes of a call of the two senders, and of the copier.
const CHUNK: usize = 64 << 10;
const SMALL: usize = 2 << 10;
/// Between two rounds of a worker.
const PAUSE: Duration = Duration::from_millis(20);

/// A thread's name and what it does.
type Worker = (&'static str, Box<dyn FnOnce() -> Result<()> + Send>);

fn serve(folder: &Path) -> Result<()> {
    workload::bound();
    let file = folder.join("film.bin");
    let copy = folder.join("copy.bin");
    let workers: [Worker; 3] = [
        (
            "by-write",
            Box::new({
                let file = file.clone();
                move || by_write(&file)
            }),
        ),
        (
            "by-sendfile",
            Box::new({
                let file = file.clone();
                move || by_sendfile(&file)
            }),
        ),
        ("copier", Box::new(move || copier(&file, &copy))),
    ];
    let start = |(name, work): Worker| thread::Builder::new().name(name.to_owned()).spawn(work);
    let started: Vec<thread::JoinHandle<Result<()>>> =
        workers.into_iter().map(start).collect::<io::Result<_>>()?;
    for worker in started {
        worker.join().map_err(|_| anyhow!("a worker panicked"))??;
    }
    Ok(())
}

/// A connection to a process that takes all that is sent.
fn connection() -> Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut drain = Command::new(env::current_exe()?);
    // It ends when the connection does.
    drain.arg("drain").arg(listener.local_addr()?.to_string()).spawn()?;
    Ok(listener.accept()?.0)
}

fn drain(address: &str) -> Result<()> {
    workload::bound();
    let mut socket = TcpStream::connect(address)?;
    let mut buffer = vec![0; CHUNK];
    while socket.read(&mut buffer)? > 0 {}
    Ok(())
}

fn by_write(path: &Path) -> Result<()> {
    let mut socket = connection()?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut file = File::open(path)?;
        loop {
            let read = file.read(&mut buffer)?;
            let Some(sent) = buffer.get(..read).filter(|sent| !sent.is_empty()) else { break };
            socket.write_all(sent)?;
        }
        thread::sleep(PAUSE);
    }
}

fn by_sendfile(path: &Path) -> Result<()> {
    let socket = connection()?;
    loop {
        let file = File::open(path)?;
        // SAFETY: both descriptors are open, and no offset is passed.
        while unsafe { libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), std::ptr::null_mut(), CHUNK) } > 0
        {
        }
        thread::sleep(PAUSE);
    }
}

fn copier(from: &Path, to: &Path) -> Result<()> {
    let mut buffer = [0; SMALL];
    loop {
        let (mut from, mut to) = (File::open(from)?, File::create(to)?);
        for _ in 0..2048 {
            let read = from.read(&mut buffer)?;
            let bytes = buffer.get(..read).context("more than was asked for")?;
            // As who looks at what he copies: without that, the calls would come as a storm, which is summed and not joined.
            std::hint::black_box(bytes.iter().fold(0u32, |sum, byte| sum.rotate_left(1) ^ u32::from(*byte)));
            ensure!(to.write(bytes)? == read, "a short write");
        }
        thread::sleep(PAUSE);
    }
}
