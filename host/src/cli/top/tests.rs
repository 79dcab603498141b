//! Frames of a state, at several sizes.

use super::{
    clean::Clean,
    frame,
    job_list::Jobs,
    state::{Loss, Part, State, Update},
    tab::Tab,
    ui::{Mode, Ui},
    view::Theme,
};
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    style::{Color, Modifier},
};
use serde::de::DeserializeOwned;

/// 2026-11-27T12:00:00Z
const NOON_MS: u64 = 1_795_780_800_000;

fn of<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn status(name: &str) -> Update {
    let json = r#"{"at_ms": 1795780800000, "version": "0.1.0", "uptime_seconds": 11520, "state": "ready",
        "images": [{"name": "NAME", "digest": "0123456789abcdef", "generation": 3, "guest": "toy", "circuits": ["a", "b"],
            "breaker": "closed", "policy": {"memory.limit": 100000000, "memory.warn": "70%", "memory.critical": "85%",
            "swap.policy": "threshold", "swap.per_minute_max": 600}}],
        "lanes": {"configured": 2, "at_work": 2}, "queue": {"length": 1, "depth": 64},
        "memory": {"private_resident_bytes": 24000000, "process_limit_bytes": 512000000}, "swaps": {"total": 1204},
        "instances": {"NAME": [
            {"lane": 0, "calls": 1203, "age_seconds": 12.5, "used_bytes": 40000000, "pressure": "calm", "standby": "ready", "standbys_ready": 1},
            {"lane": 1, "calls": null, "used_bytes": 86000000, "pressure": "critical", "standby": "preparing", "standbys_ordered": 1}]},
        "start": {"seconds": 0.02, "target_seconds": 0.05, "native_code": {"cached": 1}}}"#;
    Update::Status(Box::new(of(&json.replace("NAME", name))))
}

/// A server that does a little of everything, and calls its image by that name.
fn sample(name: &str) -> State {
    let mut state = State::new("http://127.0.0.1:8080", NOON_MS);
    let with = |json: &str| json.replace("NAME", name);
    let page = |json: &str| of(&with(json));
    let jobs = Jobs {
        latest: page(
            r#"{"jobs": [
            {"id": "01890a5d-3", "state": "claimed", "image": "NAME", "method": "prove", "circuit": "a", "priority": 5,
             "submitted": "2026-11-27T11:59:00Z", "claimed": "2026-11-27T11:59:50Z", "expected_end": "2026-11-27T12:00:10Z"},
            {"id": "01890a5d-2", "state": "queued", "image": "NAME", "method": "echo", "priority": 9, "place": 1, "submitted": "2026-11-27T11:59:00Z"},
            {"id": "01890a5d-1", "state": "failed", "image": "NAME", "method": "trap", "priority": 5, "submitted": "2026-11-26T11:59:00Z",
             "claimed": "2026-11-27T11:00:00Z", "finished": "2026-11-27T11:00:02Z", "error": {"code": "guest_trapped", "message": "NAME trapped"}}]}"#,
        ),
        ..Jobs::default()
    };
    let updates = [
        status(name),
        Update::History(of(
            r#"{"bucket_seconds": 10, "last_seconds": 5, "calls": [0, 20, 40, 80, 40], "failed": [0, 0, 0, 1, 0],
            "p50_ms": [null, 1.2, 1.2, 2.4, 1.2], "p99_ms": [null, 3.4, 3.4, 9.9, 3.4], "queue_max": [0, 0, 1, 7, 1],
            "swaps": [0, 1, 2, 4, 1], "lost": [0, 0, 1, 0, 0], "growth_refused": [], "swaps_put_off": [0, 0, 0, 9, 0]}"#,
        )),
        Update::Jobs(Part::Known(Box::new(jobs))),
        Update::Circuits(Part::Known(of(&with(
            r#"[{"name": "a", "circuit": "feedfacefeedface", "image": "NAME", "constraints": 12345, "k": 14, "added": {"at": 1795780000}}]"#,
        )))),
        Update::Changes(of(&with(
            r#"[{"id": 7, "image": "NAME", "change": {"add": {"name": "NAME", "entry": {}}}, "state": "baking", "stage": "keys", "percent": 34, "left_s": 12},
                {"id": 6, "image": "NAME", "change": "rebuild", "state": "failed", "reason": "NAME is too large"}]"#,
        ))),
        Update::Generations(of(&with(
            r#"[{"image": "NAME", "active": 3, "generations": [{"id": 2, "image": "99", "created": 1795700000, "circuits": {}, "disk_bytes": 5},
                {"id": 3, "image": "0123456789abcdef", "created": 1795780000, "circuits": {"a": {}, "NAME": {}}, "disk_bytes": 12000000}]}]"#,
        ))),
        Update::SettingChanges(Part::Known(of(&with(
            r#"[{"at_ms": 1795780700000, "image": "NAME", "by": "key NAME", "changed": {"memory.limit": [null, 100000000], "swap.policy": ["off", "NAME"]}}]"#,
        )))),
        Update::Me(of(r#"{"keys": "required", "tenant": "acme", "role": "operator"}"#)),
        Update::Event(of(&with(
            r#"{"at_ms": 1795780790000, "image": "NAME", "lane": 1, "event": "swap-error", "reason": "memory", "error": "NAME"}"#,
        ))),
        Update::Event(of(&with(
            r#"{"at_ms": 1795780799500, "image": "NAME", "lane": 0, "event": "swap-complete", "reason": "memory", "took_us": 41}"#,
        ))),
    ];
    updates.into_iter().for_each(|update| state.apply(update, NOON_MS));
    state
}

fn drawn(ui: &mut Ui, state: &State, (width, height): (u16, u16), theme: Theme) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| frame::draw(frame, ui, state, state, theme)).expect("drawn");
    terminal.backend().buffer().clone()
}

fn rows(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let row = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
    buffer.content.chunks(width.max(1)).map(|cells| row(cells).trim_end().to_owned()).collect()
}

fn text(tab: Tab, state: &State, size: (u16, u16)) -> String {
    rows(&drawn(&mut Ui::new(tab), state, size, Theme::Colours)).join("\n")
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn every_view_shows_what_it_is_for() {
    let state = sample("zcash");
    let now = text(Tab::Now, &state, (120, 60));
    assert_has(&now, &["snapback 0.1.0 · 127.0.0.1:8080", "● ready · up 3 h 12 min · 12:00:00 UTC"]);
    assert_has(&now, &["4/s", "1.20 ms", "99 % 3.40 ms", "of 64", "2 of 2", "24 MB", "of 512 MB", "1,204"]);
    assert_has(&now, &["zcash  toy · generation 3 · image 0123456789 · 2 circuits · swap threshold"]);
    assert_has(&now, &["40 MB of 100 MB", "● standby", "1,203 calls, 12 s"]);
    assert_has(&now, &["86 MB of 100 MB", "○ being made", "no instance", "⇄ 11:59:59 41 µs"]);
    assert_has(
        &now,
        &[
            "CallsLost  calls that were admitted were lost",
            "SwapsPutOff",
            "fires if it lasts another 15 min 0 s",
        ],
    );
    assert_has(&now, &["The last 45 s", "Calls a second", "up to 9.90 ms", "█"]);
    assert_has(&now, &["1 running · 1 queued · 1 failed", "50 %", "baking", "34 %", "12 s left"]);
    assert_has(&now, &["11:59:59  zcash lane 0  swapped (memory) in 41 µs", "put off: zcash"]);

    let jobs = text(Tab::Jobs, &state, (120, 60));
    assert_has(
        &jobs,
        &[
            "running     prove a",
            "queued      echo zcash, priority 9",
            "1 before it",
            "took 2.0 s",
            "2026-11-26 11:59",
        ],
    );
    assert_has(&jobs, &["zcash trapped (guest_trapped)", "01890a5d"]);
    let circuits = text(Tab::Circuits, &state, (120, 60));
    assert_has(&circuits, &["feedfacefe", "12,345 constraints, 2^14", "7: add zcash", "zcash is too large"]);
    assert_has(&circuits, &["zcash, generation 3 is served", "● 3", "a, zcash", "no circuits", "12 MB"]);
    let settings = text(Tab::Settings, &state, (120, 60));
    assert_has(
        &settings,
        &[
            "memory.limit: not set → 100 MB",
            "swap.policy: off → zcash",
            "by key zcash",
            "swap.per_minute_max",
        ],
    );
}

#[test]
fn a_small_terminal_shows_what_matters_most() {
    let state = sample("zcash");
    let medium = text(Tab::Now, &state, (80, 24));
    assert_has(
        &medium,
        &["● ready", "Now  Jobs  Circuits  Settings", "of 512 MB", "86 MB of 100 MB", "q quit", "1 alert"],
    );
    let small = [
        " snapback 0.1.0 ● ready · up 3 h 12 min",
        " Now  Jobs  Circuits  Settings     8/30",
        "",
        " calls 4/s · on a lane 1.20 ms",
        " queue 1 · lanes 2 of 2 · memory 24 MB",
        " swaps 1,204",
        "",
        " Alerts  1 would fire",
        " CallsLost",
        " calls that were admitted were lost",
        " SwapsPutOff",
        " q quit  s swap  ? help         1 alert",
    ];
    assert_eq!(text(Tab::Now, &state, (40, 12)), small.join("\n"));
    for (width, height) in [(40, 12), (20, 5), (10, 3), (3, 2), (1, 1)] {
        for tab in Tab::ALL {
            for mode in [Mode::Browse, Mode::Help, Mode::Swap(1)] {
                let mut ui = Ui::new(tab);
                ui.mode = mode;
                assert_eq!(
                    rows(&drawn(&mut ui, &state, (width, height), Theme::Plain)).len(),
                    usize::from(height)
                );
            }
        }
    }
}

#[test]
fn a_view_scrolls_to_its_end_and_no_further() {
    let state = sample("zcash");
    let mut ui = Ui::new(Tab::Now);
    *ui.scroll() = usize::MAX / 2;
    let end = rows(&drawn(&mut ui, &state, (80, 24), Theme::Colours)).join("\n");
    assert_has(&end, &["put off: zcash"]);
    let last = *ui.scroll();
    assert!(last > 0 && last < 100, "{last}");
    // The lane that a question is about is scrolled to.
    ui.mode = Mode::Swap(1);
    let question = rows(&drawn(&mut ui, &state, (80, 12), Theme::Colours)).join("\n");
    assert_has(&question, &["lane 1", "Swap lane 1 of zcash?  y / n"]);
}

#[test]
fn a_lost_connection_and_a_refused_key_are_said_plainly() {
    let mut state = State::new("http://127.0.0.1:8080", NOON_MS);
    assert_has(&text(Tab::Now, &state, (80, 24)), &["○ connecting", "Waiting for the server."]);
    let refused = || Loss::Unreachable(Clean::new("Connection refused"));
    state.apply(Update::Lost { why: refused(), retry_ms: 3_000 }, NOON_MS);
    assert_has(
        &text(Tab::Now, &state, (80, 24)),
        &["✗ no connection", "Trying again in 3 s.", "Connection refused"],
    );

    let mut state = sample("zcash");
    state.apply(Update::Lost { why: Loss::Ended, retry_ms: 900 }, NOON_MS + 1_000);
    let lost = text(Tab::Now, &state, (100, 24));
    assert_has(
        &lost,
        &["No connection since 12:00:01, and what is shown is from then", "Trying again in 1 s.", "86 MB"],
    );
    state.apply(
        Update::Lost { why: Loss::Key(Clean::new("this key is unknown")), retry_ms: 0 },
        NOON_MS + 2_000,
    );
    for size in [(100, 24), (40, 12)] {
        assert_has(&text(Tab::Now, &state, size), &["✗ key refused", "Trying again."]);
    }
    state.apply(status("zcash"), NOON_MS + 3_000);
    state.now_ms += 9_000;
    assert_has(&text(Tab::Now, &state, (80, 24)), &["○ silent for 9.0 s"]);
}

#[test]
fn what_is_frozen_stays_while_the_head_tells_the_truth() {
    let frozen = sample("zcash");
    let mut live = frozen.clone();
    live.apply(Update::Lost { why: Loss::Ended, retry_ms: 0 }, NOON_MS);
    let mut ui = Ui::new(Tab::Now);
    ui.is_paused = true;
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
    terminal.draw(|frame| frame::draw(frame, &mut ui, &frozen, &live, Theme::Plain)).expect("drawn");
    let text = rows(terminal.backend().buffer()).join("\n");
    assert_has(&text, &["paused", "p go on", "✗ no connection", "86 MB"]);
}

#[test]
fn names_of_a_server_are_text_in_every_cell() {
    for name in [
        "\\u001b[2J\\u001b]0;x\\u0007",
        "\\u009b31m",
        "a\\r\\nb\\tc",
        "\\u202e\\u200b\\ufeff",
        "日本語 größe",
        "\\ud83d\\ude80",
    ] {
        let state = sample(name);
        for tab in Tab::ALL {
            for size in [(120, 60), (80, 24), (40, 12)] {
                for cell in drawn(&mut Ui::new(tab), &state, size, Theme::Colours).content {
                    let is_text = |c: char| {
                        !c.is_control() && !['\u{200b}', '\u{202e}'].contains(&c) && c != '\u{feff}'
                    };
                    assert!(cell.symbol().chars().all(is_text), "{:?}", cell.symbol());
                }
            }
        }
    }
}

#[test]
fn without_colours_there_are_none() {
    let state = sample("zcash");
    let colours = |theme| drawn(&mut Ui::new(Tab::Now), &state, (100, 60), theme).content;
    assert!(colours(Theme::Plain).iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)));
    assert!(colours(Theme::Plain).iter().any(|cell| cell.modifier.contains(Modifier::BOLD)));
    assert!(colours(Theme::Colours).iter().any(|cell| cell.fg == Color::Red));
    assert!(
        colours(Theme::Colours).iter().all(|cell| cell.bg == Color::Reset),
        "backgrounds are the terminal's"
    );
}
