//! Host names that a server answers to.

use std::net::IpAddr;

/// Host names that the server answers to, beside `localhost` and IP addresses; see `http.hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// These names, in lower case.
    Named(Vec<String>),
    /// Every name: something in front of the server has checked it.
    Any,
}

impl Hosts {
    /// Whether a host is known. An IP address is: no site can make a name of its own point to the server with it.
    #[must_use]
    pub fn include(&self, host: &str) -> bool {
        let Self::Named(names) = self else { return true };
        let name = host.trim_end_matches('.');
        name.eq_ignore_ascii_case("localhost")
            || host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
            || names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_site_can_choose_are_not_known() {
        let hosts = Hosts::Named(vec!["proofs.example".into()]);
        for known in
            ["localhost", "LOCALHOST", "127.0.0.1", "10.1.2.3", "[::1]", "proofs.example", "Proofs.Example."]
        {
            assert!(hosts.include(known), "{known}");
        }
        for foreign in
            ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "proofs.example.evil"]
        {
            assert!(!hosts.include(foreign), "{foreign}");
            assert!(Hosts::Any.include(foreign), "{foreign}");
        }
    }
}
