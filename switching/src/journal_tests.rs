//! Crashes and tampering.

use super::*;

fn started(time: u64) -> Entry {
    Entry::Record(Box::new(Production::Started { time }))
}

fn written(path: &Path) -> Vec<u8> {
    let journal = Journal::open(path).unwrap();
    journal.append(&[started(1), started(2)]).unwrap();
    journal.append(&[started(3), Entry::Closed(EpochId(7))]).unwrap();
    assert_eq!(journal.view().durable().head.len, 3);
    assert_eq!(journal.view().durable().closed_epoch, Some(EpochId(7)));
    drop(journal);
    std::fs::read(path).unwrap()
}

#[test]
fn a_crash_at_any_byte_leaves_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let whole = written(&folder.path().join("whole"));
    let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    for cut in 0..=whole.len() {
        let path = folder.path().join("cut");
        std::fs::write(&path, &whole[..cut]).unwrap();
        let lines = u64::try_from(ends.iter().filter(|end| **end < cut).count()).unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.view().durable().head.len, lines, "cut at {cut}");
        journal.append(&[started(9)]).unwrap();
        drop(journal);
        let replayed = replay(&path).unwrap();
        assert_eq!((replayed.head.len, replayed.torn), (lines + 1, 0), "cut at {cut}");
    }
}

#[test]
fn any_changed_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let whole = written(&path);
    for at in 0..whole.len() - 1 {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert!(replay(&path).is_err(), "byte {at}");
        assert!(matches!(Journal::open(&path), Err(JournalError::Chain { .. })), "byte {at}");
        assert_eq!(
            std::fs::read(&path).unwrap(),
            changed,
            "a journal that is refused is left alone"
        );
    }
    let first_line = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    std::fs::write(&path, &whole[first_line..]).unwrap();
    assert!(replay(&path).unwrap_err().to_string().contains("missing"));
}

#[test]
fn there_is_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let first = Journal::open(&path).unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::Locked(_))));
    drop(first);
    Journal::open(&path).unwrap();
}

#[test]
fn lines_are_given_as_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let whole = String::from_utf8(written(&path)).unwrap();
    let view = Journal::open(&path).unwrap().view();
    assert_eq!(view.read(0, 100).unwrap(), whole);
    assert_eq!(view.read(1, 1).unwrap().trim_end(), whole.lines().nth(1).unwrap());
    assert_eq!(view.read(0, 0).unwrap(), "");
    assert_eq!(view.read(3, 10).unwrap(), "");
    assert_eq!(view.read(99, 10).unwrap(), "");
}
