//! The history, with times that the tests choose.

use super::*;

const NONE: Troubles = Troubles {
    lost: 0,
    rejected: 0,
    growth_refused: 0,
    swaps_put_off: 0,
    swaps_refused: 0,
    standby_failures: 0,
    changes_failed: 0,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn what_happens_is_in_the_bucket_of_its_time() {
    let (history, begun) = (History::default(), Instant::now());
    history.sample(begun, 3, NONE);
    history.count(Duration::from_millis(8), Ended::Well);
    history.count(Duration::from_millis(8), Ended::Refused);
    history.sample(begun + seconds(9), 1, NONE);
    history.sample(begun + seconds(10), 0, Troubles { rejected: 2, ..NONE });
    history.count(seconds(2), Ended::Failed);
    history.swapped();
    history.sample(begun + seconds(12), 7, Troubles { rejected: 5, ..NONE });
    let view = history.view(begun + seconds(14), Troubles { rejected: 5, ..NONE });
    assert_eq!((view.calls, view.refused, view.failed), (vec![2, 1], vec![1, 0], vec![0, 1]));
    assert_eq!((view.queue_max, view.swaps, view.rejected), (vec![3, 7], vec![0, 1], vec![2, 3]));
    assert!((view.last_seconds - 4.0).abs() < 1e-9, "{}", view.last_seconds);
    let middle = |ms: u64| Some(middle_ms(step(Duration::from_millis(ms))));
    assert_eq!(view.p50_ms, [middle(8), middle(2000)]);
}

#[test]
fn an_hour_is_kept_and_no_more() {
    let (history, begun) = (History::default(), Instant::now());
    for bucket in 0..1000 {
        history.sample(begun + seconds(10 * bucket), 0, NONE);
        history.swapped();
    }
    let view = history.view(begun + seconds(9990), NONE);
    assert_eq!((view.calls.len(), view.swaps), (BUCKETS, vec![1; BUCKETS]));
}

#[test]
fn samples_that_come_late_leave_empty_buckets() {
    let (history, begun) = (History::default(), Instant::now());
    history.sample(begun, 0, NONE);
    history.swapped();
    history.sample(begun + seconds(39), 0, NONE);
    history.swapped();
    assert_eq!(history.view(begun + seconds(39), NONE).swaps, [1, 0, 0, 1]);
    // Longer than the hour that is kept, as when a machine was asleep.
    history.sample(begun + seconds(1_000_000), 0, NONE);
    let view = history.view(begun + seconds(1_000_000), NONE);
    assert_eq!((view.swaps.len(), view.swaps.iter().sum::<u64>()), (BUCKETS, 0));
}

#[test]
fn quantiles_are_an_eighth_from_the_truth_at_most() {
    for us in
        (0..36).flat_map(|octave| [0, 1, 2, 3].map(|part| (4 + part) << octave >> 2)).filter(|us| *us > 0)
    {
        let middle = middle_ms(step(Duration::from_micros(us))) * 1e3;
        assert!((middle / us as f64 - 1.0).abs() <= 0.126, "{us}: {middle}");
    }
    assert_eq!(step(Duration::MAX), STEPS - 1);
    let mut steps = [0; STEPS];
    assert_eq!(quantile_ms(&steps, 99), None);
    (steps[40], steps[80]) = (99, 1);
    assert_eq!(
        (quantile_ms(&steps, 50), quantile_ms(&steps, 99)),
        (Some(middle_ms(40)), Some(middle_ms(40)))
    );
    steps[80] = 2;
    assert_eq!(quantile_ms(&steps, 99), Some(middle_ms(80)));
}
