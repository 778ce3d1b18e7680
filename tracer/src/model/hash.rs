//! Hash maps for keys that the kernel or the model chose: numbers of processes, serials, endpoints.
//!
//! The standard library's hash withstands keys that an attacker chose, and costs several times as much. foldhash is seeded
//! anew in every process: that is enough for numbers nobody chooses freely, and every operation looks up some ten of them.

/// See above.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// See above.
pub(crate) type HashSet<T> = std::collections::HashSet<T, foldhash::fast::RandomState>;
