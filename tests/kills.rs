//! A server that is killed at any moment: what it has acknowledged is there after the next start, what it has accepted
//! goes on, and nothing piles up in its state directory.

mod harness;
#[path = "harness/known.rs"]
mod known;

use chacha20::ChaCha20Rng;
use harness::{
    Server,
    circuits::{done, put, serve, squares::squares, verifies_natively},
    run_err, snapback,
};
use known::{BASE, Known, SIZES};
use rand_core::{Rng, SeedableRng};
use rustix::process::Signal;
use snapback_snapshot::Digest;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, SystemTime},
};

/// How often the server is killed.
const ROUNDS: u64 = 20;
/// Rounds after which everything that was accepted is waited for, and proven.
const SETTLED_EVERY: u64 = 5;
/// Kills a server after a number of steps.
struct Steps<'a> {
    server: &'a Server,
    left: AtomicUsize,
}

impl Steps<'_> {
    fn step(&self) {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1) {
            self.server.signal(Signal::KILL);
        }
    }
}

/// Every file of a state directory, as a path in it.
fn files(state: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut dirs = vec![state.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(state).expect("a path in it");
                found.insert(name.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found
}

fn is_temporary(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|name| name.starts_with(".tmp-"))
}

/// Whether a file has a name that docs/circuits.md, docs/jobs.md and the stores give it.
fn is_known(name: &str) -> bool {
    let is_digest = |name: &str| name.parse::<Digest>().is_ok();
    match name.rsplit_once('/').expect("no file lies in the state directory itself") {
        ("images", file) => file.strip_suffix(".wasm").is_some_and(is_digest),
        ("bakes" | "circuits/plonk/files", file) => is_digest(file),
        ("native", file) => file.split_once('-').is_some_and(|(digest, _)| is_digest(digest)),
        ("srs", file) => file.rsplit_once('-').is_some_and(|(_, digest)| is_digest(digest)),
        ("circuits/plonk", file) => ["catalogue.json", "lock"].contains(&file),
        ("audit", file) => file == "audit.jsonl",
        ("jobs", file) => file == "lock" || file.starts_with("jobs.sqlite"),
        _ => false,
    }
}

/// Makes temporary files of a killed writer so old that no writer can live any more.
fn age_temporary(state: &Path) {
    let long_ago = SystemTime::now() - Duration::from_hours(2);
    for name in files(state).iter().filter(|name| is_temporary(name)) {
        let file = File::open(state.join(name)).expect("the test owns it");
        file.set_modified(long_ago).expect("the test owns it");
    }
}

#[test]
fn what_a_killed_server_acknowledged_is_there_after_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path();
    let sizes: BTreeMap<Digest, u32> =
        [BASE.1].into_iter().chain(SIZES).map(|size| (Digest::of(&squares(size, 3).0), size)).collect();
    let mut known = Known::default();
    let mut server = serve(state, &[]);
    // Two generations, so that there is another one to activate.
    known.add(&server, BASE.0, BASE.1);
    known.add(&server, "a", SIZES[0]);
    for round in 0..ROUNDS {
        let mut rng = ChaCha20Rng::seed_from_u64(round);
        let activates = round % SETTLED_EVERY == 0;
        // Half of the kills come after an answer, the others when a file appears: amid a request or a bake.
        let by_files = round % 2 == 1;
        // The first file that an activation writes is the last one too.
        let steps_max = if activates {
            1
        } else if by_files {
            6
        } else {
            12
        };
        let steps =
            Steps { server: &server, left: AtomicUsize::new(1 + rng.next_u32() as usize % steps_max) };
        let has_ended = AtomicBool::new(false);
        thread::scope(|scope| {
            if by_files {
                let mut before = files(state);
                let (steps, has_ended) = (&steps, &has_ended);
                scope.spawn(move || {
                    while !has_ended.load(Ordering::SeqCst) {
                        let now = files(state);
                        now.difference(&before).for_each(|_| steps.step());
                        before.extend(now);
                    }
                });
            }
            if activates {
                known.activate(&server, &mut rng);
            } else {
                known.change(&server, &mut rng, || {
                    if !by_files {
                        steps.step()
                    }
                });
            }
            has_ended.store(true, Ordering::SeqCst);
        });
        // Everything may have ended before all steps were taken.
        if steps.left.load(Ordering::SeqCst) > 0 {
            server.signal(Signal::KILL);
        }
        let (status, log) = server.wait();
        assert!(!status.success() && !log.contains("please report"), "{log}");

        age_temporary(state);
        let abandoned: BTreeSet<String> =
            files(state).into_iter().filter(|name| is_temporary(name)).collect();
        server = serve(state, &[]);
        known.compare(&server, &sizes);
        // Those of native code are removed when more of it is stored.
        let stay: Vec<String> = files(state)
            .intersection(&abandoned)
            .filter(|name| !name.starts_with("native/"))
            .cloned()
            .collect();
        assert!(stay.is_empty(), "{stay:?} of killed writers stay");
        if (round + 1) % SETTLED_EVERY == 0 {
            known.settle(&server);
        }
    }

    // A last bake sweeps everything, and then only known names are left.
    known.add(&server, "last", SIZES[1]);
    let now = files(state);
    let unknown: Vec<&String> = now.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let in_dir = |dir: &str| now.iter().filter(|name| name.starts_with(dir)).count();
    // The circuits that were ever sent have three different files.
    assert!(in_dir("circuits/plonk/files/") <= 1 + SIZES.len(), "{now:?}");
    let generations = server.get("/v1/generations").json();
    let named: BTreeSet<String> = generations["generations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|generation| format!("images/{}.wasm", generation["image"].as_str().expect("a digest")))
        .collect();
    let nameless = now.iter().filter(|name| name.starts_with("images/") && !named.contains(*name)).count();
    // A server that is killed after its bake has stored an image and before the catalogue names it bakes another one if
    // more changes have come meanwhile, and the first image stays. It is one for each kill, and never more.
    assert!(nameless <= ROUNDS as usize, "{nameless} images that nothing names: {now:?}");
    // Native code goes with its image.
    for code in now.iter().filter_map(|name| name.strip_prefix("native/")) {
        let image = code.split_once('-').expect("a known name").0;
        assert!(now.contains(&format!("images/{image}.wasm")), "the image of {code} is gone");
    }
}

#[test]
fn a_second_server_leaves_the_first_one_unharmed_and_takes_over_once_that_was_killed() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path();
    let first = serve(state, &[]);
    let (r1cs, witness) = squares(BASE.1, 3);
    let accepted = put(&first, "/v1/circuits/base", &[("r1cs", &r1cs)]);

    // A second server that swept or rebuilt anything would harm the change that is under way.
    let mut second = snapback();
    second.args(["serve", "plonk", "--listen", "127.0.0.1:0", "--state-dir"]).arg(state);
    let message = run_err(&mut second, 1);
    let circuits = state.join("circuits/plonk");
    assert!(message.contains("another server keeps the circuits in"), "{message}");
    assert!(message.contains(&circuits.display().to_string()), "{message}");
    assert_eq!(done(&first, &accepted), 2);
    verifies_natively(&r1cs, &first.post("/v1/circuits/base/prove", &witness).ok());
    // It says so again while nothing is under way.
    run_err(&mut second, 1);
    verifies_natively(&r1cs, &first.post("/v1/circuits/base/prove", &witness).ok());

    // The kernel gives the lock back, whatever became of its holder: there is no file to remove by hand.
    first.signal(Signal::KILL);
    first.wait();
    let second = serve(state, &[]);
    assert_eq!(second.get("/v1/generations").json()["active"], 2);
    verifies_natively(&r1cs, &second.post("/v1/circuits/base/prove", &witness).ok());
    second.stop();
}
