//! `snapback webhooks`: what was told about the ends of jobs, and what receivers verify it with.

use super::{
    client::ApiRequest,
    exit::{Exit, Failure},
    jobs::Place,
    output::outln,
    progress::printable,
    setting_args::SettingArgs,
};
use crate::{jobs::Tenant, webhooks::Secrets};
use anyhow::Context;
use serde_json::Value;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback webhooks list --state dead
  snapback webhooks resend 01890a5d-ac96-774b-bcce-b302099a8057
  snapback webhooks secret                                          print what receivers verify webhooks with")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List webhooks, newest first
    List {
        /// Only those in this state: waiting, delivered or dead
        #[arg(long)]
        state: Option<String>,
        /// Most webhooks that are listed
        #[arg(long, value_name = "N", default_value = "50")]
        limit: u32,
        /// Where an earlier page says that the next one begins
        #[arg(long)]
        cursor: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Send the webhook of a job again
    Resend {
        /// The id of the job
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Print the secret with which webhooks are signed; the file of `webhooks.secret_file` is created if missing
    Secret {
        /// The tenant whose webhooks are signed with it
        #[arg(long, default_value = "local")]
        tenant: String,
        #[command(flatten)]
        settings: SettingArgs,
    },
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::List { state, limit, cursor, place } => {
            let limit = limit.to_string();
            let filters = [("state", state), ("cursor", cursor)];
            let filters = filters.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
            let query: Vec<_> = filters.chain([("limit", limit.as_str())]).collect();
            let list = place.client()?.send_json(&ApiRequest {
                method: "GET",
                path: &["v1", "webhooks", "deliveries"],
                query: &query,
                ..ApiRequest::default()
            })?;
            if place.json {
                outln!("{list}");
                return Ok(());
            }
            list["deliveries"].as_array().context("not a list of webhooks")?.iter().for_each(print_line);
            if let Some(next) = list["next"].as_str() {
                eprintln!("there are more: --cursor {}", printable(next));
            }
            Ok(())
        }
        Action::Resend { id, place } => {
            place.show(&place.of("POST", &["v1", "webhooks", "deliveries", id, "resend"])?)
        }
        Action::Secret { tenant, settings } => {
            let tenant: Tenant =
                tenant.parse().map_err(|error| Failure::error(Exit::Usage, format!("--tenant: {error}")))?;
            let config = settings.config()?;
            let secrets = Secrets::load(&config.webhooks.secret_file, &config.state_dir)?;
            outln!("{}", *secrets.of(&tenant).text());
            Ok(())
        }
    }
}

fn print_line(webhook: &Value) {
    let text = |key: &str| printable(webhook[key].as_str().unwrap_or_default());
    let reason =
        webhook["reason"].as_str().map_or_else(String::new, |reason| format!(": {}", printable(reason)));
    let attempts = &webhook["attempts"];
    let (id, state, job, origin) = (text("id"), text("state"), text("job_state"), text("origin"));
    outln!("{id} {state:<9} {job:<11} {attempts:>3} {origin}{reason}");
}
