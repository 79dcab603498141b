//! The server and image whose circuits a command is about.

use super::form::MultipartForm;
use crate::cli::client::{Access, ApiRequest, Client};
use serde_json::Value;

/// Longest reply that is accepted, in bytes: a verifying key is as long as its circuit.
const REPLY_BYTES_MAX: u64 = 1 << 30;

#[derive(clap::Args)]
pub(super) struct Place {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(super) server: String,
    /// The image, if several take circuits
    #[arg(long)]
    pub(super) image: Option<String>,
    #[command(flatten)]
    access: Access,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Place {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.server, &self.access, REPLY_BYTES_MAX)
    }

    /// Sends a request about the selected image, and returns the answer.
    pub(super) fn send(&self, request: ApiRequest<'_>, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        // The list of circuits covers all images.
        let is_list = request.path == ["v1", "circuits"];
        let image = self.image().filter(|_| !is_list);
        let query: Vec<_> = query.iter().copied().chain(image).collect();
        self.client()?.send_json(&ApiRequest { query: &query, ..request })
    }

    /// Sends the files of a circuit, and returns the answer.
    pub(super) fn upload(
        &self,
        request: ApiRequest<'_>,
        query: &[(&str, &str)],
        form: MultipartForm,
    ) -> anyhow::Result<Value> {
        let query: Vec<_> = query.iter().copied().chain(self.image()).collect();
        let (mut body, bytes) = form.into_body();
        self.client()?.upload(&ApiRequest { query: &query, ..request }, &mut body, bytes)
    }

    /// Calls a method of the selected image, and returns the reply.
    pub(super) fn call(&self, request: &ApiRequest<'_>) -> anyhow::Result<Vec<u8>> {
        let query: Vec<_> = request.query.iter().copied().chain(self.image()).collect();
        self.client()?.send(&ApiRequest { query: &query, ..*request })
    }

    /// Fetches the verifying key of a circuit.
    pub(super) fn verifying_key(&self, circuit: &str) -> anyhow::Result<Vec<u8>> {
        let path = ["v1", "methods", "verifying_key"];
        let query = [("circuit", circuit)];
        self.call(&ApiRequest { method: "POST", path: &path, query: &query, ..ApiRequest::default() })
    }

    fn image(&self) -> Option<(&str, &str)> {
        self.image.as_deref().map(|image| ("image", image))
    }
}
