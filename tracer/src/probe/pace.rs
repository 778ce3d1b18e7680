//! How closely calls are followed: what is told one by one, and what is timed.

use clap::ValueEnum;
use tracer_common::offsets::{detail, latency};

/// Which calls are told one by one; the others are summed in the kernel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Detail {
    /// Each call; of a thread that makes more than 250,000 a second, a few of every thousand, and the others are summed
    #[default]
    Auto,
    /// Each call, however many
    All,
    /// None that can be summed with others
    #[value(skip)]
    Summed,
}

impl Detail {
    /// As the kernel programs know it.
    pub fn number(self) -> u32 {
        match self {
            Self::Auto => detail::BY_PACE,
            Self::All => detail::ALL,
            Self::Summed => detail::SUMMED,
        }
    }
}

/// Which calls are timed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Latency {
    /// Each call that is told; those that are summed are given the mean of the others
    #[default]
    Auto,
    /// Each call, also those that are summed
    All,
    /// None: entries of calls are not hooked, so that calls cost less, also those of other processes
    None,
}

impl Latency {
    /// As the kernel programs know it.
    pub fn number(self) -> u32 {
        match self {
            Self::Auto => latency::TOLD,
            Self::All => latency::ALL,
            Self::None => latency::NONE,
        }
    }
}
