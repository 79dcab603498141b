//! Checks owners and permissions: the state directory, the files of keys, the number of open files.
//!
//! Invariant: keys are inspected the way a server does it, and never created, printed or kept.

use super::{
    check::Check,
    scratch::{Scratch, nearest_dir},
};
use crate::{
    access::KeyFile,
    cli::{job_engine::job_clients, open_files},
    config::Config,
    http::Token,
    jobs::SealingKey,
};
use rustix::{
    fs::{Access, access},
    process::{Resource, geteuid, getrlimit},
};
use snapback_snapshot::{BAKE_DIRECTORIES, CacheMode};
use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// Length of the key of native code, in bytes.
const KEY_BYTES: u64 = 32;
/// Permission bits with which others than the owner can write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Permission bits with which others than the owner can do anything.
const USABLE_BY_OTHERS: u32 = 0o077;

/// Makes the checks of this family.
pub(super) fn checks(config: &Config, scratch: Option<&Scratch>) -> Vec<Check> {
    let mut checks = vec![state_dir(&config.state_dir, scratch)];
    if config.native_cache == CacheMode::On {
        checks.push(native_key(&config.key_file));
    }
    if job_clients(config).is_some() {
        checks.push(jobs_key(config));
    }
    if let Some(file) = &config.admin_token_file {
        checks.push(admin_token(file));
    }
    checks.push(keys(config));
    checks.push(open_files(getrlimit(Resource::Nofile).maximum, config.http.connections_max));
    checks
}

/// The keys of clients.
fn keys(config: &Config) -> Check {
    let (name, path) = ("files.access_keys", &config.access.keys_file);
    let shown = path.display();
    let are_needed = config.access.are_needed(config.listen);
    match KeyFile::read(path) {
        Err(error) => Check::error(
            name,
            error.to_string(),
            "repair `auth.keys_file`, or move it away and make new keys",
        ),
        Ok(file) if file.keys.is_empty() && are_needed && config.admin_token_file.is_none() => {
            Check::warning(
                name,
                format!("requests need a key, and {shown} has none"),
                "make one: `snapback keys create`, as the user of the server",
            )
        }
        Ok(_) if !are_needed && !config.listen.ip().is_loopback() => Check::warning(
            name,
            format!("everybody who reaches {} may use the server", config.listen),
            "set `auth.required = auto`, and make keys: `snapback keys create`",
        ),
        Ok(file) => Check::ok(name, format!("{} in {shown}", file.keys.len())),
    }
}

fn state_dir(path: &Path, scratch: Option<&Scratch>) -> Check {
    let name = "files.state_dir";
    let shown = path.display();
    let refused = scratch.and_then(Scratch::elsewhere).map(ToString::to_string);
    if let Some(error) = refused {
        return Check::error(
            name,
            format!("nothing can be created in {shown}: {error}"),
            "set `state_dir` to a directory that belongs to the user of the server, on a disk that is mounted for writing",
        );
    }
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::ok(name, format!("{shown} does not exist yet, and can be made"));
        }
        Err(error) => {
            let advice = "give the user of the server access to `state_dir`";
            return Check::error(name, format!("{shown} cannot be used: {error}"), advice);
        }
    };
    let subdirectories = BAKE_DIRECTORIES.iter().filter_map(|sub| {
        let metadata = fs::symlink_metadata(path.join(sub)).ok()?;
        Some(format!("{shown}/{sub} {}", unfit_directory(&metadata)?))
    });
    if let Some(found) = subdirectories.into_iter().next() {
        return Check::error(
            name,
            found,
            "run this as the user of the server, or give it to that user alone: chown, chmod 700",
        );
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Check::warning(
            name,
            format!("others can write into {shown} (mode {:o})", metadata.mode() & 0o777),
            "chmod 700: others can replace what is in it",
        );
    }
    Check::ok(name, format!("{shown} (mode {:o})", metadata.mode() & 0o777))
}

/// Returns why a server refuses a directory within the state directory, if it does.
fn unfit_directory(metadata: &Metadata) -> Option<&'static str> {
    if !metadata.is_dir() {
        Some("is not a directory")
    } else if metadata.uid() != geteuid().as_raw() {
        Some("belongs to another user")
    } else if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        Some("can be written by others")
    } else {
        None
    }
}

fn native_key(path: &Path) -> Check {
    const ADVICE: &str = "remove it, so that the next start makes another, or give it to the user of the server with \
                          mode 0600: native code is compiled at every start otherwise";
    let name = "files.native_key";
    let shown = path.display();
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return missing(name, path, Missing::Costs),
        Err(error) => return Check::error(name, format!("{shown} cannot be used: {error}"), ADVICE),
    };
    let refused = if !metadata.is_file() {
        Some("is not a regular file")
    } else if metadata.uid() != geteuid().as_raw() {
        Some("belongs to another user")
    } else if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        Some("can be written by others")
    } else if metadata.nlink() != 1 {
        Some("has a second hard link")
    } else if metadata.len() < KEY_BYTES {
        Some("is too short")
    } else {
        None
    };
    match refused {
        Some(why) => Check::error(name, format!("{shown} {why}"), ADVICE),
        None if metadata.mode() & USABLE_BY_OTHERS != 0 => Check::warning(
            name,
            format!("{shown} can be read by others (mode {:o})", metadata.mode() & 0o777),
            "chmod 600: who has the key can make native code that the server takes for its own",
        ),
        None => Check::ok(name, format!("{shown} (mode {:o})", metadata.mode() & 0o777)),
    }
}

fn jobs_key(config: &Config) -> Check {
    let name = "files.jobs_key";
    match SealingKey::find(&config.jobs.key_file, &config.state_dir) {
        Ok(Some(_)) => Check::ok(name, format!("{} is the owner's alone", config.jobs.key_file.display())),
        Ok(None) => missing(name, &config.jobs.key_file, Missing::Fails),
        Err(error) => Check::error(
            name,
            error.to_string(),
            "keep `jobs.key_file` outside `state_dir`, as a file of the user of the server with mode 0600: jobs are \
             refused otherwise",
        ),
    }
}

/// What a key does that is missing and cannot be made.
#[derive(Clone, Copy)]
enum Missing {
    /// The server does without it, at a cost.
    Costs,
    /// A part of the server does not work.
    Fails,
}

/// Returns the check of a key that the first start makes.
fn missing(name: &'static str, path: &Path, missing: Missing) -> Check {
    let shown = path.display();
    let parent =
        nearest_dir(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    if access(&parent, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        return Check::ok(name, format!("{shown} does not exist yet, and can be made"));
    }
    let found = format!("{shown} does not exist, and cannot be made in {}", parent.display());
    match missing {
        Missing::Costs => Check::warning(
            name,
            found,
            "let the user of the server write there: each start compiles otherwise",
        ),
        Missing::Fails => {
            Check::error(name, found, "let the user of the server write there: jobs are refused otherwise")
        }
    }
}

fn admin_token(path: &Path) -> Check {
    let name = "files.admin_token";
    match Token::read(path) {
        Ok(_) => Check::ok(name, format!("{} is the owner's alone", path.display())),
        Err(error) => Check::error(
            name,
            format!("{}: {error}", path.display()),
            "write a token of 16 characters or more into it (openssl rand -hex 24), and chmod 600",
        ),
    }
}

fn open_files(maximum: Option<u64>, connections_max: usize) -> Check {
    let name = "files.open_files";
    let wanted = open_files::wanted(connections_max);
    match maximum {
        Some(allowed) if allowed < wanted => Check::warning(
            name,
            format!("{allowed} allowed, {wanted} wanted for `http.connections_max` = {connections_max}"),
            format!(
                "raise the hard limit (ulimit -Hn, LimitNOFILE={wanted}), or lower `http.connections_max`"
            ),
        ),
        Some(allowed) => Check::ok(name, format!("{allowed} allowed, {wanted} wanted")),
        None => Check::ok(name, "no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    #[test]
    fn the_key_of_native_code_is_judged_as_a_server_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("native.key");
        assert_eq!(native_key(&path).verdict(), Verdict::Ok, "the first start makes it");
        fs::write(&path, [7; 32]).expect("written");
        let with_mode = |mode| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
            native_key(&path).verdict()
        };
        assert_eq!(with_mode(0o600), Verdict::Ok);
        assert_eq!(with_mode(0o644), Verdict::Warning);
        assert_eq!(with_mode(0o620), Verdict::Error);
        assert_eq!(with_mode(0o400), Verdict::Ok);
        fs::hard_link(&path, dir.path().join("second")).expect("linked");
        assert_eq!(native_key(&path).verdict(), Verdict::Error);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert_eq!(native_key(&link).verdict(), Verdict::Error);
    }

    #[test]
    fn a_directory_that_others_write_into_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let with_mode = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
            state_dir(dir.path(), None).verdict()
        };
        assert_eq!(with_mode(dir.path(), 0o755), Verdict::Ok);
        assert_eq!(with_mode(dir.path(), 0o777), Verdict::Warning);
        let images = dir.path().join("images");
        fs::create_dir(&images).expect("made");
        assert_eq!(with_mode(&images, 0o770), Verdict::Error);
        assert_eq!(state_dir(&images, None).verdict(), Verdict::Warning);
    }

    #[test]
    fn fewer_files_than_connections_is_a_warning() {
        assert_eq!(open_files(Some(1024), 1024).verdict(), Verdict::Warning);
        assert_eq!(open_files(Some(4096), 1024).verdict(), Verdict::Ok);
        assert_eq!(open_files(None, 1024).verdict(), Verdict::Ok);
    }
}
