//! Modules in the order in which they must be loaded. A package has no `modules.dep`, which `depmod` makes at
//! installation: each module tells by itself what it needs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::image;
use super::packages::Cache;

/// The modules of one kernel.
pub(super) struct Modules<'c> {
    cache: &'c Cache,
    /// By name, with `_` for `-`, as the kernel compares them.
    files: BTreeMap<String, PathBuf>,
    builtin: Vec<String>,
    /// Where unpacked ones go.
    scratch: PathBuf,
}

impl<'c> Modules<'c> {
    /// Those below `folder`.
    pub(super) fn find(cache: &'c Cache, folder: &Path, scratch: &Path) -> anyhow::Result<Self> {
        let list = folder.join("modules.builtin");
        let builtin = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        let mut files = BTreeMap::new();
        collect(folder, &mut files)?;
        fs::create_dir_all(scratch)?;
        let builtin = builtin.lines().filter_map(|line| name_of(Path::new(line))).collect();
        Ok(Self { cache, files, builtin, scratch: scratch.to_path_buf() })
    }

    /// The files to load, in order, so that all of `wanted` are there. One that neither is built in nor exists is left out:
    /// a kernel may do without it.
    pub(super) fn in_order(&self, wanted: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let mut order = Vec::new();
        for name in wanted {
            if self.files.contains_key(*name) {
                self.add(name, &mut order, 0)?;
            }
        }
        Ok(order)
    }

    fn add(&self, name: &str, order: &mut Vec<PathBuf>, depth: usize) -> anyhow::Result<()> {
        if self.builtin.iter().any(|builtin| builtin == name) {
            return Ok(());
        }
        if depth > 32 {
            bail!("the module {name} needs itself");
        }
        let file = self.files.get(name).with_context(|| format!("there is no module {name}"))?;
        let plain = self.plain(name, file)?;
        if order.contains(&plain) {
            return Ok(());
        }
        for needed in needs(&fs::read(&plain)?) {
            self.add(&needed, order, depth + 1)?;
        }
        order.push(plain);
        Ok(())
    }

    /// The module as the kernel takes it.
    fn plain(&self, name: &str, file: &Path) -> anyhow::Result<PathBuf> {
        let (program, package) = match file.extension().and_then(|extension| extension.to_str()) {
            Some("xz") => ("xz", "xz-utils"),
            Some("zst") => ("zstd", "zstd"),
            _ => return Ok(file.to_path_buf()),
        };
        let plain = self.scratch.join(format!("{name}.ko"));
        image::unpack(&self.cache.program(program, package)?, file, &plain)?;
        Ok(plain)
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else if let Some(name) = name_of(&entry.path()) {
            files.insert(name, entry.path());
        }
    }
    Ok(())
}

/// `virtio_rng` for `…/virtio-rng.ko.xz`.
fn name_of(path: &Path) -> Option<String> {
    let (name, rest) = path.file_name()?.to_str()?.split_once(".ko")?;
    (rest.is_empty() || rest.starts_with('.')).then(|| name.replace('-', "_"))
}

/// The names behind `depends=` among a module's descriptions, which are strings that end with a zero each.
fn needs(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value).into_owned();
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_the_kernel_compares() {
        assert_eq!(name_of(Path::new("kernel/x/virtio-rng.ko.xz")).as_deref(), Some("virtio_rng"));
        assert_eq!(name_of(Path::new("kernel/fs/xfs/xfs.ko")).as_deref(), Some("xfs"));
        assert_eq!(name_of(Path::new("modules.order")), None);
        assert_eq!(name_of(Path::new("x.koala")), None);
    }

    #[test]
    fn a_module_tells_what_it_needs() {
        assert_eq!(needs(b"ELF\0author=x\0depends=virtio,virtio-ring\0name=y\0"), ["virtio", "virtio_ring"]);
        assert_eq!(needs(b"ELF\0depends=\0name=y\0"), Vec::<String>::new());
        assert_eq!(needs(b"ELF"), Vec::<String>::new());
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let folder = std::env::temp_dir().join(format!("zc-trace-modules-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("modules.builtin"), "kernel/lib/built-in.ko\n").unwrap();
        for (name, needs) in [("a", "b,c"), ("b", "c,built_in"), ("c", "")] {
            fs::write(folder.join(format!("{name}.ko")), format!("ELF\0depends={needs}\0")).unwrap();
        }
        let cache = Cache::new(folder.clone());
        let modules = Modules::find(&cache, &folder, &folder.join("scratch")).unwrap();
        let order = modules.in_order(&["a", "b", "absent", "built_in"]).unwrap();
        let names: Vec<_> = order.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
        assert_eq!(names, ["c", "b", "a"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
