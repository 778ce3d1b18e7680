//! How a number is known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a number is known. Ordered from best to worst, so that the evidence of a sum is the `max` of its parts.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// A kernel hook on the very act counted it.
    #[default]
    Measured,
    /// It follows with certainty from what was measured.
    Derived,
    /// The documented behaviour of that path on that kernel; may be wrong.
    Modelled,
    /// Not known: the number is null.
    Unknown,
}
