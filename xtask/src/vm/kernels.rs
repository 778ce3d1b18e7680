//! Which kernels the configured package sources offer, and which of them are asked for.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use xtask::progress::{Outcome, Step};
use xtask::setup::apt;

use super::packages::Cache;

/// The series that `--vm` alone boots: Debian's stable kernels that every source of Debian 12 offers.
const USUAL: [&str; 2] = ["6.1", "6.12"];

/// What the packages of the small kernels for virtual machines are called.
const PREFIX: &str = "linux-image-";
const SUFFIX: &str = "-cloud-amd64";

/// The newest kernel of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// Such as 6.12.
    pub(super) series: String,
    /// Such as 6.12.117+deb12-cloud-amd64: what `uname -r` says.
    pub(super) release: String,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {}", self.release)
    }
}

impl Kernel {
    fn package(&self) -> String {
        format!("{PREFIX}{}", self.release)
    }

    /// Its files, unpacked: fetched if need be.
    pub(super) fn unpacked(&self, cache: &Cache) -> anyhow::Result<Files> {
        let root = cache.unpacked(&self.package(), || {
            // Newer packages keep image and modules in packages of their own, named by the same release.
            let parts =
                apt::depends(&self.package()).into_iter().filter(|name| name.ends_with(&self.release));
            Ok([self.package()].into_iter().chain(parts).collect())
        })?;
        Ok(Files { root, release: self.release.clone() })
    }
}

/// An unpacked kernel.
#[derive(Clone, Debug)]
pub(super) struct Files {
    root: PathBuf,
    release: String,
}

impl Files {
    /// The image as a boot loader takes it.
    pub(super) fn image(&self) -> anyhow::Result<PathBuf> {
        let name = format!("vmlinuz-{}", self.release);
        let places = [format!("boot/{name}"), format!("usr/lib/modules/{}/vmlinuz", self.release)];
        self.first(&places).with_context(|| format!("the package of {} has no image", self.release))
    }

    /// The folder of its modules.
    pub(super) fn modules(&self) -> anyhow::Result<PathBuf> {
        let places = [format!("usr/lib/modules/{}", self.release), format!("lib/modules/{}", self.release)];
        self.first(&places).with_context(|| format!("the package of {} has no modules", self.release))
    }

    /// Where what is made from them is kept.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn first(&self, places: &[String]) -> Option<PathBuf> {
        places.iter().map(|place| self.root.join(place)).find(|path| path.exists())
    }
}

/// The kernels that `names` ask for: series such as `6.12`, or `all`; without any, the usual ones.
pub(super) fn asked_for(names: &[String]) -> anyhow::Result<Vec<Kernel>> {
    if !apt::is_here() {
        bail!("the kernel matrix boots Debian's kernels, and there is no apt-get here to fetch them");
    }
    let mut offered = offered();
    let chosen = choose(names, &offered);
    if chosen.is_ok() {
        return chosen;
    }
    let step = Step::start("fetching the lists of Debian's packages");
    let updated = apt::update(&step);
    step.finish(&if updated.is_ok() { Outcome::Done(String::new()) } else { Outcome::Failed });
    updated?;
    offered = self::offered();
    choose(names, &offered)
}

fn offered() -> Vec<Kernel> {
    newest(apt::named(&format!("^{PREFIX}[0-9].*{SUFFIX}$")))
}

/// The newest of each series, oldest series first.
fn newest(packages: Vec<String>) -> Vec<Kernel> {
    let mut releases: Vec<String> =
        packages.iter().filter_map(|name| name.strip_prefix(PREFIX)).map(str::to_owned).collect();
    releases.sort_by_key(|release| numbers(release));
    let mut kernels: Vec<Kernel> = Vec::new();
    for release in releases {
        let numbers = numbers(&release);
        // Packages that only point to the newest of a series have a third word, not a third number.
        let (&[major, minor, ..], true) = (&numbers[..], is_concrete(&release)) else { continue };
        let series = format!("{major}.{minor}");
        match kernels.last_mut() {
            Some(last) if last.series == series => last.release = release,
            _ => kernels.push(Kernel { series, release }),
        }
    }
    kernels
}

/// Whether it is the release of one kernel: `6.12.117+deb12-…`, and not `6.12-…`, the newest of its series.
fn is_concrete(release: &str) -> bool {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    release[..end].split('.').count() >= 3
}

/// All numbers in a text, in order: versions compare by them.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn choose(names: &[String], offered: &[Kernel]) -> anyhow::Result<Vec<Kernel>> {
    if names.iter().any(|name| name == "all") {
        if offered.is_empty() {
            bail!(
                "no configured package source has a kernel {PREFIX}*{SUFFIX}; add Debian's to apt's sources"
            );
        }
        return Ok(offered.to_vec());
    }
    let usual = USUAL.map(str::to_owned);
    let names = if names.is_empty() { &usual[..] } else { names };
    let choose_one = |name: &String| {
        let found = offered.iter().find(|kernel| kernel.series == *name).cloned();
        found.with_context(|| {
            let series: Vec<&str> = offered.iter().map(|kernel| kernel.series.as_str()).collect();
            let offer = if series.is_empty() { "none".to_owned() } else { series.join(", ") };
            format!("no configured package source has a kernel {name} (they have {offer}); name one of these or `all` \
                 (what scenarios have in their names comes before --vm)")
        })
    };
    names.iter().map(choose_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Vec<Kernel> {
        let names = [
            "linux-image-6.12.117+deb12-cloud-amd64",
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.12-cloud-amd64",
            "linux-image-6.12.100+deb12-cloud-amd64",
            "linux-image-5.10.0-36-cloud-amd64",
        ];
        newest(names.map(str::to_owned).to_vec())
    }

    #[test]
    fn the_newest_of_each_series_is_offered_and_series_go_by_number() {
        let releases: Vec<String> = offer().into_iter().map(|kernel| kernel.release).collect();
        assert_eq!(releases, ["5.10.0-36-cloud-amd64", "6.1.0-56-cloud-amd64", "6.12.117+deb12-cloud-amd64"]);
    }

    #[test]
    fn kernels_are_chosen_by_series() {
        let series = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let chosen = choose(&names, &offer()).map_err(|error| error.to_string())?;
            Ok::<_, String>(chosen.into_iter().map(|kernel| kernel.series).collect::<Vec<_>>())
        };
        assert_eq!(series(&[]).unwrap(), ["6.1", "6.12"]);
        assert_eq!(series(&["6.12"]).unwrap(), ["6.12"]);
        assert_eq!(series(&["all"]).unwrap(), ["5.10", "6.1", "6.12"]);
        let error = series(&["6.18"]).unwrap_err();
        assert!(error.contains("a kernel 6.18 (they have 5.10, 6.1, 6.12)"), "{error}");
    }
}
