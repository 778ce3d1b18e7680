fn main() {
    println!("cargo::rerun-if-changed=../tracer-ebpf/target/bpfel-unknown-none/release/zc-trace-ebpf");
    std::fs::copy(
        "../tracer-ebpf/target/bpfel-unknown-none/release/zc-trace-ebpf",
        std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap()).join("zc-trace.bpf.o"),
    )
    .unwrap();
}
