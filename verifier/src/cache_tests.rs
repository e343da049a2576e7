//! Records survive being closed, cut off and damaged: what comes back is what was kept, or nothing.

use std::fs;

use tempfile::TempDir;

use super::*;

fn open(folder: &TempDir) -> Cache {
    Cache::open(folder.path(), b"a deployment").unwrap()
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("chains.cache")
}

/// Twenty records of different lengths.
fn filled() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(&folder);
    for n in 0..20_u8 {
        cache.put("number", &[n], &vec![n; usize::from(n) * 7]);
    }
    folder
}

fn found(cache: &Cache) -> usize {
    let mut found = 0;
    for n in 0..20_u8 {
        if let Some(payload) = cache.get("number", &[n]) {
            assert_eq!(payload, vec![n; usize::from(n) * 7], "what comes back is what was kept");
            found += 1;
        }
    }
    found
}

#[test]
fn what_was_kept_is_there_in_the_next_run_and_the_newest_counts() {
    let folder = filled();
    let cache = open(&folder);
    assert_eq!((found(&cache), cache.counts()), (20, (20, 0)));
    cache.put("number", &[3], b"new");
    assert_eq!(cache.get("other", &[3]), None);
    drop(cache);
    assert_eq!(open(&folder).get("number", &[3]).unwrap(), b"new");
    assert_eq!(Cache::open(folder.path(), b"another").unwrap().get("number", &[3]), None);
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(path(&folder)).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn one_process_at_a_time_uses_a_folder() {
    let folder = filled();
    let _first = open(&folder);
    let error = Cache::open(folder.path(), b"a deployment").unwrap_err().to_string();
    assert!(error.contains("another verify"), "{error}");
}

#[test]
fn a_file_cut_off_anywhere_keeps_what_is_whole() {
    let whole = fs::read(path(&filled())).unwrap();
    let mut most = 0;
    for cut in (0..whole.len()).step_by(11) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(path(&folder), &whole[..cut]).unwrap();
        let cache = open(&folder);
        let now = found(&cache);
        assert!(now >= most && now < 20, "{now} after {cut} bytes, {most} before");
        most = now;
        // and it goes on from there
        for n in 0..20_u8 {
            cache.put("number", &[n], &vec![n; usize::from(n) * 7]);
        }
        drop(cache);
        assert_eq!(found(&open(&folder)), 20);
    }
    assert_eq!(most, 19);
}

#[test]
fn every_flipped_byte_is_noticed() {
    let whole = fs::read(path(&filled())).unwrap();
    for at in (0..whole.len()).step_by(3) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(path(&folder), bytes).unwrap();
        let cache = open(&folder);
        let now = found(&cache);
        assert!(now < 20 && cache.counts().1 > 0, "byte {at}: {now} found, none distrusted");
    }
}
