//! `snapback extract`: the text and the metadata of a document, here or on a server.

use super::{
    builds::BuildArgs,
    client::{Access, ApiRequest, Client},
    files, here,
};
use crate::config::Config;
use snapback_abi::options;
use snapback_snapshot::proof_systems::ProofSystems;
use std::{collections::BTreeMap, path::PathBuf};

/// The image of the embedded guest.
const IMAGE: &str = "extract";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback extract page.html                               title, text, Markdown, links and more, as JSON
  snapback extract page.html --method markdown -o page.md
  curl -s https://example.org | snapback extract - --url https://example.org --method links
  snapback extract page.html --server http://127.0.0.1:8080")]
pub(super) struct Args {
    /// The document, HTML in any encoding; - reads standard input
    input: PathBuf,
    /// What is wanted of it
    #[arg(long, value_enum, default_value = "extract")]
    method: Method,
    /// Address of the document, against which its links are resolved
    #[arg(long)]
    url: Option<String>,
    /// Its media type; the charset in it is the encoding
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The part of the document that `markdown`, `text` and `links` are taken from [default: page for links, else main]
    #[arg(long, value_enum)]
    content: Option<Content>,
    /// Write the result here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Image to use: a guest's name, a digest or its beginning, or a file; with --server, the name that it is served under
    #[arg(long, default_value = IMAGE)]
    image: String,
    /// Send the document to this server instead of reading it here
    #[arg(long, value_name = "URL", conflicts_with = "simd")]
    server: Option<String>,
    #[command(flatten)]
    build: BuildArgs,
    #[command(flatten)]
    access: Access,
}

/// A method of the guest.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Method {
    /// Everything that is found, as JSON
    Extract,
    /// The main content as Markdown
    Markdown,
    /// The main content as text
    Text,
    /// The links, as JSON
    Links,
}

/// A part of a document.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Content {
    /// The main content, without navigation and the like
    Main,
    /// The whole page
    Page,
}

pub(super) fn run(args: &Args, config: &Config, systems: &ProofSystems) -> anyhow::Result<()> {
    let document = files::read(&args.input)?;
    let method = match args.method {
        Method::Extract => "extract",
        Method::Markdown => "markdown",
        Method::Text => "text",
        Method::Links => "links",
    };
    let content = args.content.map(|content| match content {
        Content::Main => "main",
        Content::Page => "page",
    });
    let options: BTreeMap<&str, &str> =
        [("url", args.url.as_deref()), ("content_type", args.content_type.as_deref()), ("content", content)]
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
    let reply = match &args.server {
        Some(server) => {
            let query: Vec<_> = options.into_iter().chain([("image", args.image.as_str())]).collect();
            Client::new(server, &args.access, config.reply_bytes_max)?.send(&ApiRequest {
                method: "POST",
                path: &["v1", "methods", method],
                query: &query,
                body: &document,
                ..ApiRequest::default()
            })?
        }
        None => {
            let head = options::encode(&serde_json::to_vec(&options)?);
            here::call(
                (args.image.as_str(), args.build.among([args.image.as_str()])?),
                method,
                |_| Ok(String::new()),
                &[&head[..], &document].concat(),
                config,
                systems,
            )?
        }
    };
    files::write(args.output.as_deref(), &reply)
}
