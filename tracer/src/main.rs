//! The program `zc-trace`.

fn main() {}
