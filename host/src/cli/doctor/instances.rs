//! Checks instances with the engine, the pool and an image of a server: how many fit, whether copy-on-write holds, how
//! long a fresh one takes.
//!
//! Invariant: what is measured is what serves: a baked image, its native code mapped from the file system of the state
//! directory, and a pool of the size that the settings give.

use super::{
    accounts::{meminfo_bytes, private_dirty_bytes},
    check::Check,
    scratch::Scratch,
};
use crate::{
    config::Config,
    ids::GenerationId,
    instance::{Fault, Generation, Instance},
};
use anyhow::Context as _;
use bytesize::ByteSize;
use snapback_abi::EXPORT_MEMORY;
use snapback_snapshot::{
    BakeEnvironment, BakeLimits, CopyOnWrite, Guest, ImageStore, LoadedImage, MEMORY_BYTES_MAX, NativeCache,
    Origin, Portion, Progress, Stage, bake, engine,
    imports::{self, GuestState},
    proof_systems::ProofSystems,
};
use std::{
    fs, io,
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::{Engine, Memory, Store};

/// The embedded guest that is baked: a small one, with a table that its initialiser makes.
const GUEST: &str = "fixtures";
/// Instances that are made to measure one.
const ROUNDS: usize = 500;
/// Instances that exist at once to count their mappings.
const HELD: u32 = 16;
/// Mappings of a server beside those of its instances: libraries, threads, heaps, native code.
const OTHER_MAPPINGS: u64 = 2048;
/// Time of a fresh instance above which something slows the kernel down.
const FRESH_MAX: Duration = Duration::from_micros(100);

/// Makes the checks of this family.
pub(super) fn checks(scratch: &Scratch, config: &Config, systems: &ProofSystems) -> Vec<Check> {
    let instances_max = config.lane_config().instances_max(1);
    let before_bytes = address_space_bytes();
    let engine = match engine(instances_max) {
        Ok(engine) => engine,
        Err(error) => {
            return vec![Check::error(
                "instances.address_space",
                format!("no room for {instances_max} instances: {error}"),
                "run without a limit on address space (ulimit -v), or lower `lanes` or `standby.max`",
            )];
        }
    };
    let reserved_bytes = address_space_bytes().saturating_sub(before_bytes);
    let mut checks = vec![Check::ok(
        "instances.address_space",
        format!("{} reserved for {instances_max} instances of one image", size(reserved_bytes)),
    )];
    let begun = Instant::now();
    match image(&engine, scratch, config, systems) {
        Ok(image) => {
            checks.push(made(&image.origin, begun.elapsed()));
            checks.extend(measured(image, instances_max));
        }
        Err(error) => checks.push(Check::error(
            "instances.image",
            format!("an image cannot be baked, compiled and mapped: {error:#}"),
            "keep `state_dir` on a disk that is not mounted noexec, and let the server make pages executable (no \
             MemoryDenyWriteExecute=)",
        )),
    }
    checks
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// Addresses that this process has mapped or reserved, in bytes.
fn address_space_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    meminfo_bytes(&status, "VmSize").unwrap_or(0)
}

/// Bakes the guest in the scratch directory and maps its native code.
fn image(
    engine: &Engine,
    scratch: &Scratch,
    config: &Config,
    systems: &ProofSystems,
) -> anyhow::Result<LoadedImage> {
    let guest = Guest::find(GUEST).context("the program has no guest to try")?;
    let state = scratch.path().join("state");
    let store = ImageStore::open(&state)?;
    let limits = BakeLimits::default();
    let key = scratch.path().join("key/native.key");
    let cache = NativeCache::open(&state, &key, limits.memory_bytes_max).with_mode(config.native_cache);
    let environment = BakeEnvironment { store: &store, cache: &cache, systems, limits: &limits };
    let progress: Arc<dyn Progress> = Arc::new(Unwatched);
    let baked = bake(environment, guest, &[], &progress)?;
    Ok(cache.load(engine, &store.open_image(&baked.digest)?)?)
}

/// Progress that nobody watches.
struct Unwatched;

impl Progress for Unwatched {
    fn stage(&self, _: Stage) {}
    fn portion(&self, _: Stage, _: Portion) {}
    fn log(&self, _: &str) {}
}

fn made(origin: &Origin, elapsed: Duration) -> Check {
    let name = "instances.image";
    let time = humantime::format_duration(Duration::from_millis(elapsed.as_millis() as u64));
    match origin {
        Origin::Cached | Origin::Compiled(_) => {
            Check::ok(name, format!("baked, compiled and mapped from the cache in {time}"))
        }
        Origin::Memory(_) => Check::warning(
            name,
            format!("baked and compiled into memory in {time}"),
            "let native code be kept (`native.cache`, `native.key_file`): each start compiles otherwise",
        ),
    }
}

fn measured(image: LoadedImage, instances_max: u32) -> Vec<Check> {
    let failed = |name, error: &dyn std::fmt::Display| {
        let advice = "look at the kernel's log: an instance that a server needs cannot be made here";
        Check::error(name, format!("an instance cannot be made: {error}"), advice)
    };
    let isolation = match isolation(&image) {
        Ok(isolation) => copy_on_write(&isolation),
        Err(error) => failed("instances.copy_on_write", &format!("{error:#}")),
    };
    let generation = match Generation::new(GenerationId::FIRST, image) {
        Ok(generation) => Arc::new(generation),
        Err(error) => return vec![isolation, failed("instances.fresh", &error)],
    };
    let fresh = match fresh_times(&generation) {
        Ok(times) => fresh(&times),
        Err(error) => failed("instances.fresh", &error),
    };
    let mapped = match mappings_of_one(&generation, HELD.min(instances_max)) {
        Ok(each) => {
            let allowed = fs::read_to_string("/proc/sys/vm/max_map_count");
            mappings(each, instances_max, allowed.ok().and_then(|count| count.trim().parse().ok()))
        }
        Err(error) => failed("instances.mappings", &format!("{error:#}")),
    };
    vec![isolation, fresh, mapped]
}

/// What two instances of one image have in common after one of them wrote.
struct Isolation {
    engine: CopyOnWrite,
    /// Whether the other instance still has the contents of the image.
    is_kept: bool,
    /// Private memory that the write took, in bytes.
    written_bytes: u64,
}

/// State of the stores of instances that are looked at and never called.
struct Nothing;

impl GuestState for Nothing {}

/// Makes two instances, writes one byte in a page of the first that the image fills, and looks at both.
fn isolation(image: &LoadedImage) -> anyhow::Result<Isolation> {
    let failed = |error: wasmtime::Error| anyhow::Error::msg(format!("{error:#}"));
    let engine = image.copy_on_write()?;
    let linker = imports::contract::<Nothing>(image.module.engine()).map_err(failed)?;
    let instantiate = || -> anyhow::Result<(Store<Nothing>, Memory)> {
        let mut store = Store::new(image.module.engine(), Nothing);
        let instance = linker.instantiate(&mut store, &image.module).map_err(failed)?;
        let memory = instance.get_memory(&mut store, EXPORT_MEMORY).context("the image has no memory")?;
        Ok((store, memory))
    };
    let (mut writer, written) = instantiate()?;
    let (reader, read) = instantiate()?;
    let at = read.data(&reader).iter().position(|byte| *byte != 0).context("the image is empty")?;
    let original = read.data(&reader)[at];
    let before_bytes = dirty_bytes(written.data(&writer))?;
    written.data_mut(&mut writer)[at] = !original;
    let written_bytes = dirty_bytes(written.data(&writer))?.saturating_sub(before_bytes);
    Ok(Isolation { engine, is_kept: read.data(&reader)[at] == original, written_bytes })
}

/// Private memory behind these bytes that was written, in bytes.
fn dirty_bytes(memory: &[u8]) -> io::Result<u64> {
    let start = memory.as_ptr().addr() as u64;
    let smaps = fs::read_to_string("/proc/self/smaps")?;
    Ok(private_dirty_bytes(&smaps, &(start..start + memory.len() as u64)))
}

fn copy_on_write(isolation: &Isolation) -> Check {
    let name = "instances.copy_on_write";
    let page_bytes = rustix::param::page_size() as u64;
    let written = size(isolation.written_bytes);
    if !isolation.is_kept {
        return Check::error(
            name,
            "an instance sees what another one wrote",
            "do not serve on this machine, and report it: instances are not separate",
        );
    }
    match isolation.engine {
        CopyOnWrite::Mapped { bytes } if isolation.written_bytes == page_bytes => {
            let mapped = size(bytes);
            Check::ok(name, format!("holds: {mapped} mapped, and one written byte takes {written}"))
        }
        CopyOnWrite::Mapped { .. } => Check::warning(
            name,
            format!("one written byte takes {written}, not a page"),
            "switch huge pages for files off (transparent_hugepage): instances take more memory than they write",
        ),
        CopyOnWrite::Nothing | CopyOnWrite::Copied => Check::error(
            name,
            "lost: every instance copies its memory",
            "let the server map files privately: keep `state_dir` on a local disk",
        ),
    }
}

/// Makes and drops instances one after another, and returns how long each took to make, in order of length.
fn fresh_times(generation: &Arc<Generation>) -> Result<Vec<Duration>, Fault> {
    let times = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        let instance = Instance::instantiate(generation, MEMORY_BYTES_MAX)?;
        let elapsed = begun.elapsed();
        drop(instance);
        Ok(elapsed)
    });
    let mut times = times.collect::<Result<Vec<_>, Fault>>()?;
    times.sort_unstable();
    Ok(times)
}

fn fresh(times: &[Duration]) -> Check {
    let name = "instances.fresh";
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    let (median, late) = (at(50), at(99));
    let show = |time: Duration| format!("{:.1} us", time.as_secs_f64() * 1e6);
    let found =
        format!("{} in the middle, {} for the slowest 1 %, of {}", show(median), show(late), times.len());
    if median <= FRESH_MAX {
        Check::ok(name, found)
    } else {
        Check::warning(
            name,
            found,
            "look for what slows system calls and page faults down: a tracer, a seccomp filter, nested virtualisation",
        )
    }
}

/// Returns the number of mappings that one instance has, rounded up.
fn mappings_of_one(generation: &Arc<Generation>, held: u32) -> anyhow::Result<u64> {
    let count = || fs::read_to_string("/proc/self/maps").map(|maps| maps.lines().count() as u64);
    let before = count()?;
    let instances = (0..held)
        .map(|_| Instance::instantiate(generation, MEMORY_BYTES_MAX))
        .collect::<Result<Vec<_>, _>>()?;
    let after = count()?;
    // One slot of the pool keeps the mappings of the instances that were measured before.
    Ok(after.saturating_sub(before).div_ceil(instances.len().saturating_sub(1).max(1) as u64))
}

fn mappings(each: u64, instances_max: u32, allowed: Option<u64>) -> Check {
    let name = "instances.mappings";
    let wanted = each.saturating_mul(u64::from(instances_max)).saturating_add(OTHER_MAPPINGS);
    match allowed {
        Some(allowed) if allowed < wanted => Check::warning(
            name,
            format!("vm.max_map_count = {allowed}, and {instances_max} instances may want {wanted}"),
            format!("sysctl vm.max_map_count={wanted}, or lower `lanes` or `standby.max`"),
        ),
        Some(allowed) => {
            Check::ok(name, format!("{each} for an instance, {wanted} wanted, {allowed} allowed"))
        }
        None => Check::ok(name, format!("{each} for an instance, {wanted} wanted; the limit is unknown")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};

    fn isolated(engine: CopyOnWrite, is_kept: bool, pages: u64) -> Verdict {
        let written_bytes = pages * rustix::param::page_size() as u64;
        copy_on_write(&Isolation { engine, is_kept, written_bytes }).verdict()
    }

    #[test]
    fn instances_that_share_what_they_write_or_copy_it_all_are_errors() {
        let mapped = CopyOnWrite::Mapped { bytes: 1 << 20 };
        assert_eq!(isolated(mapped, true, 1), Verdict::Ok);
        assert_eq!(isolated(mapped, true, 512), Verdict::Warning);
        assert_eq!(isolated(mapped, false, 1), Verdict::Error);
        assert_eq!(isolated(CopyOnWrite::Copied, true, 0), Verdict::Error);
    }

    #[test]
    fn slow_instances_and_too_few_mappings_are_warnings() {
        assert_eq!(fresh(&[Duration::from_micros(3); 10]).verdict(), Verdict::Ok);
        assert_eq!(fresh(&[Duration::from_millis(3); 10]).verdict(), Verdict::Warning);
        assert_eq!(mappings(4, 1000, Some(65_530)).verdict(), Verdict::Ok);
        assert_eq!(mappings(4, 20_000, Some(65_530)).verdict(), Verdict::Warning);
    }
}
