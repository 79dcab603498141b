//! Values as users write them.
//!
//! Invariant: an error lists the accepted values.

use super::hosts::Hosts;
use crate::policy::Percent;
use bytesize::ByteSize;
use std::{path::PathBuf, time::Duration};

/// Follows the XDG base directory specification.
pub(super) fn default_dir(variable: &str, in_home: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set.or_else(|| std::env::home_dir().map(|home| home.join(in_home)))?;
    Some(base.join("snapback"))
}

pub(super) fn path(value: &str) -> Result<PathBuf, String> {
    if value.is_empty() {
        return Err("a path".into());
    }
    match value.strip_prefix("~/") {
        Some(rest) => std::env::home_dir()
            .map(|home| home.join(rest))
            .ok_or_else(|| "there is no home directory".into()),
        None => Ok(value.into()),
    }
}

pub(super) fn number(value: &str, min: usize, max: usize) -> Result<usize, String> {
    let accepted = || format!("a number from {min} to {max}");
    value.parse().ok().filter(|number| (min..=max).contains(number)).ok_or_else(accepted)
}

pub(super) fn bytes(value: &str, min: u64, max: u64) -> Result<u64, String> {
    let accepted = || format!("a size from {min} to {max} bytes, such as 64MiB");
    let size = value.parse::<ByteSize>().map_err(|_| accepted())?.as_u64();
    if (min..=max).contains(&size) { Ok(size) } else { Err(accepted()) }
}

pub(super) fn duration(value: &str) -> Result<Duration, String> {
    let accepted = || "a time from 1ms to 24h, such as 30s".into();
    humantime::parse_duration(value)
        .ok()
        .filter(|time| (Duration::from_millis(1)..=Duration::from_hours(24)).contains(time))
        .ok_or_else(accepted)
}

pub(super) fn long_duration(value: &str) -> Result<Duration, String> {
    const MAX: Duration = Duration::from_hours(10 * 366 * 24);
    let accepted = || "a time from 1s to 10 years, such as 30d".into();
    let time = humantime::parse_duration(value).ok();
    time.filter(|time| (Duration::from_secs(1)..=MAX).contains(time)).ok_or_else(accepted)
}

pub(super) fn percent(value: &str) -> Result<Percent, String> {
    let hundredths = value.strip_suffix('%').unwrap_or(value).parse::<u8>().ok();
    hundredths
        .filter(|hundredths| *hundredths <= 100)
        .map(Percent::new)
        .ok_or_else(|| "a share from 0% to 100%".into())
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(value: &str, words: &[(&str, T)]) -> Result<T, String> {
    let known = words.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning);
    known.ok_or_else(|| {
        let quoted: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let (last, others) = quoted.split_last().expect("there are several words");
        format!("{} or {last}", others.join(", "))
    })
}

/// A value, or `off`.
pub(super) fn or_off<T>(value: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if value == "off" {
        return Ok(None);
    }
    read(value).map(Some).map_err(|accepted| format!("`off`, or {accepted}"))
}

/// Host names, separated by commas.
pub(super) fn hosts(value: &str) -> Result<Hosts, String> {
    let accepted = || "`local`, `any`, or host names such as proofs.example, separated by commas".to_owned();
    match value {
        "local" => Ok(Hosts::Named(Vec::new())),
        "any" => Ok(Hosts::Any),
        names => {
            let is_name = |name: &str| {
                !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
            };
            let names: Vec<String> = list(names).map(str::to_ascii_lowercase).collect();
            if names.iter().all(|name| is_name(name)) { Ok(Hosts::Named(names)) } else { Err(accepted()) }
        }
    }
}

/// Origins of web pages, separated by commas.
pub(super) fn origins(value: &str) -> Result<Vec<String>, String> {
    if value == "none" {
        return Ok(Vec::new());
    }
    let is_origin = |text: &str| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        rest.is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'*')
        })
    };
    let origins: Vec<String> = list(value).map(str::to_owned).collect();
    if origins.iter().all(|text| is_origin(text)) {
        return Ok(origins);
    }
    Err("`none`, or origins such as https://proofs.example without a path, separated by commas".into())
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim)
}
