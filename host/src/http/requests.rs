//! The requests of one connection, whatever version of HTTP they come by.
//!
//! Invariant: every request gets an answer; one for which there is no room gets it without its body being read.

use super::{
    App,
    connection::{Answered, Connection},
    error::ApiError,
    occupancy::Access,
    request_id::{self, RequestId},
    room::Begin,
    tls::ClientCertificate,
};
use crate::{dispatch::Rejected, telemetry::metrics::Limit};
use axum::{
    body::Body,
    http::{HeaderValue, Request, Response, Version, header},
};
use hyper::{body::Incoming, service::Service};
use hyper_util::service::TowerToHyperService;
use std::{net::IpAddr, sync::Arc};

/// Routes that are answered although there is no room for more connections.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The address that a request came from.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// What answers the requests of one connection.
pub(super) struct Requests {
    pub(super) app: Arc<App>,
    pub(super) router: TowerToHyperService<axum::Router>,
    pub(super) peer: Peer,
    pub(super) certificate: Option<ClientCertificate>,
    pub(super) connection: Arc<Connection>,
}

impl Requests {
    /// Answers a request. It is under way until the second value is dropped.
    pub(super) fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = (Response<Body>, Answered)> + Send + use<> {
        request.extensions_mut().insert(self.peer);
        if let Some(certificate) = self.certificate {
            request.extensions_mut().insert(certificate);
        }
        // HTTP/2 closes a connection by other means than a header.
        let is_http1 = request.version() < Version::HTTP_2;
        let (begin, answered) = self.connection.begin();
        let admitted = if self.connection.takes_no_more() {
            Err(ApiError::Rejected(Rejected::Draining))
        } else {
            self.admit(begin, request)
        };
        // A drain waits for requests under way, so those that it refuses are none.
        let under_way = admitted.is_ok().then(|| self.app.under_way.begin());
        // One request for each place of a probe, so that nobody keeps one.
        let is_last = is_http1 && (admitted.is_err() || self.is_probe());
        let answer = admitted.map(|request| self.router.call(request));
        async move {
            let mut response = match answer {
                Ok(answer) => answer.await.unwrap_or_else(|never| match never {}),
                Err(error) => refusal(&error),
            };
            drop(under_way);
            if is_last {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            (response, answered)
        }
    }

    fn is_probe(&self) -> bool {
        self.connection.place.as_ref().is_some_and(|place| place.access() == Access::Probes)
    }

    /// Hands on a request, unless there is no room for it.
    fn admit(&self, begin: Begin, request: Request<Incoming>) -> Result<Request<Body>, ApiError> {
        let Some(place) = &self.connection.place else { return Ok(request.map(Body::new)) };
        match (begin, place.access()) {
            (Begin::Yes, Access::Full) => Ok(request.map(Body::new)),
            // The body is dropped, so that nobody holds the place by sending one.
            (Begin::Yes, Access::Probes) if PROBES.contains(&request.uri().path()) => {
                Ok(request.map(|_| Body::empty()))
            }
            (Begin::NoRoom(limit), _) => Err(self.full(limit)),
            _ => Err(self.full(place.limit())),
        }
    }

    fn full(&self, limit: Limit) -> ApiError {
        self.app.dispatcher.metrics().request_rejected(limit);
        ApiError::ConnectionsFull
    }
}

/// The answer to a request that does not reach the router.
fn refusal(error: &ApiError) -> Response<Body> {
    let id = RequestId::new();
    let mut refusal = error.respond(id.shown());
    refusal.headers_mut().insert(request_id::HEADER, id.header());
    refusal
}
