//! Tests of the output files.

use std::os::unix::fs::symlink;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

type Prepare = fn(&Path) -> Result<Destination, OutputError>;
const BOTH: [Prepare; 2] = [Destination::prepare_replacement, Destination::prepare_in_place];

#[test]
fn what_cannot_be_written_is_found_before_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "old").unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    for prepare in BOTH {
        for (name, why) in [
            ("missing/out", "No such file or directory (os error 2). Hint: make its directory first"),
            ("", "Is a directory"),
            ("new/", "Is a directory"),
            ("file/out", "Not a directory"),
            ("dangling", "symbolic link to a file that does not exist"),
        ] {
            let error = prepare(&path(name)).unwrap_err().to_string();
            assert!(error.contains(why), "{name}: {error}");
            assert!(error.starts_with("cannot write /"), "{error}");
        }
        assert!(prepare(Path::new("/proc/nowhere")).is_err());
    }
    assert_eq!(names(folder.path()), ["dangling", "file"]);
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "old");
}

#[test]
fn a_hostile_name_is_escaped_in_the_error() {
    let error =
        Destination::prepare_replacement(Path::new("/missing/\x1b[2J\nname")).unwrap_err().to_string();
    assert!(error.starts_with("cannot write /missing/\\x1b[2J\\nname: No such file"), "{error}");
}

#[test]
fn a_prepared_file_is_untouched_until_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    for prepare in BOTH {
        drop(prepare(&path).unwrap());
        assert!(names(folder.path()).is_empty());
    }
    fs::write(&path, "old").unwrap();
    for prepare in BOTH {
        drop(prepare(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
    assert_eq!(names(folder.path()), ["out"]);
}

#[test]
fn a_replaced_file_keeps_its_mode_and_a_link_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("out"), folder.path().join("link"));
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    symlink(&path, &link).unwrap();
    Destination::prepare_replacement(&link).unwrap().replace(b"new").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(names(folder.path()), ["link", "out"]);
}

#[test]
fn a_failed_replacement_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    fs::write(&path, "old").unwrap();
    let destination = Destination::prepare_replacement(&path).unwrap();
    // Something that a rename cannot replace has taken its place.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "").unwrap();
    assert!(destination.replace(b"new").is_err());
    assert_eq!(names(folder.path()), ["out"]);
    assert_eq!(names(&path), ["inside"]);
}

#[test]
fn special_files_are_written_not_replaced() {
    for prepare in BOTH {
        prepare(Path::new("/dev/null")).unwrap().replace(b"gone").unwrap();
        let error = prepare(Path::new("/dev/full")).unwrap().replace(b"too much").unwrap_err().to_string();
        assert!(error.contains("cannot write /dev/full: No space left on device"), "{error}");
        assert!(error.contains("Hint: free some space"), "{error}");
    }
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    assert!(Destination::prepare_replacement(Path::new("-")).unwrap().is_stdout());
    assert!(Destination::prepare_in_place(Path::new("/dev/stdout")).unwrap().is_stdout());
}

#[test]
fn a_fifo_gets_the_document() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs::read_to_string(path).unwrap()
    });
    Destination::prepare_replacement(&path).unwrap().replace(b"document").unwrap();
    assert_eq!(reader.join().unwrap(), "document");
    assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
}

#[test]
fn a_write_that_fails_half_way_leaves_whole_lines() {
    // Stands for a full disk: this file has two pages and cannot grow.
    let memory = File::from(memfd_create("full", MemfdFlags::ALLOW_SEALING).unwrap());
    memory.set_len(8192).unwrap();
    fcntl_add_seals(&memory, SealFlags::GROW).unwrap();
    let mut lines = LineFile::stream(memory.try_clone().unwrap(), Path::new("full"));
    lines.regular = true;
    let line = |buffer: &mut Vec<u8>| {
        buffer.extend_from_slice(&[b'x'; 999]);
        Ok(())
    };
    for _ in 0..3 {
        lines.push_line(line).unwrap();
    }
    lines.flush().unwrap();
    for _ in 0..10 {
        lines.push_line(line).unwrap();
    }
    lines.flush().unwrap_err();
    let length = memory.metadata().unwrap().len();
    assert!(length >= 3000 && length % 1000 == 0, "{length} bytes");
}

#[test]
fn whole_lines_end_with_the_last_line_break() {
    assert_eq!(whole_lines(b""), 0);
    assert_eq!(whole_lines(b"half"), 0);
    assert_eq!(whole_lines(b"one\ntwo\nhal"), 8);
    assert_eq!(whole_lines(b"one\n"), 4);
}

#[test]
fn the_caller_is_known_only_from_two_numbers() {
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(caller(text("1000"), text("100")), Some((1000, 100)));
    assert_eq!(caller(text("1000"), None), None);
    assert_eq!(caller(text("-1"), text("100")), None);
    assert_eq!(caller(text("root"), text("100")), None);
}
