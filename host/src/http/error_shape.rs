//! The one shape in which clients see errors: `{"code": ..., "message": ..., "request_id": ...}`.
//!
//! Invariant: every error of every route has it, with the id of the request that it answers.

use super::{error::ApiError, error_status::Parts};
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Error)]
pub(super) struct Body<'a> {
    code: &'a str,
    message: &'a str,
    request_id: &'a str,
}

impl ApiError {
    /// Renders the reply, with the id of the request that it answers.
    pub(crate) fn respond(&self, request_id: &str) -> Response {
        let Parts { status, code, message, header } = self.parts();
        let body = Body { code, message: &message, request_id };
        let json = serde_json::to_vec(&body).expect("three strings");
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], json).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// The code alone, for logs: the message of a guest may hold data of a client.
    pub(crate) fn code(&self) -> &'static str {
        self.parts().code
    }
}
