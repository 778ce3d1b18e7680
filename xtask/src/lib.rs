//! Build steps shared by `cargo xtask` and by the build script of `tracer`.
//!
//! Here lives what must be known to build the kernel programs: which compiler and which linker ([`toolchain`]), how they
//! are called ([`ebpf`]), and how a fresh machine gets them ([`setup`]). What the commands of `cargo xtask` do with it
//! lives beside `main.rs`. Nothing here may depend on the other crates of the workspace: this one must build first.

pub mod capture;
pub mod ebpf;
pub mod environment;
pub mod linker;
pub mod privilege;
pub mod progress;
pub mod setup;
pub mod toolchain;
pub mod version;
