//! All faults at once: calls leak, trap, spin, wear out and stall at random, under load, while operators swap, publish,
//! change policies and drain. Every accepted call gets its one right answer, or its one documented error.

mod harness;

use chacha20::ChaCha20Rng;
use harness::{
    inside::{Host, generation, policy},
    rig::{GATED, Rig},
    snapback, state_with, until,
};
use rand_core::{Rng, SeedableRng};
use snapback_host::{
    dispatch::{Joined, Rejected},
    instance::Fault,
    lanes::{LaneCommand, Outcome},
    policy::{Policy, SwapPolicy},
    seams::{Clock, Seams},
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

/// Kinds of calls that clients make.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Echo,
    Leak,
    Burst,
    Wear,
    Trap,
    Spin,
    Malformed,
    Unknown,
    Stall,
}

impl Kind {
    /// Draws a kind: most calls succeed, and some fail.
    fn random(rng: &mut ChaCha20Rng) -> Self {
        match rng.next_u32() % 100 {
            0..50 => Self::Echo,
            50..75 => Self::Leak,
            75..90 => Self::Wear,
            90..92 => Self::Burst,
            92..95 => Self::Trap,
            95..96 => Self::Spin,
            96..98 => Self::Malformed,
            98..99 => Self::Unknown,
            _ => Self::Stall,
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Leak | Self::Burst | Self::Malformed => "leak",
            Self::Wear => "wear",
            Self::Trap => "trap",
            Self::Spin => "spin",
            Self::Unknown => "no_such_method",
            Self::Stall => GATED,
        }
    }

    fn body(self, rng: &mut ChaCha20Rng) -> Vec<u8> {
        match self {
            Self::Echo => rng.next_u64().to_string().into_bytes(),
            Self::Leak => (rng.next_u32() % 12_000_000).to_string().into_bytes(),
            Self::Burst => b"100000000".to_vec(),
            Self::Wear => b"9".to_vec(),
            Self::Malformed => b"not a number".to_vec(),
            Self::Trap | Self::Spin | Self::Unknown | Self::Stall => Vec::new(),
        }
    }

    fn is_right(self, sent: &[u8], reply: &[u8]) -> bool {
        match self {
            Self::Echo => reply == sent,
            Self::Leak | Self::Stall => reply.is_empty(),
            Self::Wear => reply.len() == 1 && (b'1'..=b'9').contains(&reply[0]),
            _ => false,
        }
    }
}

#[test]
fn in_process_every_call_is_answered_despite_stalls_and_new_generations() {
    const CLIENTS: u64 = 4;
    const CALLS: usize = 1_500;
    let rig = Rig::new();
    let seams = Seams { clock: Clock::default(), ..rig.seams() };
    let policy = Policy {
        swap: SwapPolicy::Threshold,
        deadline: Duration::from_millis(20),
        stall_timeout: Duration::from_millis(100),
        breaker_failures: 6,
        breaker_open_for: Duration::from_millis(20),
        calls_max: Some(50),
        ..policy()
    };
    let host = Host::start(2, policy.clone(), seams);
    let mut spare: Vec<_> = (0..5).map(|_| generation(&host.engine, b"new")).collect();
    let (accepted, rejected) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let working = AtomicUsize::new(CLIENTS as usize);
    thread::scope(|scope| {
        for seed in 0..CLIENTS {
            let (host, rig, accepted, rejected, working) = (&host, &rig, &accepted, &rejected, &working);
            scope.spawn(move || {
                let mut rng = ChaCha20Rng::seed_from_u64(seed);
                for _ in 0..CALLS {
                    let kind = Kind::random(&mut rng);
                    let body = kind.body(&mut rng);
                    // Before the next lane stalls, those that stalled earlier go on.
                    if matches!(kind, Kind::Stall) {
                        rig.open_the_gate();
                        rig.close_the_gate();
                    }
                    match host.submit(kind.method(), &body) {
                        Ok(answer) => {
                            accepted.fetch_add(1, Ordering::SeqCst);
                            let outcome = answer.blocking_recv().expect("an answer");
                            assert!(
                                is_documented(kind, &body, &outcome),
                                "{kind:?}: {:?}",
                                outcome.result.err()
                            );
                        }
                        Err(Rejected::QueueFull { .. } | Rejected::BreakerOpen { .. }) => {
                            rejected.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(Rejected::Draining | Rejected::NoSuchService) => {
                            panic!("the dispatcher does not drain yet")
                        }
                    }
                }
                working.fetch_sub(1, Ordering::SeqCst);
            });
        }
        // This thread is the operator.
        let mut rng = ChaCha20Rng::seed_from_u64(99);
        while working.load(Ordering::SeqCst) > 0 {
            match rng.next_u32() % 64 {
                0..40 => host.command(LaneCommand::Swap, Some((rng.next_u32() % 2) as usize)),
                40..60 => host.command(LaneCommand::Prepare, None),
                60..62 => rig.fail_standbys(true),
                62 => rig.fail_standbys(false),
                _ => {
                    if let Some(generation) = spare.pop() {
                        host.publish(generation);
                    }
                }
            }
            thread::yield_now();
        }
    });
    rig.open_the_gate();
    let (accepted, rejected) = (accepted.into_inner(), rejected.into_inner());
    assert_eq!(accepted + rejected, CLIENTS as usize * CALLS);
    assert_eq!(host.dispatcher.join(Duration::from_mins(20)), Joined::Finished);
    assert_eq!(host.metric("snapback_calls_lost_total"), 0.0);
    assert_eq!(host.metric("snapback_calls_in_flight"), 0.0);
    let metrics = String::from_utf8(host.dispatcher.render_metrics()).expect("text");
    let counted: f64 = sum(&metrics, "snapback_calls_total{");
    assert_eq!(counted, accepted as f64, "each accepted call is counted once\n{metrics}");
    assert!(
        sum(&metrics, "snapback_calls_stalled_total{") > 0.0 && sum(&metrics, "snapback_swaps_total{") > 0.0
    );
}

fn is_documented(kind: Kind, sent: &[u8], outcome: &Outcome) -> bool {
    match (kind, &outcome.result) {
        (Kind::Malformed, Ok(reply)) => reply.tag == snapback_abi::reply::Tag::Malformed,
        (_, Ok(reply)) => kind.is_right(sent, &reply.body),
        // On a machine under load a call may get little of its 20 ms, and any thread that sleeps may count as stalled.
        (_, Err(Fault::Deadline(_) | Fault::Stalled(_))) => true,
        (Kind::Burst, Err(Fault::OutOfMemory(_))) => true,
        (Kind::Trap, Err(Fault::Trap(_))) => true,
        (Kind::Unknown, Err(Fault::NoSuchMethod)) => true,
        _ => false,
    }
}

fn sum(metrics: &str, prefix: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(prefix));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Sends a call on a connection of its own. Returns `None` if the server accepts no more connections.
fn post(address: std::net::SocketAddr, method: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let head = format!(
        "POST /v1/methods/{method} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).expect("the server reads a request that it accepted");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers a request that it accepted");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head") + 4;
    let status = str::from_utf8(&answer[9..12]).expect("text").parse().expect("a status");
    Some((status, answer.split_off(end)))
}

#[test]
fn over_http_every_call_is_answered_while_operators_swap_change_and_drain() {
    const CLIENTS: u64 = 6;
    const TOKEN: &str = "a token for chaos";
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    fs::write(&token, TOKEN).expect("the file is written");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("the test owns the file");
    let server = harness::Server::of(
        snapback()
            .args(["serve", "fixtures", "--lanes", "2", "--queue-depth", "4", "--swap-policy", "threshold"])
            .args(["--memory-limit", "64MiB", "--call-deadline", "100ms", "--breaker-failures", "1000"])
            .args(["--admin-listen", "127.0.0.1:0", "--admin-token-file"])
            .arg(&token)
            .arg("--state-dir")
            .arg(state_with("fixtures")),
    );
    let log = server.log_so_far();
    let admin =
        log.lines().find_map(|line| line.split_once("admin routes at ")).expect("the address is logged").1;
    let operate = |method: &str, path: &str, body: &str| {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{admin}{path}"))
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(body.to_owned())
            .expect("a request");
        assert!(harness::Answer::run(request).status < 300, "{method} {path} {body}");
    };

    let (ran, stop, draining) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let refused = AtomicUsize::new(0);
    thread::scope(|scope| {
        let client = |seed: u64| {
            let (server, ran, refused, stop, draining) = (&server, &ran, &refused, &stop, &draining);
            move || {
                let mut rng = ChaCha20Rng::seed_from_u64(seed);
                while !stop.load(Ordering::SeqCst) {
                    let kind = Kind::random(&mut rng);
                    let body = kind.body(&mut rng);
                    let Some((status, reply)) = post(server.address, kind.method(), &body) else {
                        assert!(draining.load(Ordering::SeqCst), "refused before the drain");
                        return;
                    };
                    let right = match (kind, status) {
                        (_, 429) => true,
                        (_, 503) => draining.load(Ordering::SeqCst),
                        (Kind::Stall, 200) => true,
                        (_, 200) => kind.is_right(&body, &reply),
                        (_, 504) => true,
                        (Kind::Burst, 422) | (Kind::Trap, 500) | (Kind::Malformed, 400) => true,
                        (Kind::Unknown, 404) => true,
                        _ => false,
                    };
                    assert!(right, "{kind:?}: {status} {}", String::from_utf8_lossy(&reply));
                    let counter = if matches!(status, 404 | 429 | 503) { refused } else { ran };
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|seed| scope.spawn(client(seed))).collect();
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        while ran.load(Ordering::SeqCst) < 3_000 {
            match rng.next_u32() % 8 {
                0..3 => operate("POST", &format!("swap?lane={}", rng.next_u32() % 2), ""),
                3..5 => operate("POST", "prepare", ""),
                5 => operate("PATCH", "policy", r#"{"swap.policy": "every-call"}"#),
                _ => operate("PATCH", "policy", r#"{"swap.policy": "threshold"}"#),
            }
        }
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().expect("every answer was right");
        }
        // The server counts every answer once, and no call was lost or is still running.
        let metrics = server.get("/metrics").text();
        assert_eq!(sum(&metrics, "snapback_calls_total{"), ran.load(Ordering::SeqCst) as f64, "{metrics}");
        assert_eq!(sum(&metrics, "snapback_calls_lost_total"), 0.0);
        assert_eq!(sum(&metrics, "snapback_calls_in_flight"), 0.0);

        // The clients start again, and the server drains while they call.
        stop.store(false, Ordering::SeqCst);
        let before = ran.load(Ordering::SeqCst);
        let clients: Vec<_> = (0..CLIENTS).map(|seed| scope.spawn(client(100 + seed))).collect();
        until("the clients are served", || ran.load(Ordering::SeqCst) > before + 200);
        draining.store(true, Ordering::SeqCst);
        operate("POST", "drain", "");
        for client in clients {
            client.join().expect("every answer was right");
        }
    });
    let (status, log) = server.wait();
    assert!(status.success() && !log.contains("please report"), "{log}");
}
