//! Tests of the table, its sources and its types together.

use super::{ConfigError, SETTINGS, Scope, Setting, Sources, model::Config, policies::set_policy};
use crate::policy::{MethodPolicy, Percent, Policy, SwapPolicy};
use snapback_snapshot::{Digest, Guest, Simd, manifest::Manifest};
use std::{io::Write, time::Duration};

fn resolve(fill: impl FnOnce(&mut Sources) -> Result<(), ConfigError>) -> Result<Config, ConfigError> {
    let mut sources = Sources::default();
    sources.set("state_dir", "/tmp".into(), "test".into())?;
    fill(&mut sources)?;
    sources.resolve()
}

fn toml(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("room for it");
    file
}

#[test]
fn flags_beat_variables_and_variables_beat_the_file() {
    let file = toml("lanes = 1\nqueue.depth = 1\n[call]\ndeadline = \"1s\"\n");
    let config = resolve(|sources| {
        sources.file(file.path())?;
        let variables = [("SNAPBACK_QUEUE_DEPTH", "2"), ("SNAPBACK_CALL_DEADLINE", "2s")];
        sources.variables(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        sources.set("call.deadline", "3s".into(), "--call-deadline".into())
    })
    .expect("valid settings");
    assert_eq!((config.lanes, config.queue_depth), (1, 2));
    assert_eq!(config.policies.all().deadline, Duration::from_secs(3));
}

#[test]
fn an_unknown_key_names_itself_and_its_file() {
    let file = toml("[memory]\nlimits = \"1GiB\"\n");
    let error = resolve(|sources| sources.file(file.path())).expect_err("a misspelt key").to_string();
    assert!(error.contains("memory.limits") && error.contains("memory.limit,"), "{error}");
    assert!(error.contains(&file.path().display().to_string()), "{error}");
}

#[test]
fn every_setting_refuses_nonsense_and_says_what_it_takes() {
    for Setting { key, .. } in SETTINGS {
        // Any text is a path, except the empty one.
        let paths = [
            "state_dir",
            "native.key_file",
            "jobs.key_file",
            "auth.keys_file",
            "admin.token_file",
            "webhooks.secret_file",
            "webhooks.ca_file",
            "traces.headers_file",
            "traces.ca_file",
        ];
        let value = if paths.contains(key) || key.starts_with("tls.") { "" } else { "=nonsense=" };
        let error = resolve(|sources| sources.set(key, value.into(), format!("--{key}")));
        let error = error.expect_err(key).to_string();
        assert!(error.contains(key) && error.contains("not accepted"), "{error}");
    }
}

#[test]
fn every_default_is_what_the_table_says() {
    for Setting { key, default, .. } in SETTINGS {
        let of_home =
            ["state_dir", "native.key_file", "jobs.key_file", "auth.keys_file", "webhooks.secret_file"];
        if *key != "lanes" && !of_home.contains(key) {
            let written = resolve(|sources| sources.set(key, (*default).into(), "table".into()));
            let written = format!("{:?}", written.expect(key));
            let unset = format!("{:?}", resolve(|_| Ok(())).expect("defaults"));
            assert_eq!(written, unset, "{key}");
        }
    }
}

#[test]
fn a_certificate_and_its_key_come_together() {
    let set = |keys: &[&str]| {
        resolve(|sources| keys.iter().try_for_each(|key| sources.set(key, "/file".into(), "test".into())))
    };
    assert!(set(&["tls.cert", "tls.key", "tls.client_ca"]).expect("all of them").tls.files().is_some());
    assert!(set(&[]).expect("none of them").tls.files().is_none());
    for (given, missing) in [("tls.cert", "tls.key"), ("tls.key", "tls.cert"), ("tls.client_ca", "tls.cert")]
    {
        let error = set(&[given]).expect_err(given).to_string();
        assert!(error.contains(missing), "{error}");
    }
}

#[test]
fn limits_of_zero_are_refused() {
    for key in ["lanes", "memory.limit", "queue.depth", "http.connections_max", "call.deadline"] {
        assert!(resolve(|sources| sources.set(key, "0".into(), "test".into())).is_err(), "{key}");
    }
}

/// The manifest of an image of this guest.
fn manifest(guest: &str, digest: Digest) -> Manifest {
    let manifest = serde_json::json!({
        "format_version": 3, "abi_version": 1, "kind": "service", "guest": { "name": guest, "digest": digest },
        "features": [], "inputs": [], "circuits": [], "methods": [], "memory_bytes": 0, "trial": null,
        "tools": { "snapback": "", "wasmtime": "", "wizer": "" }
    });
    serde_json::from_value(manifest).expect("a manifest")
}

#[test]
fn a_guest_chooses_its_swap_policy_unless_it_is_set() {
    use SwapPolicy::{EveryCall, Off, Threshold};
    let embedded = |name: &str| manifest(name, Guest::find(name).expect("embedded").digest);
    let (extract, zcash) = (embedded("extract"), embedded("zcash"));
    let without_simd = Guest::build("extract", Simd::Off).expect("two builds").digest;
    let stranger = manifest("extract", Digest::of(b"of somebody else"));
    let set = |values: &[(&str, &str)]| {
        let set = |sources: &mut Sources| {
            values.iter().try_for_each(|(key, value)| sources.set(key, (*value).into(), "test".into()))
        };
        resolve(set).expect("valid settings").policies
    };

    let auto = set(&[]);
    assert_eq!(auto.of("a", &extract).swap, Threshold);
    assert_eq!(auto.of("a", &manifest("b", without_simd)).swap, Threshold);
    assert_eq!(auto.of("extract", &zcash).swap, EveryCall);
    assert_eq!(auto.of("extract", &stranger).swap, EveryCall, "its name is what anybody can give it");

    let named =
        set(&[("swap.policy", "off"), ("image.a.swap.policy", "auto"), ("image.b.memory.warn", "5%")]);
    assert_eq!((named.of("a", &extract).swap, named.of("a", &zcash).swap), (Threshold, EveryCall));
    let others = ["b", "c"].map(|image| named.of(image, &extract));
    assert_eq!(others.each_ref().map(|policy| policy.swap), [Off, Off]);
    assert_eq!(others.map(|policy| policy.warn), [Percent::new(5), Percent::new(70)]);
    let one = set(&[("image.a.swap.policy", "every-call")]);
    assert_eq!(["a", "b"].map(|image| one.of(image, &extract).swap), [EveryCall, Threshold]);
}

#[test]
fn a_policy_that_is_shown_can_be_set_again() {
    let method = MethodPolicy { deadline: Some(Duration::from_secs(3)), repeatable: Some(false) };
    let policy = Policy {
        swap: SwapPolicy::Threshold,
        memory_limit_bytes: 256 << 20,
        share: Percent::new(25),
        standby_min: 2,
        warn: Percent::new(50),
        calls_max: Some(7),
        age_max: Some(Duration::from_mins(90)),
        idle_max: Some(Duration::from_millis(1500)),
        methods: [("prove".to_owned(), method)].into(),
        ..Policy::default()
    };
    let shown = serde_json::to_value(&policy).expect("a map with text keys");
    let shown = shown.as_object().expect("a map");
    for setting in SETTINGS.iter().filter(|setting| setting.scope == Scope::Image) {
        assert!(shown.contains_key(setting.key), "{}", setting.key);
    }
    let mut again = Policy::default();
    for (key, value) in shown {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        set_policy(&mut again, key, &value, SwapPolicy::Off)
            .unwrap_or_else(|accepted| panic!("{key}: {accepted}"));
    }
    assert_eq!(again, policy);
}
