//! The addresses of a name.
//!
//! Invariant: as many lookups run as are allowed at once, also of those that nobody waits for any more.

use futures_util::future::BoxFuture;
use std::{
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
};
use tokio::sync::Semaphore;

/// Most addresses of one name that are looked at. A name with more is refused.
const ADDRESSES_MAX: usize = 32;

/// Finds the addresses of names.
pub(super) trait Resolve: Send + Sync {
    /// Returns all addresses of a name, or an error if it cannot be resolved.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the operating system.
pub(super) struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl SystemResolver {
    /// Creates a resolver that makes this many lookups at once.
    pub(super) fn new(lookups_max: usize) -> Self {
        Self { lookups: Arc::new(Semaphore::new(lookups_max)) }
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
            let name = name.to_owned();
            let lookup = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                let addresses = (name.as_str(), 0).to_socket_addrs()?;
                let addresses = addresses.map(|address| address.ip()).take(ADDRESSES_MAX + 1);
                Ok::<Vec<IpAddr>, io::Error>(addresses.collect())
            });
            let addresses = lookup.await.map_err(io::Error::other)??;
            if addresses.len() > ADDRESSES_MAX {
                return Err(io::Error::other("the name has too many addresses"));
            }
            Ok(addresses)
        })
    }
}
