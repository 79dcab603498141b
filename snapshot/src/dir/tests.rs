use super::*;
use std::{fs, os::unix::fs::symlink};

fn dir() -> (tempfile::TempDir, Dir) {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = Dir::open(outer.path()).expect("opened").sub("state").expect("created");
    (outer, dir)
}

#[test]
fn links_are_neither_followed_nor_emptied() {
    let (outer, dir) = dir();
    let treasure = outer.path().join("treasure");
    fs::write(&treasure, b"gold").expect("written");
    symlink(&treasure, dir.path_of("link")).expect("linked");
    symlink(outer.path(), dir.path_of("sub")).expect("linked");
    assert!(dir.read("link", 10).is_err() && dir.lock("link").is_err() && dir.sub("sub").is_err());
    assert!(!dir.contains("link"));
    dir.publish("link", b"ours").expect("the link is replaced");
    assert_eq!(dir.read("link", 10).expect("read").as_deref(), Some(&b"ours"[..]));
    assert_eq!(fs::read(&treasure).expect("read"), b"gold");
}

#[test]
fn names_are_single_components() {
    let (outer, dir) = dir();
    fs::write(outer.path().join("outside"), b"outside").expect("written");
    for name in ["../outside", "..", ".", "", "a/b", "\0"] {
        assert!(matches!(dir.read(name, 10), Ok(None)), "{name:?}");
        assert!(dir.publish(name, b"x").is_err() && dir.sub(name).is_err(), "{name:?}");
        assert!(!dir.remove(name).unwrap_or(false), "{name:?}");
    }
    assert_eq!(dir.names().expect("listed"), [""; 0]);
}

#[test]
fn whatever_is_no_regular_file_is_refused_by_name() {
    let (_outer, dir) = dir();
    rustix::fs::mknodat(&dir.fd, "fifo", FileType::Fifo, Mode::RWXU, 0).expect("made");
    dir.sub("directory").expect("created");
    for name in ["fifo", "directory"] {
        for error in [dir.read(name, 10).expect_err("refused"), dir.lock(name).expect_err("refused")] {
            let text = error.to_string();
            assert!(text.contains("not a regular file") && text.contains(name), "{text}");
        }
    }
}

#[test]
fn a_longer_file_is_refused() {
    let (_outer, dir) = dir();
    dir.publish("file", b"12345").expect("written");
    assert_eq!(dir.read("file", 5).expect("read").expect("there").len(), 5);
    let text = dir.read("file", 4).expect_err("refused").to_string();
    assert!(text.contains("longer than 4 bytes"), "{text}");
}

#[test]
fn a_lock_is_held_once_and_keeps_the_contents() {
    let (_outer, dir) = dir();
    fs::write(dir.path_of("lock"), b"contents").expect("written");
    let held = dir.lock("lock").expect("opened").expect("free");
    assert!(dir.lock("lock").expect("opened").is_none());
    drop(held);
    assert!(dir.lock("lock").expect("opened").is_some());
    assert_eq!(fs::read(dir.path_of("lock")).expect("read"), b"contents");
}

#[test]
fn temporary_files_of_killed_writers_are_removed_after_an_hour() {
    let (_outer, dir) = dir();
    let file = |name: &str, hours: u64| {
        let file = File::create(dir.path_of(name)).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_hours(hours)).expect("a time");
    };
    file(".tmp-old", 2);
    file(".tmp-new", 0);
    file("old", 2);
    dir.sweep_temporary();
    assert_eq!(dir.names().expect("listed"), [".tmp-new", "old"]);
}
