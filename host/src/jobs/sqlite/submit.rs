//! Stores new jobs.
//!
//! Invariant: a batch is stored whole or not at all. A key that is known stores nothing: it returns the job that it
//! belongs to, or refuses the batch.

use super::{
    bodies::Prepared,
    read,
    rows::{self, stored},
    schema::{Delay, input_kind_number},
    writer::{Effect, Writer},
};
use crate::jobs::{
    Bound, ImageChoice, InputKind, JobError, JobId, JobLimits, JobRecord, NewJob, State, Submitted,
    Timestamp,
    fairness::Waiting,
    seal::{Seal, Sealed},
};
use rusqlite::{OptionalExtension as _, named_params};
use zeroize::Zeroizing;

/// Longest name of a service, method or circuit, in bytes.
const NAME_BYTES_MAX: usize = 1 << 10;
/// Longest other text of a job, in bytes.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// A job whose body is sealed.
pub(super) struct SealedJob {
    pub(super) id: JobId,
    pub(super) job: NewJob,
    pub(super) body: Prepared,
    pub(super) callback: Option<SealedCallback>,
    pub(super) digests: Digests,
}

/// A callback whose URL is sealed.
pub(super) struct SealedCallback {
    /// What may be shown of it.
    pub(super) origin: String,
    pub(super) url: Vec<u8>,
}

impl SealedCallback {
    /// Seals the callback of a job, if it has one.
    pub(super) fn of(id: JobId, job: &NewJob, seal: &Seal) -> Option<Self> {
        let callback = job.callback.as_ref()?;
        Some(Self { origin: callback.origin(), url: seal.sealed(id, Sealed::Callback, callback.as_str()) })
    }
}

/// What is kept of a request to compare others with it. All depend on the sealing key.
pub(super) struct Digests {
    body: [u8; 32],
    body_bytes: u64,
    fingerprint: [u8; 32],
    /// Equal for identical work of one tenant, whatever its image.
    work: Option<[u8; 32]>,
    idempotency: Option<[u8; 32]>,
}

impl Digests {
    pub(super) fn of(job: &NewJob, seal: &Seal) -> Self {
        let body = seal.digest([b"body".as_slice(), &job.body]);
        let kind = input_kind_number(job.kind).to_le_bytes();
        let optional =
            |text: &Option<String>| text.as_ref().map_or(Vec::new(), |text| [b"=", text.as_bytes()].concat());
        let image = match &job.image {
            ImageChoice::Current => Vec::new(),
            ImageChoice::Digest(digest) => [b"=", digest.as_bytes()].concat(),
        };
        let (circuit, options) = (optional(&job.circuit), optional(&job.options));
        let parts: [&[u8]; 8] =
            [b"job", job.service.as_bytes(), job.method.as_bytes(), &circuit, &image, &kind, &options, &body];
        let key =
            |key: &str| seal.digest([b"key".as_slice(), job.tenant.as_str().as_bytes(), key.as_bytes()]);
        let media_type = optional(&job.media_type);
        let tenant = job.tenant.as_str().as_bytes();
        let identical: [&[u8]; 8] = [
            b"work",
            tenant,
            job.service.as_bytes(),
            job.method.as_bytes(),
            &circuit,
            &options,
            &media_type,
            &body,
        ];
        Self {
            body,
            // What calculates the witness of inputs is part of no image, and may have been replaced.
            work: (job.kind == InputKind::Raw).then(|| seal.digest(identical)),
            body_bytes: job.body.len() as u64,
            fingerprint: seal.digest(parts),
            idempotency: job.idempotency_key.as_ref().map(|text| key(text.as_str())),
        }
    }
}

/// Checks what does not depend on other jobs.
pub(super) fn check(jobs: &[NewJob], limits: &JobLimits) -> Result<(), JobError> {
    if jobs.len() > limits.batch_max {
        return Err(JobError::Full { which: Bound::Batch });
    }
    for job in jobs {
        if job.body.len() as u64 > limits.body_bytes_max {
            return Err(JobError::Full { which: Bound::BodyBytes });
        }
        let names = [
            ("service", Some(&job.service)),
            ("method", Some(&job.method)),
            ("circuit", job.circuit.as_ref()),
        ];
        let image = match &job.image {
            ImageChoice::Digest(digest) => Some(digest),
            ImageChoice::Current => None,
        };
        let texts = [
            ("image", image),
            ("options", job.options.as_ref()),
            ("media_type", job.media_type.as_ref()),
            ("traceparent", job.traceparent.as_ref()),
        ];
        let bounded = names.map(|name| (name, NAME_BYTES_MAX)).into_iter();
        for ((what, text), bytes_max) in bounded.chain(texts.map(|text| (text, TEXT_BYTES_MAX))) {
            if text.is_some_and(|text| text.len() > bytes_max) {
                return Err(JobError::TextTooLong { what, bytes_max });
            }
        }
    }
    Ok(())
}

impl Writer {
    /// Stores jobs.
    pub(super) fn submit(&mut self, jobs: Vec<SealedJob>) -> Result<Vec<Submitted>, JobError> {
        let now = self.shared.clock.wall();
        jobs.into_iter().map(|job| self.submit_one(job, now)).collect()
    }

    fn submit_one(&mut self, sealed: SealedJob, now: Timestamp) -> Result<Submitted, JobError> {
        if let Some(record) = self.existing(&sealed.digests)? {
            return Ok(Submitted::Existing(record));
        }
        let SealedJob { id, job, body, callback, digests } = sealed;
        self.shared.queues().check(&self.shared.limits, &job.tenant, 1, digests.body_bytes)?;
        if callback.is_some() {
            self.shared.queues().check_deliveries(&self.shared.limits)?;
        }
        let (origin, url) = callback.map(|callback| (callback.origin, callback.url)).unzip();
        let latest = now.after(self.shared.limits.delay_max);
        if job.not_before.into_iter().chain(job.expires_at).any(|time| time > latest) {
            return Err(JobError::TooLate(self.shared.limits.delay_max));
        }
        let not_before = job.not_before.filter(|time| *time > now);
        let delay = if not_before.is_some() { Delay::NotBefore } else { Delay::None };
        // Waiting begins when the job may be claimed.
        let waits_from = not_before.unwrap_or(now);
        let expires_at = job.expires_at.unwrap_or_else(|| waits_from.after(self.shared.limits.waiting_ttl));
        let image = match &job.image {
            ImageChoice::Current => None,
            ImageChoice::Digest(digest) => Some(digest),
        };
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO job (id, tenant, service, method, circuit, image, kind, options, media_type, callback, \
             callback_url, traceparent, state, delay, priority, estimate_ms, submitted, not_before, expires_at, due_at, idempotency, \
             fingerprint, work, body_bytes, body_digest) VALUES (:id, :tenant, :service, :method, :circuit, :image, :kind, \
             :options, :media_type, :callback, :callback_url, :traceparent, 0, :delay, :priority, :estimate_ms, :submitted, \
             :not_before, :expires_at, :expires_at, :idempotency, :fingerprint, :work, :body_bytes, :body_digest)",
        )?;
        let seq = insert.insert(named_params! {
            ":id": id.as_bytes(),
            ":tenant": job.tenant.as_str(),
            ":service": job.service,
            ":method": job.method,
            ":circuit": job.circuit,
            ":image": image,
            ":kind": input_kind_number(job.kind),
            ":options": job.options,
            ":media_type": job.media_type,
            ":callback": origin,
            ":callback_url": url,
            ":traceparent": job.traceparent,
            ":delay": delay as i64,
            ":priority": job.priority.get(),
            ":estimate_ms": job.estimate.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
            ":submitted": stored(now),
            ":not_before": job.not_before.map(stored),
            ":expires_at": stored(expires_at),
            ":idempotency": digests.idempotency,
            ":fingerprint": digests.fingerprint,
            ":work": digests.work,
            ":body_bytes": i64::try_from(digests.body_bytes).expect("a body fits into memory"),
            ":body_digest": digests.body,
        })?;
        drop(insert);
        self.store("INSERT INTO body (seq, sealed, file) VALUES (?1, ?2, ?3)", seq, body)?;
        let before = self.shared.queues().before(&job.tenant, job.priority);
        let waiting = Waiting {
            tenant: &job.tenant,
            service: &job.service,
            priority: job.priority,
            body_bytes: digests.body_bytes,
            is_ready: delay == Delay::None,
        };
        self.count().add(waiting, 1);
        self.add_effect(Effect::Work);
        Ok(Submitted::New(JobRecord {
            id,
            image: job.image,
            state: State::Queued,
            attempts: 0,
            priority: job.priority,
            place: Some(before.min(read::PLACE_MAX)),
            submitted: now,
            claimed: None,
            finished: None,
            not_before: job.not_before,
            expires_at: Some(expires_at),
            error: None,
            result: None,
            computed_by: None,
            body_bytes: digests.body_bytes,
            traceparent: job.traceparent,
            callback: origin,
            cancel_requested: false,
            tenant: job.tenant,
            service: job.service,
            method: job.method,
            circuit: job.circuit,
        }))
    }

    /// Stores a sealed value with a statement that takes the number of the job, the value and the name of its file.
    pub(super) fn store(&mut self, statement: &str, seq: i64, value: Prepared) -> Result<(), JobError> {
        let mut insert = self.connection.prepare_cached(statement)?;
        match value {
            Prepared::Inline(sealed) => insert.execute((seq, Some(sealed), None::<String>))?,
            Prepared::File(file) => {
                insert.execute((seq, None::<Vec<u8>>, Some(file.name())))?;
                drop(insert);
                self.effects.push(Effect::Named(file));
                1
            }
        };
        Ok(())
    }

    /// The job that an idempotency key belongs to.
    fn existing(&self, digests: &Digests) -> Result<Option<JobRecord>, JobError> {
        let Some(key) = digests.idempotency else { return Ok(None) };
        let mut query = self.connection.prepare_cached("SELECT * FROM job WHERE idempotency = ?1")?;
        let found = query
            .query_row([key], |row| {
                Ok((rows::record(row)?, row.get("seq")?, row.get::<_, [u8; 32]>("fingerprint")?))
            })
            .optional()?;
        let Some((mut record, seq, fingerprint)) = found else { return Ok(None) };
        if fingerprint != digests.fingerprint {
            return Err(JobError::IdempotencyMismatch);
        }
        record.place = read::place(&self.connection, &record, seq)?;
        Ok(Some(record))
    }
}

/// Takes the body out of a job, to be sealed.
pub(super) fn take_body(job: &mut NewJob) -> Zeroizing<Vec<u8>> {
    std::mem::take(&mut job.body)
}
