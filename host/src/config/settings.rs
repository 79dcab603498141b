//! The table of settings: keys, defaults, meanings. A test writes docs/settings.md from it.
//!
//! Invariant: every setting is in it once.

use super::setting::{Setting, per_image, setting};

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    setting("listen", "127.0.0.1:8080", "address and port to serve on"),
    setting(
        "state_dir",
        "~/.local/state/snapback",
        "directory for images and native code; created if missing",
    ),
    setting(
        "sandbox",
        "auto",
        "whether the server and its bakes give up the files, network and rights that they do not need: auto (as far \
         as the kernel lets them), on (no start without Landlock), or off",
    ),
    setting(
        "lanes",
        "one per core",
        "compute threads, each with an active instance of every image, and standbys",
    ),
    per_image("memory.limit", "4GiB", "linear memory that one instance may have, at most 4GiB"),
    per_image("memory.warn", "70%", "share of memory.limit in use from which a standby is kept at hand"),
    per_image("memory.critical", "90%", "share of memory.limit in use from which an instance is replaced"),
    setting("memory.sample_interval", "5s", "how often idle lanes check memory, age and idleness"),
    setting(
        "memory.process_limit",
        "cgroup",
        "memory of the whole process: a size, or what its cgroup may have",
    ),
    per_image(
        "swap.policy",
        "auto",
        "when a lane takes a fresh instance: every-call, threshold (by memory use and other limits), off, or auto \
         (threshold for the guest extract, every-call for all others)",
    ),
    per_image(
        "swap.share",
        "100%",
        "share of calls that swap.policy applies to, for a gradual rollout; the others are served as with off",
    ),
    per_image("standby.min", "0", "standbys that each lane keeps ready at all times"),
    setting(
        "standby.max",
        "auto",
        "most standbys of a lane and image: a number, or auto (by the number of lanes and images)",
    ),
    per_image("swap.calls_max", "off", "threshold: calls that an instance serves, or off"),
    per_image("swap.age_max", "off", "threshold: how old an instance gets, or off"),
    per_image("swap.idle_max", "off", "threshold: how long a used instance waits for a call, or off"),
    per_image("swap.jitter", "10%", "by how much counts and ages are shortened at random"),
    per_image(
        "swap.life_min",
        "0s",
        "threshold: age before which an instance is replaced only for what cannot wait",
    ),
    per_image(
        "swap.per_minute_max",
        "6000",
        "threshold: swaps of an image in a minute; beyond, it is unhealthy and keeps its instances",
    ),
    setting("queue.depth", "64", "calls that may wait for a lane; more are answered with 429"),
    per_image("call.deadline", "60s", "how long a call may run; longer ones are answered with 504"),
    per_image(
        "call.stall_timeout",
        "30s",
        "how long a call may use no processor; then it is answered with 504 and its lane replaced",
    ),
    setting("call.reply_bytes_max", "64MiB", "longest reply taken from a guest"),
    per_image(
        "breaker.failures",
        "20",
        "failed calls in a row after which an image gets no calls; they are answered with 503",
    ),
    per_image("breaker.open_for", "5s", "how long an image gets no calls before one is admitted as a probe"),
    setting(
        "http.hosts",
        "local",
        "host names that the server answers to, separated by commas, beside localhost and IP addresses; local for \
         no others, any for all",
    ),
    setting(
        "http.origins",
        "none",
        "origins of web pages that may use the server, such as https://proofs.example, separated by commas, or none",
    ),
    setting("http.body_bytes_max", "40MiB", "longest request body; longer ones are answered with 413"),
    setting("http.buffered_bytes_max", "256MiB", "request bodies and replies in memory, all together"),
    setting(
        "http.unread_bytes_max",
        "128MiB",
        "bytes of a body that are read and dropped after an early answer, so that the client sees the answer",
    ),
    setting(
        "http.connections_max",
        "1024",
        "connections open at once; more close one that waits for a request, or are answered with 503",
    ),
    setting(
        "http.connections_per_peer_max",
        "512",
        "connections of one address open at once, or off (for a proxy that all clients come through)",
    ),
    setting(
        "http.streams_max",
        "100",
        "requests under way at once on one HTTP/2 connection; each beyond the first also counts as a connection of its address",
    ),
    setting(
        "http.send_rate_min",
        "16KiB",
        "bytes of a reply that a client has to take in a second, on average over 256 KiB; slower ones are cut off; or off",
    ),
    setting("http.header_timeout", "10s", "how long a client may take to send a request's head"),
    setting("http.body_timeout", "30s", "how long a client may take to send a request's body"),
    setting(
        "tls.cert",
        "none",
        "file with the certificate of the server and those between it and its authority, as PEM; with tls.key, `listen` \
         takes TLS and nothing else; SIGHUP reads it again",
    ),
    setting(
        "tls.key",
        "none",
        "file with the key of tls.cert, as PEM, that nobody but its owner can read; SIGHUP reads it again",
    ),
    setting(
        "tls.client_ca",
        "none",
        "file with the authorities, as PEM, whose certificates clients may present; SIGHUP reads it again",
    ),
    setting("admin.listen", "off", "address and port of the admin routes, or off"),
    setting(
        "admin.token_file",
        "none",
        "file with the token that admin requests carry; needed by admin.listen",
    ),
    setting("drain.deadline", "90s", "how long a shutdown waits for calls that were accepted"),
    setting(
        "native.key_file",
        "~/.local/share/snapback/native.key",
        "file with the key that authenticates native code; created if missing",
    ),
    setting("native.cache", "on", "whether native code is kept on disk: on, or off (every start compiles)"),
    setting(
        "native.check",
        "identity",
        "how native code on disk is checked before it is mapped: identity (it is hashed unless its file is the one that was hashed before, as the kernel tells), or full (it is always hashed)",
    ),
    setting(
        "cold_start.target",
        "15ms",
        "time that a start with cached native code should take at most; exported as a metric, for alerts",
    ),
    setting(
        "bake.memory_limit",
        "2GiB",
        "linear memory that an initialiser may use, and that an image may start with",
    ),
    setting("bake.deadline", "30m", "how long a guest's initialiser may run"),
    setting("bake.image_bytes_max", "1GiB", "largest image"),
    setting("bake.input_bytes_max", "1GiB", "largest input"),
    setting(
        "circuits.changes",
        "auto",
        "who can add and remove circuits on `listen` where no keys are needed: auto (clients of this machine, if \
         `listen` is a loopback address and no header shows a proxy), on (all others too, with the token of \
         admin.token_file), or off; the admin routes always take changes",
    ),
    setting(
        "circuits.upload_bytes_max",
        "1GiB",
        "bytes on disk of all circuits that arrive at once, each with its calculator and names",
    ),
    setting(
        "circuits.upload_rate_min",
        "64KiB",
        "bytes of a circuit that a client has to send in a second, on average, once http.body_timeout has passed",
    ),
    setting("circuits.changes_max", "32", "changes of circuits that may wait; more are answered with 429"),
    setting("circuits.bake_deadline", "30m", "how long the bake of a change may take, all of it"),
    setting(
        "circuits.compact_at",
        "25%",
        "share of an image that removed circuits leave unused from which it is built again without them; 100% never",
    ),
    setting("circuits.calculator_deadline", "10s", "how long a circuit's witness calculator may run"),
    setting("circuits.calculator_memory_limit", "512MiB", "linear memory that a witness calculator may have"),
    setting(
        "circuits.witness_export",
        "off",
        "whether POST /v1/circuits/{circuit}/witness returns the witness of inputs: on, or off",
    ),
    setting(
        "circuits.generations_kept",
        "8",
        "generations that are kept for going back, beside the one that is served",
    ),
    setting(
        "circuits.generation_age_max",
        "30d",
        "how long a generation is kept after another took its place; the last one stays",
    ),
    setting(
        "auth.required",
        "auto",
        "whether requests need a key of `snapback keys`: auto (unless `listen` is a loopback address), on, or off; \
         probes need none",
    ),
    setting(
        "auth.keys_file",
        "~/.local/share/snapback/access/keys.json",
        "file with the hashes of keys and the quotas of tenants, which only its owner may use",
    ),
    setting(
        "tenants.concurrent_max",
        "off",
        "requests that one tenant may have under way, unless it has a quota of its own; more are answered with 429; or \
         off",
    ),
    setting("tenants.per_minute_max", "off", "requests that one tenant may send in a minute, or off"),
    setting(
        "tenants.bytes_per_minute_max",
        "off",
        "bytes of bodies that one tenant may send in a minute, or off",
    ),
    setting(
        "tenants.stored_bytes_max",
        "off",
        "bytes of files of circuits and of bodies of waiting jobs that one tenant may store, or off",
    ),
    setting(
        "audit.log",
        "on",
        "whether every change and every refusal is recorded in the directory `audit` of `state_dir`: on or off",
    ),
    setting("audit.bytes_max", "64MiB", "length from which a file of the audit log is put aside"),
    setting("audit.files_max", "8", "files of the audit log that are kept"),
    setting(
        "audit.waiting_max",
        "4096",
        "entries of the audit log that may wait for the disk; more are counted and lost",
    ),
    setting(
        "jobs.accept",
        "auto",
        "whose calls are accepted as durable jobs, with `?async=true`: auto (those with a key, where keys are needed; else \
         those of clients of this machine, if `listen` is a loopback address and no header shows a proxy), on (those of \
         all clients, who see each other's jobs where no keys are needed), or off",
    ),
    setting(
        "jobs.key_file",
        "~/.local/share/snapback/jobs.key",
        "file with the key that seals bodies and results of jobs on disk; created if missing, and never in state_dir",
    ),
    setting(
        "jobs.running_max",
        "auto",
        "jobs that are on their way to a lane or on one at once: a number, or auto (one for each lane but one, and at least one)",
    ),
    setting(
        "jobs.share_pure",
        "on",
        "whether a job of a pure method (`verify`) gets the kept result of an identical job of its tenant instead of running: on or off",
    ),
    setting("jobs.waiting_max", "100000", "jobs that may wait; more are answered with 429"),
    setting("jobs.waiting_bytes_max", "4GiB", "bodies of jobs that wait, all together, on disk"),
    setting(
        "jobs.remembered_max",
        "1000000",
        "jobs that are remembered, in any state; more are answered with 429",
    ),
    setting(
        "jobs.kept_bytes_max",
        "16GiB",
        "results of jobs that are kept, all together, on disk; above it, jobs are answered with 429",
    ),
    setting("jobs.delay_max", "30d", "longest `delay` and `expires_in` of a job"),
    setting("jobs.batch_max", "1000", "jobs that one request may submit"),
    setting(
        "jobs.lease",
        "30s",
        "how long a job that runs is not given to another lane after the server last heard of it; at least 1s",
    ),
    setting(
        "jobs.deaths_max",
        "2",
        "attempts at a job that may end with the death of the server or a lost lease; then the job is set aside as \
         quarantined",
    ),
    setting(
        "jobs.retries_max",
        "5",
        "how often a job runs again whose call the engine failed or that stalled",
    ),
    setting("jobs.waiting_ttl", "24h", "how long a job waits before it expires, unless it says otherwise"),
    setting("jobs.result_ttl", "24h", "how long the result of a job is kept"),
    setting(
        "jobs.idempotency_window",
        "24h",
        "how long a job and its idempotency key are remembered after its result is deleted, or after its end without one",
    ),
    setting(
        "webhooks.deliver",
        "off",
        "whether jobs can name a URL that is told about their end: on (the sandbox then lets the server connect to \
         webhooks.ports), or off",
    ),
    setting(
        "webhooks.secret_file",
        "~/.local/share/snapback/webhooks.key",
        "file with the key from which the secrets of webhooks come; created if missing, and never in state_dir",
    ),
    setting("webhooks.default_url", "none", "URL that is told about the end of jobs that name none, or none"),
    setting(
        "webhooks.private_addresses",
        "refuse",
        "whether webhooks are sent to addresses that are not on the public internet: refuse, or allow",
    ),
    setting("webhooks.ports", "80,443", "ports that webhooks are sent to, separated by commas, or any"),
    setting(
        "webhooks.ca_file",
        "none",
        "PEM file with certification authorities that are trusted beside the public ones, or none",
    ),
    setting("webhooks.timeout", "15s", "how long an attempt to deliver a webhook may take"),
    setting("webhooks.concurrent_max", "16", "attempts at once; one receiver has a quarter of them at most"),
    setting("webhooks.give_up_after", "24h", "how long a webhook is tried; then it is a dead letter"),
    setting("webhooks.kept", "7d", "how long webhooks that were delivered or given up are listed"),
    setting("webhooks.waiting_max", "100000", "webhooks that may wait; jobs with more are answered with 429"),
    setting("traces.endpoint", "off", "collector that traces go to, such as http://127.0.0.1:4318, or off"),
    setting("traces.headers_file", "none", "file with headers for the collector, each a line, or none"),
    setting(
        "traces.ca_file",
        "none",
        "PEM file with the authorities of the collector, in place of the public ones, or none",
    ),
    setting("traces.service_name", "snapback", "name of the service in traces"),
    setting("traces.sample", "100%", "share of traces that is recorded, of those that begin at this server"),
    setting("traces.queue_max", "2048", "spans that may wait for the collector; more are counted and lost"),
    setting("traces.timeout", "10s", "how long the collector may take for a request"),
    setting("log.level", "info", "error, warn, info, debug, trace, or a filter such as snapback_host=debug"),
    setting("log.format", "text", "text or json"),
];
