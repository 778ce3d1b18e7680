//! The two forms of the kernel side: the same programs, typed by BTF or raw. See docs/raw-form.md.

use std::path::PathBuf;

/// One form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// The verifier knows the types of the hooks' arguments: needs a kernel that publishes its BTF.
    Typed,
    /// It does not: works wherever there are raw tracepoints, and costs more.
    Raw,
}

static TYPED: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/zc-trace-ebpf"));
static RAW: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/zc-trace-ebpf-raw"));

impl Form {
    /// The kind of its hooks, as evidence names it.
    pub fn hooks(self) -> &'static str {
        match self {
            Self::Typed => "tp_btf",
            Self::Raw => "raw_tp",
        }
    }

    pub(super) fn object(self) -> &'static [u8] {
        match self {
            Self::Typed => TYPED,
            Self::Raw => RAW,
        }
    }
}

/// Which form to take.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Choice {
    /// Typed where the kernel publishes its types and takes the programs, else raw.
    #[default]
    Auto,
    /// Typed, or fail.
    Typed,
    /// Raw, or fail.
    Raw,
}

/// What is known of the kernel, and what is made of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Source {
    /// A file with the kernel's types, for kernels that publish none. The raw form is then chosen.
    pub btf: Option<PathBuf>,
    /// Which form to take.
    pub form: Choice,
}

impl Source {
    /// The forms to try, in this order.
    pub(super) fn forms(&self) -> &'static [Form] {
        match self.form {
            Choice::Auto if self.btf.is_none() => &[Form::Typed, Form::Raw],
            Choice::Auto | Choice::Raw => &[Form::Raw],
            Choice::Typed => &[Form::Typed],
        }
    }
}
