//! try
use zc_trace::probe::*;
fn main() {
    let t = std::time::Instant::now();
    let mut p = Probe::load(&Options { follow: false, ring_bytes: 4 << 20, debug: false }).unwrap_or_else(|e| { eprintln!("{e}"); std::process::exit(1) });
    eprintln!("loaded {:?}", t.elapsed());
    p.attach().unwrap();
    let mut r = p.reader().unwrap();
    eprintln!("attached {:?} missing {:?}", t.elapsed(), p.missing());
    let pid: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    p.trace_processes(&[pid]).unwrap();
    eprintln!("tracing {:?}", t.elapsed());
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let mut e = Vec::new();
        while r.drain(1000, &mut e) > 0 {}
        for e in e.iter().take(40) { println!("{e:?}"); }
        println!("... {}", e.len());
    }
    let mut e = Vec::new(); r.counters(&mut e); println!("{e:#?}");
}
