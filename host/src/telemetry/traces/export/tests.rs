//! Tests of the queue and its thread, with a collector that the test is.

use super::*;
use crate::telemetry::traces::{Kind, Roots, Status};

/// A collector that tells the test of each request, and answers what the test says.
struct Told {
    asked: Sender<usize>,
    answers: Receiver<Delivery>,
}

impl Collector for Told {
    fn send(&mut self, request: &[u8], timeout: Duration) -> Delivery {
        let _ = self.asked.send(request.len());
        self.answers.recv_timeout(timeout).unwrap_or(Delivery::Later { after: None, reason: "late".into() })
    }
}

struct Exporting {
    traces: Traces,
    exporter: Exporter,
    asked: Receiver<usize>,
    answers: Sender<Delivery>,
    metrics: Arc<Metrics>,
}

const LONG: Duration = Duration::from_hours(1);

fn start(queue_max: usize, pace: Pace) -> Exporting {
    let (asked, requests) = bounded(99);
    let (answers, answered) = bounded(99);
    let metrics = Arc::<Metrics>::default();
    let settings = ExportSettings {
        service_name: "test".into(),
        sample: SampleShare::ALL,
        queue_max,
        timeout: LONG,
        pace,
    };
    let collector = Box::new(Told { asked, answers: answered });
    let (traces, exporter) = Exporter::start(collector, settings, &metrics).expect("a thread");
    Exporting { traces, exporter, asked: requests, answers, metrics }
}

fn at_once(tries: u32) -> Pace {
    Pace { linger: Duration::ZERO, pause_min: Duration::ZERO, pause_max: Duration::ZERO, tries }
}

fn record(traces: &Traces, spans: usize) {
    let now = Instant::now();
    let trace = traces.begin(None, None, Roots::Sampled);
    (0..spans).for_each(|_| trace.end(Kind::Server, (now, now), Status::Unset, || ("s".into(), Vec::new())));
}

fn count(metrics: &Metrics, outcome: &str) -> u64 {
    let text = String::from_utf8(metrics.render()).expect("text");
    let line = format!("snapback_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let found = text.lines().find_map(|found| found.strip_prefix(&*line));
    found.expect("counted from the start").parse().expect("a number")
}

fn later() -> Delivery {
    Delivery::Later { after: None, reason: "busy".into() }
}

#[test]
fn spans_are_sent_and_what_becomes_of_them_is_counted() {
    let Exporting { traces, exporter, asked, answers, metrics } = start(99, at_once(2));
    for (answer, tries) in [
        (vec![Delivery::Taken { rejected: 0 }], 1),
        (vec![Delivery::Refused { reason: "400".into() }], 1),
        (vec![later(), later()], 2),
        (vec![later(), Delivery::Taken { rejected: 99 }], 2),
    ] {
        answer.into_iter().for_each(|answer| answers.send(answer).expect("it listens"));
        record(&traces, 1);
        (0..tries).for_each(|_| assert!(asked.recv().expect("a request") > 0));
    }
    exporter.stop(LONG);
    for (outcome, spans) in [("exported", 1), ("refused", 2), ("failed", 1), ("queue_full", 0)] {
        assert_eq!(count(&metrics, outcome), spans, "{outcome}");
    }
}

#[test]
fn a_collector_that_hangs_costs_spans_and_nobody_waits() {
    let Exporting { traces, exporter, asked, answers, metrics } = start(3, at_once(1));
    record(&traces, 1);
    asked.recv().expect("the thread waits for the collector");
    record(&traces, 10);
    assert_eq!(count(&metrics, "queue_full"), 7, "three wait");
    (0..4).for_each(|_| answers.send(Delivery::Taken { rejected: 0 }).expect("it listens"));
    exporter.stop(LONG);
    assert_eq!(count(&metrics, "exported"), 4);
    drop(answers);
}

#[test]
fn stopping_ends_pauses_and_sends_what_waits() {
    let pace = Pace { linger: LONG, pause_min: LONG, pause_max: LONG, tries: 5 };
    let Exporting { traces, exporter, asked, answers, metrics } = start(600, pace);
    // A whole batch goes at once; the rest lingers.
    for answer in [later(), later(), Delivery::Taken { rejected: 0 }] {
        answers.send(answer).expect("it listens");
    }
    record(&traces, BATCH_MAX + 1);
    asked.recv().expect("the batch");
    exporter.stop(LONG);
    assert_eq!(asked.try_iter().count(), 2, "the batch once more, and the rest");
    assert_eq!((count(&metrics, "failed"), count(&metrics, "exported")), (BATCH_MAX as u64, 1));
}

#[test]
fn stopping_without_time_leaves_a_hanging_collector_behind() {
    let Exporting { traces, exporter, asked, answers, .. } = start(9, at_once(5));
    record(&traces, 1);
    asked.recv().expect("the thread waits for the collector");
    exporter.stop(Duration::ZERO);
    drop(answers);
}

#[test]
fn pauses_double_up_to_a_bound_and_the_collector_may_ask_for_one() {
    let seconds = Duration::from_secs;
    let pause = |failures, after| Pace::default().pause(failures, after);
    let doubled = [1, 2, 3, 4, 5, 6, u32::MAX].map(|failures| pause(failures, None));
    assert_eq!(doubled, [1, 2, 4, 8, 16, 30, 30].map(seconds));
    assert_eq!(pause(1, Some(seconds(7))), seconds(7));
    assert_eq!(pause(1, Some(Duration::MAX)), seconds(30), "a collector does not stop this for good");
}
