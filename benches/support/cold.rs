//! Starts of servers whose images have very different sizes, and of a program that does what `wasmtime run` does.

use super::{
    median, record,
    served::{Served, command},
    target_dir,
};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use wasmtime::{Engine, Instance, Module, Store};

/// Bytes that the large image holds beside the table of the small one.
const LARGE_BYTES: usize = 1_000_000_000;
const ROUNDS: usize = 60;
/// The large image is hashed in every so many rounds, because that takes long.
const FULL_EVERY: usize = 6;
/// Runs of servers whose log is read. They are not timed from outside.
const LOGGED: usize = 25;
/// The argument with which the bench starts itself as the bare program.
const BARE: &str = "--bare-module";
/// Parts of a start in the log of a server.
const PARTS: [&str; 7] =
    ["files_us", "engine_us", "check_us", "map_us", "images_us", "lanes_us", "listener_us"];

/// Whether this process is the bare program; it has run if it is.
pub(crate) fn is_bare() -> bool {
    let is_bare = env::args().nth(1).as_deref() == Some(BARE);
    if is_bare {
        // An engine with the default settings, as the command line of Wasmtime makes one.
        let engine = Engine::default();
        let module = Module::new(&engine, b"\0asm\x01\0\0\0").expect("an empty module");
        let mut store = Store::new(&engine, ());
        Instance::new(&mut store, &module, &[]).expect("an instance");
    }
    is_bare
}

/// A state directory with both images, which are gigabytes and are removed afterwards.
struct State(PathBuf);

impl Drop for State {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl State {
    /// Bakes both images, and returns their digests: the small one first.
    fn baked() -> (Self, [String; 2]) {
        let state = Self(target_dir().join("bench-cold"));
        let _ = fs::remove_dir_all(&state.0);
        fs::create_dir_all(&state.0).expect("a directory");
        let seed = state.0.join("seed");
        write_noise(&seed);
        let input = format!("seed={}", seed.display());
        let digests = [state.bake(&[]), state.bake(&["--input", &input])];
        fs::remove_file(seed).expect("ours");
        (state, digests)
    }

    fn bake(&self, args: &[&str]) -> String {
        let mut bake = Command::new(env!("CARGO_BIN_EXE_snapback"));
        bake.args(["bake", "fixtures", "--state-dir"]).arg(&self.0).arg("--set");
        bake.arg(format!("native.key_file={}", self.0.join("native.key").display()));
        bake.args(["--set", "bake.memory_limit=3GiB", "--set", "bake.image_bytes_max=2GiB"]).args(args);
        let output = bake.stderr(Stdio::inherit()).output().expect("the command runs");
        assert!(output.status.success(), "a bake");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    fn command(&self, image: &str, args: &[&str]) -> Command {
        command(&self.0, image, &[&["--memory-limit", "4GiB"][..], args].concat())
    }

    /// Runs a server until its native code is recorded.
    fn recorded(&self, image: &str) {
        let server = Served::of(&mut self.command(image, &["--log-level", "error"]));
        let is_recorded = || {
            let names = fs::read_dir(self.0.join("native")).expect("a directory").flatten();
            names
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .any(|name| name.starts_with(image) && name.ends_with(".identity"))
        };
        while !is_recorded() {
            thread::sleep(Duration::from_millis(20));
        }
        drop(server);
    }

    /// Time from exec to the first reply.
    fn start(&self, image: &str, check: &str) -> f64 {
        let begun = Instant::now();
        let mut server =
            Served::of(&mut self.command(image, &["--log-level", "error", "--native-check", check]));
        server.post("/v1/methods/echo", b"");
        begun.elapsed().as_secs_f64()
    }

    /// The parts of a start, from the log of a server: names without the unit, and seconds.
    fn parts(&self, image: &str) -> BTreeMap<String, f64> {
        let begun = Instant::now();
        let mut server = self.command(image, &["--log-level", "info", "--log-format", "json"]);
        let mut child = server.stderr(Stdio::piped()).spawn().expect("the command runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let log = stderr.lines().map_while(Result::ok).find(|line| line.contains("ready_us"));
        let total = begun.elapsed().as_secs_f64();
        let _ = child.kill();
        let _ = child.wait();
        let log: serde_json::Value = serde_json::from_str(&log.expect("the server starts")).expect("JSON");
        let fields = if log["fields"].is_object() { &log["fields"] } else { &log };
        let seconds = |name: &str| fields[name].as_f64().expect("a part") / 1e6;
        let mut parts: BTreeMap<String, f64> =
            PARTS.iter().map(|name| (name.replace("_us", ""), seconds(name))).collect();
        parts.insert("process".into(), total - seconds("ready_us"));
        parts
    }
}

/// Fills a file with bytes that no page repeats, so that all of it is in the image.
fn write_noise(path: &Path) {
    let mut file = fs::File::create(path).expect("a file");
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let mut piece = vec![0; 1 << 20];
    let mut left = LARGE_BYTES;
    while left > 0 {
        for bytes in piece.chunks_exact_mut(8) {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let len = left.min(piece.len());
        file.write_all(&piece[..len]).expect("written");
        left -= len;
    }
}

fn bare() -> f64 {
    let begun = Instant::now();
    let program = env::current_exe().expect("this program");
    let status = Command::new(program).arg(BARE).status().expect("it runs");
    assert!(status.success());
    begun.elapsed().as_secs_f64()
}

/// Compares the starts in turns, so that other load on the machine affects all alike.
pub(crate) fn compare() {
    let (state, [small, large]) = State::baked();
    state.recorded(&small);
    state.recorded(&large);
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut time = |name, seconds| times.entry(name).or_default().push(seconds);
        time("small_identity", state.start(&small, "identity"));
        time("large_identity", state.start(&large, "identity"));
        time("small_full", state.start(&small, "full"));
        if round % FULL_EVERY == 0 {
            time("large_full", state.start(&large, "full"));
        }
        time("bare", bare());
    }
    let ratio = |over: &str, under: &str| {
        let pairs = times[over].iter().zip(&times[under]);
        median(pairs.map(|(over, under)| over / under).collect())
    };
    record("cold_start_large_over_small", ratio("large_identity", "small_identity"));
    record("cold_start_large_over_bare", ratio("large_identity", "bare"));
    record("cold_start_small_over_bare", ratio("small_identity", "bare"));
    for (name, seconds) in times {
        record(&format!("cold_start_{name}_seconds"), median(seconds));
    }
    let mut parts: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..LOGGED {
        for (size, image) in [("small", &small), ("large", &large)] {
            for (name, seconds) in state.parts(image) {
                parts.entry(format!("cold_start_{size}_part_{name}")).or_default().push(seconds);
            }
        }
    }
    for (name, seconds) in parts {
        record(&name, median(seconds));
    }
}
