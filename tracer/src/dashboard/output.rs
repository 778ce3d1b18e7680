//! Files that are written while the dashboard is open, by names that do not clash.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// `zc-trace-PID-SECONDS.EXTENSION` in the folder in which zc-trace was started.
pub(super) fn file_name(pid: u32, extension: &str, now: SystemTime) -> PathBuf {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let name = |more: &str| PathBuf::from(format!("zc-trace-{pid}-{seconds}{more}.{extension}"));
    let numbered = (2..100).map(|number| name(&format!("-{number}")));
    std::iter::once(name("")).chain(numbered).find(|path| !path.exists()).unwrap_or_else(|| name("-more"))
}

/// A path as it is shown.
pub(super) fn shown(path: &Path) -> String {
    crate::view::format::escape(&path.to_string_lossy()).into_owned()
}
