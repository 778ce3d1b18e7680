//! A mapped file that the program faults in piece by piece.
//!
//! Not told of programs and libraries (by their names): they are paged in as they are used. Faults in kernel mode are no
//! transitions and are not counted as a saving.

use super::{AppliesTo, Figure, Finding, Saving};
use crate::model::{
    endpoint::EndpointKind,
    evidence::Evidence,
    snapshot::{MappedFile, Snapshot},
};

pub(super) fn find(snapshot: &Snapshot) -> Vec<Finding> {
    let files = snapshot.mapped_files.iter().filter(|mapped| mapped.file.kind == EndpointKind::File);
    files.filter(|mapped| !is_program(mapped)).map(of_file).collect()
}

fn is_program(mapped: &MappedFile) -> bool {
    let path = mapped.file.path.as_deref().unwrap_or_default();
    path.ends_with(".so") || path.contains(".so.") || path.contains("/bin/") || path.contains("/sbin/")
}

fn of_file(mapped: &MappedFile) -> Finding {
    let transitions = mapped.user_faults.saturating_mul(2);
    let file = mapped.file.clone();
    Finding {
        rule: "mapping-faults".to_owned(),
        title: "a mapped file is faulted in piece by piece".to_owned(),
        advice: "If all of it is used: MAP_POPULATE, or madvise(2) with MADV_POPULATE_READ (Linux 5.14), maps it in one call. If \
                 it is used here and there, the faults stay."
            .to_owned(),
        applies_to: AppliesTo { pid: mapped.pid, method: None, source: Some(file), sink: None },
        figures: vec![
            Figure::new("faults in user mode", mapped.user_faults, "faults", Evidence::Derived),
            Figure::new("faults in kernel mode", mapped.kernel_faults, "faults", Evidence::Derived),
        ],
        // One call in place of the faults.
        saving: Saving::new(0, transitions.saturating_sub(2)),
        also: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{export::samples, model::snapshot::Reached};

    #[test]
    fn files_are_told_and_programs_are_not() {
        let file = |path| MappedFile {
            pid: 1,
            file: samples::file(path),
            user_faults: 9_000,
            kernel_faults: 3,
            minor_faults: 9_000,
            major_faults: 2,
            reached: Reached::default(),
        };
        let of = |path| find(&Snapshot { mapped_files: vec![file(path)], ..Snapshot::default() });
        assert_eq!(of("/srv/data")[0].saving, Saving::new(0, 17_998));
        assert_eq!(of("/usr/lib/libc.so.6"), []);
        assert_eq!(of("/usr/bin/python3"), []);
    }
}
