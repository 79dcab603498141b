//! Checks that the addresses of the listeners can be bound, and that the collector of traces takes connections.
//!
//! Invariant: a port is bound for a moment and never listened on for clients; a program that has it is asked one question
//! with a time limit, and the collector is sent nothing.

use super::check::Check;
use crate::config::{Config, TraceEndpoint};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    time::Duration,
};
use ureq::Agent;

/// How long a program that has the port may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Makes the checks of this family.
pub(super) fn checks(config: &Config) -> Vec<Check> {
    let admin = config.admin_listen.map(|address| listener("network.admin_listen", "admin.listen", address));
    let traces = config.traces.endpoint.as_ref().map(collector);
    [listener("network.listen", "listen", config.listen)].into_iter().chain(admin).chain(traces).collect()
}

/// A server runs without its collector, and loses its traces.
fn collector(endpoint: &TraceEndpoint) -> Check {
    let connect = || {
        let addresses = (endpoint.host(), endpoint.port()).to_socket_addrs()?;
        let mut result = Err(io::Error::other("its name has no address"));
        for address in addresses {
            result = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT);
            if result.is_ok() {
                break;
            }
        }
        result
    };
    match connect() {
        Ok(_) => Check::ok("network.traces", format!("{} takes connections", endpoint.url())),
        Err(error) => Check::warning(
            "network.traces",
            format!("{} cannot be connected to: {error}", endpoint.url()),
            "start the collector, or set `traces.endpoint` to its address, or to off",
        ),
    }
}

fn listener(name: &'static str, setting: &str, address: SocketAddr) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => Check::ok(name, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_snapback(address) => Check::warning(
            name,
            format!("{address} is in use by a running snapback"),
            format!("set `{setting}` to another address if a second server shall run beside it"),
        ),
        Err(error) => {
            let found = format!("{address} cannot be bound: {error}");
            Check::error(name, found, advice(setting, error.kind()))
        }
    }
}

fn advice(setting: &str, kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::AddrInUse => {
            format!("stop the program that has the port (`ss -ltnp`), or set `{setting}` to another address")
        }
        io::ErrorKind::AddrNotAvailable => format!("set `{setting}` to an address of this machine"),
        io::ErrorKind::PermissionDenied => {
            format!("set `{setting}` to a port from 1024 up, and put a proxy in front of it")
        }
        _ => format!("set `{setting}` to another address"),
    }
}

/// Whether a server of this program answers at an address.
fn is_snapback(address: SocketAddr) -> bool {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(ANSWER_TIMEOUT))
        .max_redirects(0)
        .proxy(None)
        .build()
        .into();
    let answer = agent.get(format!("http://{}/healthz", reachable(address))).call();
    let text =
        answer.map(|mut answer| answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string());
    text.is_ok_and(|text| text.is_ok_and(|text| is_answer_of_snapback(&text)))
}

/// Returns the address at which a listener on all addresses is reached from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether an answer is that of `/healthz`, or an error of the API: the admin listener and foreign hosts get one.
fn is_answer_of_snapback(text: &str) -> bool {
    let Ok(answer) = serde_json::from_str::<serde_json::Value>(text) else { return false };
    answer["memory"]["granted_bytes"].is_u64()
        || ["code", "message", "request_id"].iter().all(|field| answer[field].is_string())
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};

    #[test]
    fn a_free_port_is_ok_and_a_taken_one_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        // The program that has the port ends the connection without an answer.
        let program = std::thread::spawn(move || drop(taken.accept()));
        let check = listener("network.listen", "listen", address);
        program.join().expect("it was asked");
        assert_eq!(check.verdict(), Verdict::Error);
        assert!(check.advice().is_some_and(|advice| advice.contains("`listen`")), "{check:?}");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!(listener("network.listen", "listen", any).verdict(), Verdict::Ok);
        // TEST-NET-1 belongs to no machine.
        let foreign = SocketAddr::from(([192, 0, 2, 1], 0));
        assert_eq!(listener("network.listen", "listen", foreign).verdict(), Verdict::Error);
    }

    #[test]
    fn a_collector_that_cannot_be_reached_is_a_warning() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let endpoint: TraceEndpoint = format!("http://{address}").parse().expect("an address");
        assert_eq!(collector(&endpoint).verdict(), Verdict::Ok);
        drop(listener);
        let check = collector(&endpoint);
        assert_eq!(check.verdict(), Verdict::Warning);
        assert!(check.advice().is_some_and(|advice| advice.contains("`traces.endpoint`")), "{check:?}");
    }

    #[test]
    fn answers_of_a_server_are_known_and_others_are_not() {
        assert!(is_answer_of_snapback(r#"{"status":"ok","memory":{"granted_bytes":0}}"#));
        assert!(is_answer_of_snapback(r#"{"code":"unauthorised","message":"m","request_id":"r"}"#));
        for other in ["", "ok", "{}", r#"{"status":"ok"}"#, r#"{"code":"x","message":1,"request_id":"r"}"#] {
            assert!(!is_answer_of_snapback(other), "{other}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_asked_at_the_loopback_address() {
        let reached = |text: &str| reachable(text.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(reached("[::]:80"), "[::1]:80");
        assert_eq!(reached("192.0.2.1:80"), "192.0.2.1:80");
    }
}
