//! What happened lately: calls of the last hour, and changes of settings.

use super::App;
use crate::{
    access::{Caller, Permission},
    telemetry::{history::HistoryView, setting_changes::SettingChange},
};
use axum::{Extension, Json, extract::State};
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

pub(super) async fn settings(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Json<SettingChanges> {
    let mut changes = app.dispatcher.setting_changes().latest();
    // Which key it was is for operators.
    if !caller.may(Permission::Operate) {
        changes.iter_mut().for_each(SettingChange::hide_key);
    }
    Json(SettingChanges { changes })
}
