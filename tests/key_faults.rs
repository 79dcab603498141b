//! The file of keys cannot be read for a moment.
//!
//! The fault concerns every file of the process, so that this test is alone in its program.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use snapback_host::access::{AccessError, Denied, KeyFile, KeyRing, Quota, Role};

/// Runs something while the process can open no file.
fn without_files<T>(run: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).expect("it is lowered");
    let result = run();
    setrlimit(Resource::Nofile, before).expect("it is what it was");
    result
}

#[test]
fn a_revocation_is_not_lost_to_a_fault_that_passes() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys.json");
    let tenant = "acme".parse().expect("a name");
    let key = KeyFile::update(&path, |file| file.create(tenant, Role::Prover, None, None)).expect("room");
    let ring = KeyRing::open(path.clone(), Quota::default()).expect("a key");
    let known = ring.authenticate(key.text.as_bytes()).expect("a caller");
    KeyFile::update(&path, |file| file.revoke(key.id)).expect("it is there");

    let mut changes = ring.watch();
    for _ in 0..2 {
        let failed = without_files(|| ring.refresh());
        assert!(matches!(failed, Err(AccessError::Io { .. })), "{failed:?}");
        assert_eq!(ring.check(&known), Ok(()), "nobody is locked out meanwhile");
    }
    assert_eq!(ring.refresh().expect("it can be read again"), Some(1));
    assert_eq!(ring.authenticate(key.text.as_bytes()), Err(Denied::Revoked(key.id)));
    assert_eq!(ring.check(&known), Err(Denied::Revoked(key.id)));
    assert!(changes.has_changed().expect("the ring lives"), "and streams are told");
    changes.mark_unchanged();
}
