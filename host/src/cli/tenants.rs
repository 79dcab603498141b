//! `snapback tenants`: what each tenant of a server may use.

use super::{
    exit::{Exit, Failure},
    keys::{record, tenant_of},
    output::outln,
};
use crate::{
    access::{AccessError, KeyFile, Quota, TenantRecord, Weight},
    config::Config,
    jobs::Callback,
};
use anyhow::Context;
use bytesize::ByteSize;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback tenants set acme --concurrent 4 --per-minute 600
  snapback tenants set acme --bytes-per-minute 1GiB --stored-bytes 10GiB
  snapback tenants set acme --weight 3              its jobs get three times the running time of others
  snapback tenants list
  snapback tenants unset acme                       the quotas of all tenants apply again: tenants.*")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Give a tenant quotas, a weight and a callback of its own; those that are left out stay as they are
    Set {
        /// The tenant
        tenant: String,
        /// Requests that call or change circuits at once
        #[arg(long, value_name = "N")]
        concurrent: Option<u64>,
        /// Such requests in a minute
        #[arg(long, value_name = "N")]
        per_minute: Option<u64>,
        /// Bytes of their bodies in a minute
        #[arg(long, value_name = "SIZE")]
        bytes_per_minute: Option<ByteSize>,
        /// Bytes of the files of circuits, and of the bodies of jobs that wait
        #[arg(long, value_name = "SIZE")]
        stored_bytes: Option<ByteSize>,
        /// Share of the running time of jobs, relative to other tenants that have jobs waiting: 1 to 1000; 1 unless set
        #[arg(long, value_name = "N")]
        weight: Option<Weight>,
        /// Where the ends of its jobs are told, unless a job says otherwise
        #[arg(long, value_name = "URL")]
        callback_url: Option<String>,
    },
    /// List the tenants that have quotas or a weight of their own
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove the quotas, the weight and the callback of a tenant
    Unset {
        /// The tenant
        tenant: String,
    },
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    let path = &config.access.keys_file;
    match &args.action {
        Action::Set {
            tenant,
            concurrent,
            per_minute,
            bytes_per_minute,
            stored_bytes,
            weight,
            callback_url,
        } => {
            let name = tenant_of(tenant)?;
            if let Some(url) = callback_url {
                let refused = |error| Failure::error(Exit::Usage, format!("--callback-url: {error}"));
                url.parse::<Callback>().map_err(refused)?;
            }
            let quota = Quota {
                concurrent_max: *concurrent,
                per_minute_max: *per_minute,
                bytes_per_minute_max: bytes_per_minute.map(|size| size.as_u64()),
                stored_bytes_max: stored_bytes.map(|size| size.as_u64()),
            };
            if quota == Quota::default() && weight.is_none() && callback_url.is_none() {
                let message =
                    "nothing is set: give a quota such as --concurrent, --weight, or --callback-url";
                return Err(Failure::error(Exit::Usage, message));
            }
            KeyFile::update(path, |file| {
                let tenant = file.tenants.entry(name).or_default();
                tenant.quota = quota.or(&tenant.quota);
                tenant.weight = weight.or(tenant.weight);
                if let Some(url) = callback_url {
                    tenant.callback_url = Some(url.clone());
                }
                Ok(())
            })?;
            record(config, "tenants set", tenant);
        }
        Action::List { json } => list(&KeyFile::read(path)?, *json)?,
        Action::Unset { tenant } => {
            let name = tenant_of(tenant)?;
            KeyFile::update(path, |file| match file.tenants.remove(&name) {
                Some(_) => Ok(()),
                None => Err(AccessError::NoSuchTenant(name.to_string())),
            })?;
            record(config, "tenants unset", tenant);
        }
    }
    Ok(())
}

fn list(file: &KeyFile, json: bool) -> anyhow::Result<()> {
    if json {
        outln!("{}", serde_json::to_string(&file.tenants).context("cannot write JSON")?);
        return Ok(());
    }
    if file.tenants.is_empty() {
        outln!("no tenant has quotas of its own: the settings tenants.* apply to all");
        return Ok(());
    }
    let count = |max: Option<u64>| max.map_or("-".to_owned(), |max| max.to_string());
    let size = |max: Option<u64>| max.map_or("-".to_owned(), |max| ByteSize(max).to_string());
    outln!(
        "{:<16} {:>10} {:>10} {:>12} {:>12} {:>8}",
        "TENANT",
        "AT ONCE",
        "A MINUTE",
        "BYTES/MIN",
        "STORED",
        "WEIGHT"
    );
    for (name, TenantRecord { quota, weight, .. }) in &file.tenants {
        outln!(
            "{name:<16} {:>10} {:>10} {:>12} {:>12} {:>8}",
            count(quota.concurrent_max),
            count(quota.per_minute_max),
            size(quota.bytes_per_minute_max),
            size(quota.stored_bytes_max),
            weight.map_or(1, u32::from)
        );
    }
    Ok(())
}
