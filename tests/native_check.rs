//! Native code whose file is known by its identity is mapped without being read. Whatever is done to the file or to its
//! records, it is hashed then, and changed code is never mapped.

mod harness;

use harness::{Server, native_key, run_ok, snapback, until};
use proptest::{prelude::*, sample::Index};
use snapback_snapshot::{
    CheckMode, Confirmed, Digest, ImageStore, Miss, NativeCache, NativeCheck, SealedImage, Unrecorded,
    WhyFull, engine,
};
use std::{
    fs::{self, File, FileTimes, Permissions},
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    sync::LazyLock,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use wasmtime::Engine;

/// A state directory with the fixtures, and the bytes of their native code.
struct State {
    dir: TempDir,
    engine: Engine,
    image: SealedImage,
    code: Vec<u8>,
}

impl State {
    fn baked(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let digest =
            run_ok(snapback().args(["bake", "fixtures", "--state-dir"]).arg(dir.path()).args(arguments));
        let digest: Digest = digest.trim().parse().expect("a digest");
        let image =
            ImageStore::open(dir.path()).and_then(|store| store.open_image(&digest)).expect("the image");
        let code = fs::read(file(dir.path(), "cwasm").expect("native code")).expect("readable");
        Self { dir, engine: engine(2).expect("an engine"), image, code }
    }

    fn file(&self, ending: &str) -> PathBuf {
        file(self.dir.path(), ending).expect("the file")
    }

    fn cache(&self) -> NativeCache {
        NativeCache::open(self.dir.path(), &native_key(), 1 << 30)
    }

    /// Loads the image as a start does, and returns how its code was checked.
    fn check(&self) -> Result<NativeCheck, Miss> {
        self.cache().find(&self.engine, &self.image).map(|image| image.check)
    }

    /// Loads the image, and does what a server does afterwards.
    fn confirm(&self, now: SystemTime) -> Confirmed {
        let cache = self.cache();
        cache.find(&self.engine, &self.image).expect("native code");
        let confirmations = cache.take_confirmations();
        let [confirmation] = &confirmations[..] else { panic!("one file was mapped") };
        confirmation.run(now).expect("the recorded code")
    }

    /// Puts the native code there as it was, with a record of its identity.
    fn restore(&self) {
        let path = self.file("cwasm");
        publish(&path, &self.code);
        if let Some(identity) = file(self.dir.path(), "identity") {
            fs::remove_file(identity).expect("ours");
        }
        let confirmed = self.confirm(later());
        assert!(matches!(confirmed, Confirmed::Recorded), "{confirmed:?}");
        assert_eq!(self.check(), Ok(NativeCheck::Identity));
        // A change within one tick of the clock could keep the change time, for which a server waits until it records.
        let changed = |metadata: fs::Metadata| (metadata.ctime(), metadata.ctime_nsec());
        let before = changed(fs::metadata(&path).expect("there"));
        until("the clock ticks", || {
            changed(tempfile::tempfile().and_then(|file| file.metadata()).expect("a file")) > before
        });
    }
}

fn file(state: &Path, ending: &str) -> Option<PathBuf> {
    fs::read_dir(state.join("native"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|found| found == ending))
}

/// Writes a file as the program does: complete, for nobody to write, under its name by a rename.
fn publish(path: &Path, bytes: &[u8]) {
    let temporary = path.with_extension("new");
    fs::write(&temporary, bytes).expect("written");
    mode(&temporary, 0o400);
    fs::rename(&temporary, path).expect("renamed");
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
}

/// A time at which the change time of every file is old enough.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_mins(1)
}

/// What somebody can do to native code and its records without the key.
#[derive(Clone, Copy, Debug)]
enum Tampering {
    Flip,
    FlipBySecondName,
    ReplaceByRename,
    ReplaceByItself,
    TruncateAndExtend,
    ChangeMode,
    ChangeOwner,
    SecondName,
    FlipAndEditRecord,
    FlipAndRenumberRecord,
    FlipAndTakeOtherRecord,
    TakeOtherRecord,
    CutRecord,
}

impl Tampering {
    const ALL: [Self; 13] = [
        Self::Flip,
        Self::FlipBySecondName,
        Self::ReplaceByRename,
        Self::ReplaceByItself,
        Self::TruncateAndExtend,
        Self::ChangeMode,
        Self::ChangeOwner,
        Self::SecondName,
        Self::FlipAndEditRecord,
        Self::FlipAndRenumberRecord,
        Self::FlipAndTakeOtherRecord,
        Self::TakeOtherRecord,
        Self::CutRecord,
    ];

    /// Tampers, and returns what has to be found.
    fn apply(self, state: &State, other_record: &[u8], at: Index, xor: u8) -> Expected {
        let path = state.file("cwasm");
        let record = state.file("identity");
        match self {
            Self::Flip => flip(&path, at, xor),
            Self::FlipBySecondName => {
                let second = state.dir.path().join("another-name");
                fs::hard_link(&path, &second).expect("linked");
                flip(&second, at, xor);
                fs::remove_file(second).expect("ours");
            }
            Self::ReplaceByRename => {
                let metadata = fs::metadata(&path).expect("there");
                let mut bytes = state.code.clone();
                bytes[at.index(state.code.len())] ^= xor;
                publish(&path, &bytes);
                set_times(&path, &metadata);
            }
            Self::ReplaceByItself => {
                publish(&path, &state.code);
                return Expected::Hashed("changed");
            }
            Self::TruncateAndExtend => {
                let len = state.code.len() as u64;
                // From somewhere on, the file is full of zeros.
                let cut = at.index(state.code.len() / 2) as u64;
                writable(&path, |file| file.set_len(cut).and_then(|()| file.set_len(len)));
            }
            Self::ChangeMode => {
                mode(&path, 0o600);
                return Expected::Hashed("changed");
            }
            Self::ChangeOwner => {
                // Only the superuser can give a file away.
                if chown(&path, Some(12345), None).is_err() {
                    mode(&path, 0o644);
                    return Expected::Hashed("changed");
                }
            }
            Self::SecondName => {
                let second = state.dir.path().join("second-name");
                // That of another case is a name of another file by now.
                let _ = fs::remove_file(&second);
                fs::hard_link(&path, second).expect("linked");
            }
            Self::FlipAndEditRecord => {
                flip(&path, at, xor);
                flip(&record, at, xor);
            }
            Self::FlipAndRenumberRecord => {
                flip(&path, at, xor);
                renumber(&record, &path);
            }
            Self::FlipAndTakeOtherRecord => {
                flip(&path, at, xor);
                publish(&record, other_record);
            }
            Self::TakeOtherRecord => {
                publish(&record, other_record);
                return Expected::Hashed("unfit-record");
            }
            Self::CutRecord => {
                let bytes = fs::read(&record).expect("readable");
                publish(&record, &bytes[..at.index(bytes.len())]);
                return Expected::Hashed("unfit-record");
            }
        }
        Expected::Refused
    }
}

/// What a start has to make of it.
enum Expected {
    /// The code is hashed for this reason, and is the recorded one.
    Hashed(&'static str),
    /// The code is not mapped.
    Refused,
}

/// Changes one byte in place. Everything that can be set is as before.
fn flip(path: &Path, at: Index, xor: u8) {
    writable(path, |file| {
        let at = at.index(usize::try_from(file.metadata()?.len()).expect("fits")) as u64;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        file.write_all_at(&[byte[0] ^ xor], at)
    });
}

fn writable(path: &Path, change: impl FnOnce(&File) -> std::io::Result<()>) {
    let metadata = fs::metadata(path).expect("there");
    mode(path, 0o600);
    let file = File::options().read(true).write(true).open(path).expect("writable");
    change(&file).expect("changed");
    mode(path, 0o400);
    set_times(path, &metadata);
}

fn set_times(path: &Path, to: &fs::Metadata) {
    let times = FileTimes::new()
        .set_modified(to.modified().expect("a time"))
        .set_accessed(to.accessed().expect("a time"));
    File::open(path).and_then(|file| file.set_times(times)).expect("ours");
}

/// Writes into a record what the kernel says about the file now.
fn renumber(record: &Path, path: &Path) {
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(record).expect("readable")).expect("JSON");
    let metadata = fs::metadata(path).expect("there");
    json["identity"]["inode"] = metadata.ino().into();
    json["identity"]["changed_seconds"] = metadata.ctime().into();
    json["identity"]["changed_nanoseconds"] = metadata.ctime_nsec().into();
    publish(record, json.to_string().as_bytes());
}

static STATE: LazyLock<State> = LazyLock::new(|| State::baked(&[]));
/// A record that this user made with the same key, for another image.
static OTHER_RECORD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let seed = tempfile::NamedTempFile::new().expect("a file");
    fs::write(seed.path(), b"seed").expect("written");
    let input = format!("seed={}", seed.path().display());
    let other = State::baked(&["--input", &input]);
    other.restore();
    fs::read(other.file("identity")).expect("readable")
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_is_done_to_a_file_is_found(
        tampering in prop::sample::select(&Tampering::ALL[..]),
        at: Index,
        xor in 1..=u8::MAX,
    ) {
        STATE.restore();
        let expected = tampering.apply(&STATE, &OTHER_RECORD, at, xor);
        let check = STATE.check();
        match expected {
            Expected::Refused => prop_assert!(matches!(check, Err(Miss::Unfit(_))), "{:?}", check),
            Expected::Hashed(reason) => {
                let Ok(NativeCheck::Full(why)) = check else { panic!("not hashed: {check:?}") };
                prop_assert_eq!(why.name(), reason);
            }
        }
    }
}

#[test]
fn a_file_that_changed_a_moment_ago_has_no_record() {
    let state = State::baked(&[]);
    assert_eq!(state.check(), Ok(NativeCheck::Full(WhyFull::NoRecord)));
    // Whoever writes within the same tick of the clock leaves the change time as it is.
    let metadata = fs::metadata(state.file("cwasm")).expect("there");
    let changed = SystemTime::UNIX_EPOCH
        + Duration::new(
            metadata.ctime().unsigned_abs(),
            u32::try_from(metadata.ctime_nsec()).expect("less than a second"),
        );
    for now in [changed - Duration::from_secs(5), changed, changed + Duration::from_secs(1)] {
        let early = state.confirm(now);
        assert!(matches!(early, Confirmed::Unrecorded(Unrecorded::TooNew { .. })), "{early:?}");
        assert_eq!(state.check(), Ok(NativeCheck::Full(WhyFull::NoRecord)));
    }
    assert!(matches!(state.confirm(later()), Confirmed::Recorded));
    assert_eq!(state.check(), Ok(NativeCheck::Identity));
    assert!(matches!(state.confirm(later()), Confirmed::Known));
}

#[test]
fn the_full_check_heeds_no_record_and_makes_none() {
    let state = State::baked(&[]);
    state.restore();
    let cache = state.cache().with_check(CheckMode::Full);
    let image = cache.find(&state.engine, &state.image).expect("native code");
    assert_eq!(image.check, NativeCheck::Full(WhyFull::Setting));
    assert!(cache.take_confirmations().is_empty());
}

#[test]
fn a_server_records_the_identity_and_the_next_one_reads_nothing() {
    let state = State::baked(&[]);
    let check = |arguments: &[&str]| {
        let mut serve = snapback();
        serve.args(["serve", "fixtures", "--state-dir"]).arg(state.dir.path()).args(arguments);
        let server = Server::of(&mut serve);
        let image = server.get("/v1/status").json()["images"][0].clone();
        let metrics = server.get("/metrics").text();
        let counted = metrics.lines().find(|line| line.starts_with("snapback_native_checks_total{"));
        let counted = counted.expect("counted").to_owned();
        (server, image["native_check"].clone(), image["native_check_reason"].clone(), counted)
    };
    let (server, name, reason, counted) = check(&[]);
    assert_eq!((name.as_str(), reason.as_str()), (Some("full"), Some("no record")));
    assert!(counted.contains(r#"check="full",reason="no-record""#), "{counted}");
    until("the identity is recorded", || file(state.dir.path(), "identity").is_some());
    drop(server);
    let (server, name, reason, counted) = check(&[]);
    assert_eq!((name.as_str(), reason.is_null()), (Some("identity"), true));
    assert!(counted.contains(r#"check="identity",reason="""#), "{counted}");
    assert_eq!(server.post("/v1/methods/echo", b"on").ok(), b"on");
    drop(server);
    let (_server, name, reason, _) = check(&["--native-check", "full"]);
    assert_eq!((name.as_str(), reason.as_str()), (Some("full"), Some("native.check is full")));
}
