//! One job: its lease is renewed while its call waits and runs, and the outcome is stored.
//!
//! Invariant: the call is stopped as soon as its outcome is not wanted: the job was cancelled, its lease is lost, or the
//! server drains.

use super::{
    answer::{self, Explain, Question},
    estimates::Estimates,
    job_span::JobSpan,
    share::{Pure, pure},
};
use crate::{
    circuits::Registries,
    config::Sharing,
    dispatch::{Dispatcher, Rejected},
    ids::Tenant,
    instance::{Fault, StopFlag, StoppedWhen},
    jobs::{CANCELLED, Claimed, ImageChoice, InputKind, JobEngine, JobRecord, Lease, Outcome, Renewal},
    lanes::{self, BodyKind, CallRequest},
    service::Service,
    telemetry::traces::Trace,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, oneshot, watch};

/// What every job on this server is run with.
pub(super) struct RunContext {
    pub(super) engine: Arc<dyn JobEngine>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) registries: Arc<Registries>,
    pub(super) jobs: Arc<super::JobHandle>,
    pub(super) explain: Explain,
    /// Held by every job that runs; a job that runs alone holds all of it.
    pub(super) beside: Arc<RwLock<()>>,
    /// Interval at which leases are renewed.
    pub(super) renew_every: Duration,
    /// Whether identical work shares a result.
    pub(super) sharing: Sharing,
}

/// What became of a claimed job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// It has an outcome, or another server has it.
    Ended {
        /// The outcome, for traces.
        outcome: &'static str,
    },
    /// It was given back, because the server drains.
    GivenBack,
    /// It was given back, because calls of its service are not admitted for this long.
    NotAdmitted {
        /// Name of the service.
        service: String,
        /// How long.
        pause: Duration,
    },
}

impl Ran {
    /// Names what became of the job, for traces. A call that is not admitted is no attempt: it comes back at once.
    fn outcome(&self) -> Option<&'static str> {
        match self {
            Self::Ended { outcome } => Some(outcome),
            Self::GivenBack => Some("given_back"),
            Self::NotAdmitted { .. } => None,
        }
    }
}

/// Why a call is stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unwanted {
    Cancelled,
    LeaseLost,
    Draining,
}

/// Runs a claimed job to its end.
pub(super) async fn run(context: Arc<RunContext>, claimed: Claimed, draining: watch::Receiver<bool>) -> Ran {
    let span = JobSpan::begin(context.dispatcher.traces(), &claimed.job);
    let ran = run_in(context, claimed, draining, span.trace().clone()).await;
    if let Some(outcome) = ran.outcome() {
        span.end(outcome);
    }
    ran
}

async fn run_in(
    context: Arc<RunContext>,
    claimed: Claimed,
    draining: watch::Receiver<bool>,
    trace: Trace,
) -> Ran {
    let Claimed { lease, job, body, kind, losses, .. } = claimed;
    // One that is suspected of having killed a server runs alone, so that no other is taken for the culprit.
    let beside = Arc::clone(&context.beside);
    let turn = async {
        match losses {
            0 => Turn::Beside { _guard: beside.read_owned().await },
            _ => Turn::Alone { _guard: beside.write_owned().await },
        }
    };
    let _turn = match context.renewing(&lease, turn, draining.clone()).await {
        Ok(turn) => turn,
        Err(unwanted) => return context.abandon(lease, unwanted).await,
    };
    let Some(service) = context.dispatcher.service_named(&job.service).cloned() else {
        // Only jobs of services that are served are claimed.
        return context.give_back(lease, Ran::GivenBack).await;
    };
    let generation = service.current();
    let image = generation.image().digest.to_string();
    if let ImageChoice::Digest(wanted) = &job.image
        && *wanted != image
    {
        let message =
            format!("the job is for the image {wanted}, and `{}` is served from {image}", job.service);
        let outcome = Outcome::Failed { code: "image_replaced".into(), message, image: None };
        return context.finish(lease, outcome).await;
    }
    let pure = pure(context.sharing, generation, &job, kind);
    if let Some(pure) = &pure
        && pure.share(&*context.engine, &lease, &image).await
    {
        context.dispatcher.metrics().job_shared(service.name());
        return Ran::Ended { outcome: "shared" };
    }
    let circuit = job.circuit.clone().unwrap_or_default();
    let stop = StopFlag::default();
    let request = CallRequest {
        service: service.id(),
        method: job.method.clone(),
        circuit,
        body: lanes::Body::from(body),
        kind: match kind {
            InputKind::Raw => BodyKind::Raw,
            InputKind::Inputs => BodyKind::Inputs,
        },
        // Jobs of the token and of servers without keys may concern everybody's circuits.
        tenant: (job.tenant != Tenant::local()).then(|| job.tenant.clone()),
        stop: Some(stop.clone()),
        trace,
    };
    let (sink, ended) = oneshot::channel();
    match context.dispatcher.submit(request, Box::new(sink)) {
        Ok(()) => {}
        Err(Rejected::QueueFull { retry_after: pause } | Rejected::BreakerOpen { retry_after: pause }) => {
            let service = job.service.clone();
            return context.give_back(lease, Ran::NotAdmitted { service, pause }).await;
        }
        Err(Rejected::Draining | Rejected::NoSuchService) => {
            return context.give_back(lease, Ran::GivenBack).await;
        }
    }
    match context.wait(&lease, ended, draining, &stop).await {
        Err(unwanted) => context.abandon(lease, unwanted).await,
        Ok(ended) => {
            // The job has been computed: a drain waits for the moment that it takes to store that.
            let undrained = watch::Sender::new(false);
            let outcome = context.outcome(job, kind, service, (image, pure), ended);
            match context.renewing(&lease, outcome, undrained.subscribe()).await {
                Ok(outcome) => context.finish(lease, outcome).await,
                Err(unwanted) => context.abandon(lease, unwanted).await,
            }
        }
    }
}

/// Whether others run beside a job, for as long as this is held.
enum Turn {
    Beside { _guard: OwnedRwLockReadGuard<()> },
    Alone { _guard: OwnedRwLockWriteGuard<()> },
}

impl RunContext {
    /// Waits for the outcome of a call, and stops the call when the outcome is not wanted any more. `None` stands for an
    /// outcome that was lost.
    async fn wait(
        &self,
        lease: &Lease,
        mut ended: oneshot::Receiver<lanes::Outcome>,
        draining: watch::Receiver<bool>,
        stop: &StopFlag,
    ) -> Result<Option<lanes::Outcome>, Unwanted> {
        let unwanted = match self.renewing(lease, &mut ended, draining).await {
            Ok(outcome) => return Ok(outcome.ok()),
            Err(unwanted) => unwanted,
        };
        if stop.set() == StoppedWhen::Waiting {
            return Err(unwanted);
        }
        // A result that is there first wins.
        match ended.await {
            Ok(lanes::Outcome { result: Err(Fault::Cancelled), .. }) | Err(_) => Err(unwanted),
            Ok(_) if unwanted == Unwanted::LeaseLost => Err(unwanted),
            Ok(outcome) => Ok(Some(outcome)),
        }
    }

    /// Waits for something, and renews the lease meanwhile.
    async fn renewing<T>(
        &self,
        lease: &Lease,
        what: impl Future<Output = T>,
        mut draining: watch::Receiver<bool>,
    ) -> Result<T, Unwanted> {
        let mut changes = self.engine.watch(lease.job());
        let mut renewals = tokio::time::interval(self.renew_every);
        tokio::pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return Ok(done),
                Ok(_) = draining.wait_for(|draining| *draining) => return Err(Unwanted::Draining),
                _ = renewals.tick() => {}
                Ok(()) = changes.changed() => {}
            }
            match self.engine.renew(lease).await {
                Ok(Renewal::Held) => {}
                Ok(Renewal::Cancelled) => return Err(Unwanted::Cancelled),
                Ok(Renewal::Lost) => return Err(Unwanted::LeaseLost),
                Err(error) => tracing::warn!(%error, job = %lease.job(), "a lease cannot be renewed"),
            }
        }
    }

    /// Ends a job whose outcome is not wanted.
    async fn abandon(&self, lease: Lease, unwanted: Unwanted) -> Ran {
        match unwanted {
            Unwanted::Draining => self.give_back(lease, Ran::GivenBack).await,
            Unwanted::LeaseLost => Ran::Ended { outcome: "lease_lost" },
            Unwanted::Cancelled => {
                let message = "the job was cancelled while it ran".into();
                self.finish(lease, Outcome::Failed { code: CANCELLED.into(), message, image: None }).await
            }
        }
    }

    async fn outcome(
        &self,
        job: JobRecord,
        kind: InputKind,
        service: Arc<Service>,
        (image, pure): (String, Option<Pure>),
        ended: Option<lanes::Outcome>,
    ) -> Outcome {
        let lost = || Outcome::Retry {
            code: "lost".into(),
            message: "the call ended without an answer: please report this".into(),
        };
        let Some(ended) = ended else { return lost() };
        let circuit = job.circuit.as_deref().unwrap_or_default();
        if ended.result.is_ok() {
            self.estimates().record(&job.service, &job.method, circuit, ended.took);
        }
        let (registry, explain) = (self.registries.get(service.id()).cloned(), self.explain);
        let identical = Pure::identical(pure.as_ref(), &service);
        // A proof of many signals takes a while to write.
        let outcome = tokio::task::spawn_blocking(move || {
            let registry = registry.as_deref();
            let job = &job;
            let service = &service;
            answer::outcome(Question { job, kind, service, image, registry, explain, identical }, ended)
        });
        outcome.await.unwrap_or_else(|_| lost())
    }

    fn estimates(&self) -> &Estimates {
        self.jobs.estimates()
    }

    async fn finish(&self, lease: Lease, outcome: Outcome) -> Ran {
        let job = lease.job();
        let ended = match &outcome {
            Outcome::Succeeded { .. } => "succeeded",
            Outcome::Failed { code, .. } if code == CANCELLED => CANCELLED,
            Outcome::Failed { .. } => "failed",
            Outcome::Retry { .. } => "retry",
        };
        match self.engine.finish(lease, outcome).await {
            Ok(stored) => {
                tracing::debug!(%job, ?stored, "a job has ended");
                Ran::Ended { outcome: ended }
            }
            Err(error) => {
                tracing::error!(%error, %job, "the outcome of a job cannot be stored; it runs again");
                Ran::Ended { outcome: "not_stored" }
            }
        }
    }

    async fn give_back(&self, lease: Lease, ran: Ran) -> Ran {
        let job = lease.job();
        if let Err(error) = self.engine.give_back(lease).await {
            tracing::error!(%error, %job, "a job cannot be given back; it runs again when its lease has ended");
        }
        ran
    }
}
