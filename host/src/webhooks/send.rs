//! One attempt to deliver.
//!
//! Invariant: an attempt ends within `webhooks.timeout`, reads the head of the answer and nothing more, and goes where its
//! URL says or nowhere.

use super::{
    attempt::{Attempt, SendError},
    connect::{Connect, Stream},
    event,
    resolve::Resolve,
    secret::{Secrets, seconds},
    targets::Targets,
};
use crate::jobs::{Callback, CallbackHost, ClaimedDelivery};
use axum::body::Body;
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::{net::IpAddr, sync::Arc, time::Duration};

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
const USER_AGENT: &str = concat!("snapback/", env!("CARGO_PKG_VERSION"));

/// Makes attempts.
pub(super) struct Sender {
    secrets: Secrets,
    targets: Targets,
    resolver: Arc<dyn Resolve>,
    connect: Connect,
    timeout: Duration,
}

impl Sender {
    pub(super) fn new(
        secrets: Secrets,
        targets: Targets,
        resolver: Arc<dyn Resolve>,
        connect: Connect,
        timeout: Duration,
    ) -> Self {
        Self { secrets, targets, resolver, connect, timeout }
    }

    /// Makes one attempt.
    pub(super) async fn send(&self, delivery: &ClaimedDelivery) -> Attempt {
        let answer = tokio::time::timeout(self.timeout, self.exchange(delivery)).await;
        match answer.unwrap_or(Err(SendError::Timeout)) {
            Ok((status, _)) if status.is_success() => Attempt::Accepted,
            Ok((StatusCode::GONE, _)) => Attempt::Gone,
            Ok((status, retry_after)) => Attempt::Refused { status: status.as_u16(), retry_after },
            Err(error) => Attempt::Failed(error),
        }
    }

    async fn exchange(
        &self,
        delivery: &ClaimedDelivery,
    ) -> Result<(StatusCode, Option<Duration>), SendError> {
        let addresses = self.addresses(&delivery.callback).await?;
        let stream = self.connect.open(&delivery.callback, &addresses).await?;
        let response = post(stream, self.request(delivery)?).await.map_err(|error| {
            tracing::debug!(%error, "the answer to a webhook");
            SendError::Http
        })?;
        // The body is not read: the connection is closed with the response.
        Ok((response.status(), retry_after(response.headers())))
    }

    /// The addresses of the host, all of them checked.
    async fn addresses(&self, callback: &Callback) -> Result<Vec<IpAddr>, SendError> {
        // The settings may have changed since the job was submitted.
        self.targets.check_url(callback)?;
        let addresses = match callback.host() {
            CallbackHost::Address(address) => vec![*address],
            CallbackHost::Name(name) => self.resolver.resolve(name).await.map_err(|_| SendError::Resolve)?,
        };
        if addresses.is_empty() {
            return Err(SendError::Resolve);
        }
        self.targets.check(&addresses)?;
        Ok(addresses)
    }

    fn request(&self, delivery: &ClaimedDelivery) -> Result<Request<Body>, SendError> {
        let body = event::body(delivery);
        let (id, now) = (delivery.claim.job(), delivery.now);
        let signature = self.secrets.of(&delivery.tenant).sign(id, now, &body);
        let request = Request::post(delivery.callback.target().as_str())
            .header(header::HOST, delivery.callback.authority())
            .header(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(header::CONNECTION, HeaderValue::from_static("close"))
            .header("webhook-id", id.to_string())
            .header("webhook-timestamp", seconds(now))
            .header("webhook-signature", signature);
        // So that what the receiver does belongs to the trace of the request that submitted the job.
        let request = match &delivery.traceparent {
            Some(traceparent) => request.header("traceparent", traceparent),
            None => request,
        };
        request.body(Body::from(body)).map_err(|_| SendError::Http)
    }
}

/// Sends a request, and returns the answer once its head is there. The connection ends with the answer.
async fn post(stream: Box<dyn Stream>, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            // Its error is that of the answer too.
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}

/// How long a receiver wants to be left alone, if it says so in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{PrivateAddresses, WebhookPorts},
        webhooks::CallbackError,
    };
    use futures_util::future::{BoxFuture, ready};
    use std::{
        io,
        sync::atomic::{AtomicUsize, Ordering},
    };

    /// Answers each lookup with the next list, as a name server of an attacker does.
    struct Answers {
        lists: Vec<Vec<&'static str>>,
        lookups: AtomicUsize,
    }

    impl Resolve for Answers {
        fn resolve<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            let list = self.lists.get(self.lookups.fetch_add(1, Ordering::Relaxed));
            let list = list.ok_or_else(|| io::Error::other("no such name"));
            Box::pin(ready(
                list.map(|list| list.iter().map(|address| address.parse().expect("an address")).collect()),
            ))
        }
    }

    fn sender(private: PrivateAddresses, lists: &[&[&'static str]]) -> (Sender, Arc<Answers>) {
        let lists = lists.iter().map(|list| list.to_vec()).collect();
        let resolver = Arc::new(Answers { lists, lookups: AtomicUsize::default() });
        let directory = tempfile::tempdir().expect("a directory");
        let secrets = Secrets::load(&directory.path().join("key"), "state".as_ref()).expect("a key");
        let connect = Connect::new(Vec::new()).expect("no further certificates");
        let targets = Targets::new(private, WebhookPorts::These(vec![443]));
        let sender = Sender::new(secrets, targets, resolver.clone(), connect, Duration::from_mins(1));
        (sender, resolver)
    }

    fn callback(url: &str) -> Callback {
        url.parse().expect("a callback")
    }

    #[tokio::test]
    async fn a_name_is_resolved_once_and_all_its_addresses_are_checked() {
        use PrivateAddresses::{Allow, Refuse};
        let url = callback("https://hooks.example/");
        let private = Err(SendError::Forbidden(CallbackError::Private));
        for (rule, list, expected) in [
            (Refuse, &["1.1.1.1", "2606:4700::1111"][..], Ok(2)),
            (Refuse, &["10.0.0.1"], private),
            (Refuse, &["1.1.1.1", "169.254.169.254"], private),
            (Refuse, &["::ffff:127.0.0.1"], private),
            (Refuse, &["64:ff9b::a00:1"], private),
            (Refuse, &[], Err(SendError::Resolve)),
            (Allow, &["10.0.0.1"], Ok(1)),
        ] {
            // A second lookup would have another answer.
            let (sender, resolver) = sender(rule, &[list, &["127.0.0.1"]]);
            let addresses = sender.addresses(&url).await;
            assert_eq!(addresses.map(|addresses| addresses.len()), expected, "{list:?}");
            assert_eq!(resolver.lookups.load(Ordering::Relaxed), 1);
        }
        let (sender, _) = sender(Refuse, &[]);
        assert_eq!(sender.addresses(&url).await, Err(SendError::Resolve), "there is no such name");
    }

    #[tokio::test]
    async fn what_was_accepted_under_other_settings_is_checked_again() {
        let (sender, resolver) = sender(PrivateAddresses::Refuse, &[]);
        for (url, error) in [
            ("https://127.0.0.1/", CallbackError::Private),
            ("https://localhost/", CallbackError::Private),
            ("https://hooks.example:22/", CallbackError::Port(22)),
        ] {
            assert_eq!(sender.addresses(&callback(url)).await, Err(SendError::Forbidden(error)), "{url}");
        }
        assert_eq!(resolver.lookups.load(Ordering::Relaxed), 0);
    }
}
