//! What the documents and comments say of the tree, held against it: whoever moves a file is told where it is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::workspace;

/// Of the folders of the workspace, those that hold what is written here.
const WRITTEN: [&str; 6] = ["docs", "tests", "tracer", "tracer-common", "tracer-ebpf", "xtask"];
/// Rooms of which docs/architecture.md names every file.
const NAMED_WHOLE: [&str; 3] = ["tracer-common/src", "tracer-ebpf/src", "tracer/src/probe"];
/// What the names of files end with there. A `/` is the end of a folder's.
const ENDS: [&str; 7] = [".rs", ".md", ".sh", ".txt", ".toml", ".json", "/"];
/// Files that a module needs whatever is in it.
const PLAIN: [&str; 2] = ["lib.rs", "mod.rs"];

/// Every file and folder, by its path from the root; folders end in `/`.
fn tree() -> BTreeSet<String> {
    let root = workspace::root();
    let mut paths = BTreeSet::new();
    let mut left: Vec<PathBuf> = WRITTEN.map(|folder| root.join(folder)).to_vec();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if !entry.file_type().unwrap().is_dir() {
                paths.insert(name);
            } else if entry.file_name() != "target" {
                paths.insert(name + "/");
                left.push(entry.path());
            }
        }
    }
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            paths.insert(entry.file_name().into_string().unwrap());
        }
    }
    paths
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace::root().join(path)).unwrap()
}

/// What stands between backticks, and names a file or a folder.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| ENDS.iter().any(|end| word.ends_with(end) && *word != *end))
}

/// The document without its examples.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// Whether there is such a file, wherever it lies.
fn has(tree: &BTreeSet<String>, name: &str) -> bool {
    tree.iter().any(|path| path == name || path.ends_with(&format!("/{name}")))
}

#[test]
fn files_that_the_architecture_names_are_there() {
    let tree = tree();
    let text = prose(&read("docs/architecture.md"));
    // What begins with `/` is a target's: /proc.
    let ours = named(&text).filter(|name| !name.starts_with('/'));
    let missing: Vec<&str> = ours.filter(|name| !has(&tree, name)).collect();
    assert!(missing.is_empty(), "docs/architecture.md names what is not there: {missing:?}");
}

#[test]
fn rooms_have_the_files_that_their_rows_name() {
    let tree = tree();
    let text = read("docs/architecture.md");
    for room in NAMED_WHOLE {
        let row = text.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{room}`")));
        let row = row.unwrap_or_else(|| panic!("docs/architecture.md has no row for {room}"));
        let names: BTreeSet<&str> = named(row).collect();
        let inside: BTreeSet<&str> = tree
            .iter()
            .filter_map(|path| path.strip_prefix(room)?.strip_prefix('/'))
            .filter(|path| path.ends_with(".rs") && !PLAIN.contains(path))
            .collect();
        let missing: Vec<_> = names.difference(&inside).collect();
        assert!(missing.is_empty(), "docs/architecture.md names what is not in {room}: {missing:?}");
        let unnamed: Vec<_> = inside.difference(&names).collect();
        assert!(unnamed.is_empty(), "the row of {room} in docs/architecture.md leaves out {unnamed:?}");
    }
}

#[test]
fn documents_that_are_named_anywhere_are_there() {
    let tree = tree();
    let is_text = |path: &&String| ENDS.iter().any(|end| *end != "/" && path.ends_with(end));
    let mut missing = Vec::new();
    for path in tree.iter().filter(is_text) {
        let text = read(path);
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_-./".contains(letter));
        for word in words.filter_map(|word| word.trim_end_matches('.').strip_suffix(".md")) {
            let name = format!("{}.md", word.trim_start_matches("../"));
            if !word.is_empty() && !has(&tree, &name) {
                missing.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "documents that are not there are named: {missing:#?}");
}
