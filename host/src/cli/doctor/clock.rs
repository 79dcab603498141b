//! Checks the clocks: deadlines use the monotonic one, and times of jobs the wall clock.
//!
//! Invariant: clocks are read and never set.

use super::{
    adjtimex::{self, Synchronisation},
    check::Check,
};
use rustix::time::{ClockId, clock_getres};
use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Resolution above which times of instances and calls, which take microseconds, cannot be told.
const RESOLUTION_MAX: Duration = Duration::from_micros(1);
/// The beginning of 2026. This program is younger, so a wall clock before it is wrong.
const PROGRAM_IS_YOUNGER_THAN: Duration = Duration::from_secs(1_767_225_600);
/// Where the kernel names the hardware that it reads the time from.
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// Sources that take a system call and a slow device for each reading.
const SLOW_SOURCES: [&str; 4] = ["acpi_pm", "hpet", "jiffies", "refined-jiffies"];

/// Makes the checks of this family.
pub(super) fn checks() -> Vec<Check> {
    let source = fs::read_to_string(SOURCE).ok();
    let resolution = clock_getres(ClockId::Monotonic);
    let nanoseconds = Duration::new(
        u64::try_from(resolution.tv_sec).unwrap_or(u64::MAX),
        u32::try_from(resolution.tv_nsec).unwrap_or(0),
    );
    vec![
        monotonic(nanoseconds),
        source_check(source.as_deref().map(str::trim)),
        wall(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
        synchronised(adjtimex::synchronisation().ok()),
    ]
}

fn monotonic(resolution: Duration) -> Check {
    let name = "clock.monotonic";
    let found = format!("resolution {}", humantime::format_duration(resolution));
    if resolution <= RESOLUTION_MAX {
        Check::ok(name, found)
    } else {
        Check::warning(
            name,
            found,
            "boot the kernel with high-resolution timers: times in metrics are coarse otherwise",
        )
    }
}

fn source_check(source: Option<&str>) -> Check {
    let name = "clock.source";
    match source {
        Some(source) if SLOW_SOURCES.contains(&source) => Check::warning(
            name,
            format!("{source}, which is slow to read"),
            "choose tsc or the hypervisor's clock (kernel parameter clocksource=): every call reads the time",
        ),
        Some(source) => Check::ok(name, source),
        None => Check::ok(name, "unknown: the kernel does not name it here"),
    }
}

fn wall(since_epoch: Duration) -> Check {
    let name = "clock.wall";
    let found = humantime::format_rfc3339_seconds(UNIX_EPOCH + since_epoch).to_string();
    if since_epoch >= PROGRAM_IS_YOUNGER_THAN {
        Check::ok(name, found)
    } else {
        Check::error(
            name,
            format!("{found}, before this program was made"),
            "set the clock: jobs would expire, and be kept, at wrong times",
        )
    }
}

fn synchronised(state: Option<Synchronisation>) -> Check {
    let name = "clock.synchronised";
    match state {
        Some(Synchronisation::Kept { error_us_max }) => {
            Check::ok(name, format!("yes, within {} ms", error_us_max.max(0).cast_unsigned().div_ceil(1000)))
        }
        Some(Synchronisation::Free) => Check::warning(
            name,
            "no service keeps the wall clock",
            "run systemd-timesyncd, chrony or ntpd, unless the hypervisor sets the clock: jobs expire by it",
        ),
        None => Check::ok(name, "unknown: this process may not ask the kernel"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};

    #[test]
    fn a_clock_from_before_the_program_is_an_error() {
        assert_eq!(wall(Duration::ZERO).verdict(), Verdict::Error);
        assert!(wall(Duration::ZERO).found().starts_with("1970-01-01T00:00:00Z"));
        assert_eq!(wall(PROGRAM_IS_YOUNGER_THAN).verdict(), Verdict::Ok);
        assert_eq!(wall(PROGRAM_IS_YOUNGER_THAN).found(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn coarse_slow_and_free_clocks_are_warnings() {
        assert_eq!(monotonic(Duration::from_nanos(1)).verdict(), Verdict::Ok);
        assert_eq!(monotonic(Duration::from_millis(4)).verdict(), Verdict::Warning);
        assert_eq!(source_check(Some("tsc")).verdict(), Verdict::Ok);
        assert_eq!(source_check(Some("hpet")).verdict(), Verdict::Warning);
        assert_eq!(synchronised(Some(Synchronisation::Free)).verdict(), Verdict::Warning);
        let kept = synchronised(Some(Synchronisation::Kept { error_us_max: 1500 }));
        assert_eq!((kept.verdict(), kept.found()), (Verdict::Ok, "yes, within 2 ms"));
    }

    #[test]
    fn the_kernel_answers_about_its_clock() {
        // Whatever it answers: the call itself must work, or be refused.
        match adjtimex::synchronisation() {
            Ok(Synchronisation::Kept { error_us_max }) => assert!(error_us_max >= 0),
            Ok(Synchronisation::Free) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
        }
    }
}
