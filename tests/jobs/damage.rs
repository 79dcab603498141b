//! Directories that are damaged, foreign, locked or full.

use crate::fixture::{
    Fixture as _, Sqlite, claim, claim_one, job, key, open_at, record, start, submit, success,
};
use proptest::prelude::{ProptestConfig, any, proptest};
use snapback_host::jobs::{
    JobEngine, JobError, JobFilter, JobLimits, ManualClock, SealingKey, SqliteJobs, State,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() {
    let fixture = Sqlite::new();
    let refused = open_at(&fixture.path(), JobLimits::default()).err().expect("it is locked");
    assert!(matches!(&refused, JobError::Locked(path) if *path == fixture.path()));
    fixture.engine().close().await;
    open_at(&fixture.path(), JobLimits::default()).expect("it is free").close().await;
}

#[tokio::test]
async fn another_key_is_refused() {
    let fixture = Sqlite::new();
    fixture.engine().close().await;
    let other = SealingKey::from_bytes([8; 32]);
    let opened =
        SqliteJobs::open(&fixture.path(), &other, JobLimits::default(), Arc::new(ManualClock::at(start())));
    assert!(matches!(opened.err(), Some(JobError::WrongKey(_))));
    open_at(&fixture.path(), JobLimits::default()).expect("the right key").close().await;
}

#[tokio::test]
async fn a_missing_or_empty_database_is_never_silently_new() {
    let fixture = Sqlite::new();
    submit(fixture.engine(), job(&[0; 50_000])).await;
    fixture.engine().close().await;
    let database = fixture.path().join("jobs.sqlite");
    let saved = fs::read(&database).expect("the database is there");
    fs::remove_file(&database).expect("it can be removed");
    assert!(matches!(
        open_at(&fixture.path(), JobLimits::default()).err(),
        Some(JobError::MissingDatabase(_))
    ));
    fs::write(&database, b"").expect("it can be written");
    assert!(matches!(open_at(&fixture.path(), JobLimits::default()).err(), Some(JobError::Corrupt { .. })));
    let mut newer = saved.clone();
    newer[63] = 99;
    fs::write(&database, newer).expect("it can be written");
    assert!(matches!(
        open_at(&fixture.path(), JobLimits::default()).err(),
        Some(JobError::UnknownVersion { found: 99, .. })
    ));
    fs::write(&database, saved).expect("it can be written");
    open_at(&fixture.path(), JobLimits::default()).expect("it is as it was").close().await;
}

#[tokio::test]
async fn orphans_are_removed_and_files_of_others_are_kept() {
    let mut fixture = Sqlite::new();
    submit(fixture.engine(), job(&[0; 50_000])).await;
    let bodies = fixture.path().join("bodies");
    for (name, opens) in [("0".repeat(64), 0), (".tmp-1".into(), 1), ("1".repeat(64), 2)] {
        fs::write(bodies.join(name), b"x").expect("it can be written");
        if opens > 0 {
            fixture.reopen().await;
        } else {
            assert_eq!(fixture.engine().sweep().await.expect("it is swept").files, 1);
        }
        assert_eq!(fixture.files().len(), 1);
    }
    fs::write(bodies.join("README"), b"x").expect("it can be written");
    fixture.reopen().await;
    assert_eq!(fixture.files().len(), 2);
    assert_eq!(claim_one(fixture.engine()).await.body.len(), 50_000);
}

#[tokio::test]
async fn a_damaged_body_fails_its_job_alone() {
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let bad = submit(jobs, job(&[0; 50_000])).await.id;
    let good = submit(jobs, job(b"good")).await.id;
    let file = fixture.path().join("bodies").join(&fixture.files()[0]);
    let mut bytes = fs::read(&file).expect("the file is there");
    bytes[100] ^= 1;
    fs::write(&file, bytes).expect("it can be written");
    let claimed = claim(jobs, 9).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.job.id).collect::<Vec<_>>(), [good]);
    let failed = record(jobs, bad).await;
    assert_eq!(
        (failed.state, failed.error.map(|error| error.code)),
        (State::Failed, Some("body_damaged".into()))
    );
}

#[tokio::test]
async fn nothing_readable_is_on_the_disk_and_bodies_are_cleared() {
    const SECRET: &[u8] = b"a witness that nobody may read";
    let fixture = Sqlite::new();
    let jobs = fixture.engine();
    let long = SECRET.repeat(2000);
    for body in [SECRET, &long] {
        let keyed = snapback_host::jobs::NewJob {
            idempotency_key: Some("secret-key".parse().expect("valid")),
            ..job(body)
        };
        assert!(!format!("{keyed:?}").contains("secret-key"));
        let other = snapback_host::jobs::NewJob { idempotency_key: None, ..keyed.clone() };
        jobs.submit(vec![if body.len() > 100 { other } else { keyed }]).await.expect("it is accepted");
        let claimed = claim_one(jobs).await;
        assert!(!format!("{claimed:?}").contains("witness"));
        jobs.finish(claimed.lease, success(body)).await.expect("it is stored");
    }
    let directories = [fixture.path(), fixture.path().join("bodies")];
    for entry in directories.iter().flat_map(|path| fs::read_dir(path).expect("it can be read")) {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = fs::read(&path).expect("it can be read");
            let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
            assert!(!has(SECRET) && !has(b"secret-key"), "{}", path.display());
        }
    }
    assert_eq!(fixture.files().len(), 1, "the result's, and no body's");
}

#[test]
fn key_files_are_created_and_checked() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (path, state) = (directory.path().join("key"), directory.path().join("state"));
    SealingKey::load(&path, &state).expect("it is created");
    let created = fs::read(&path).expect("it is there");
    assert_eq!(
        (created.len(), fs::metadata(&path).expect("it is there").permissions().mode() & 0o777),
        (32, 0o600)
    );
    SealingKey::load(&path, &state).expect("it is read");
    assert_eq!(fs::read(&path).expect("it is there"), created);
    let is_refused =
        |path: &Path, state: &Path| matches!(SealingKey::load(path, state), Err(JobError::KeyFile { .. }));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("its owner may");
    assert!(is_refused(&path, &state), "others can read it");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner may");
    assert!(is_refused(&path, directory.path()), "it is in the state directory");
    fs::write(&path, [0; 31]).expect("it can be written");
    assert!(is_refused(&path, &state), "it is too short");
    std::os::unix::fs::symlink(&path, directory.path().join("link")).expect("it can be linked");
    assert!(is_refused(&directory.path().join("link"), &state), "it is a link");
    assert_eq!(fs::read_dir(directory.path()).expect("it can be read").count(), 2);

    // The first start of all finds no directory either.
    let deeper = directory.path().join("new/deeper");
    SealingKey::load(&deeper.join("key"), &state).expect("it is created");
    assert_eq!(fs::metadata(&deeper).expect("it is there").permissions().mode() & 0o777, 0o700);
    assert!(is_refused(&state.join("new/key"), &state), "it would be in the state directory");
    assert!(!state.exists(), "which was not created for it");
}

/// A directory with jobs in all states, closed.
async fn populated() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("jobs");
    let jobs = open_at(&path, JobLimits::default()).expect("it is new");
    for number in 0..40u8 {
        submit(&jobs, job(&vec![number; usize::from(number) * 100])).await;
    }
    for (number, claimed) in claim(&jobs, 20).await.into_iter().enumerate() {
        if number % 2 == 0 {
            jobs.finish(claimed.lease, success(&[3; 300])).await.expect("it is stored");
        } else {
            jobs.cancel(None, claimed.job.id).await.expect("it is known");
        }
    }
    jobs.close().await;
    (directory, path)
}

/// Uses everything that a damaged database could break. Errors are fine, panics and false results are not.
async fn use_all(jobs: &SqliteJobs) {
    if let Ok(page) = jobs.list(JobFilter::default(), None, 1000).await {
        for record in page.jobs {
            if let Ok(result) = jobs.result(None, record.id).await {
                assert_eq!(*result.bytes, vec![3; 300]);
            }
        }
    }
    if let Ok(claimed) = jobs.claim(&["prover".to_owned()], 50).await {
        for claimed in claimed {
            assert!(claimed.body.windows(2).all(|pair| pair[0] == pair[1]));
            drop(jobs.finish(claimed.lease, success(b"")).await);
        }
    }
    drop(jobs.sweep().await);
    jobs.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_database_with_random_damage_is_refused_or_does_no_harm(
        places in proptest::collection::vec((any::<u32>(), 1..=255u8), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (_directory, path) = populated().await;
            let database = path.join("jobs.sqlite");
            let mut bytes = fs::read(&database).expect("it can be read");
            for (place, change) in places {
                let length = bytes.len();
                bytes[place as usize % length] ^= change;
            }
            fs::write(&database, bytes).expect("it can be written");
            if let Ok(jobs) = SqliteJobs::open(&path, &key(), JobLimits::default(), Arc::new(ManualClock::at(start()))) {
                use_all(&jobs).await;
            }
        });
    }
}
