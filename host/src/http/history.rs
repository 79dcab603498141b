//! What happened lately: calls of the last hour, and changes of settings.

use super::App;
use crate::telemetry::{history::HistoryView, setting_changes::SettingChange};
use axum::{Json, extract::State};
use serde::Serialize;
use std::{sync::Arc, time::Instant};

/// The latest changes of settings, newest first.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SettingChanges {
    changes: Vec<SettingChange>,
}

pub(super) async fn calls(State(app): State<Arc<App>>) -> Json<HistoryView> {
    let dispatcher = &app.dispatcher;
    Json(dispatcher.history().view(Instant::now(), dispatcher.metrics().troubles()))
}

pub(super) async fn settings(State(app): State<Arc<App>>) -> Json<SettingChanges> {
    Json(SettingChanges { changes: app.dispatcher.setting_changes().latest() })
}
