//! Build steps shared by `cargo xtask` and by the build script of `tracer`.
