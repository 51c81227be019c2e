//! Action items of the caller.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path};
use scryon_store::ActionItemRow;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::App;
use crate::error::ApiError;
use crate::identity::Caller;

const MOST: i64 = 1000;
const STATUSES: [&str; 4] = ["OPEN", "IN_PROGRESS", "DONE", "DISMISSED"];

/// GET /api/actions: newest first, a bare array.
pub(crate) async fn list(app: Data<App>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let rows = app.store.actions_list(&caller.0, None, MOST).await?;
    Ok(HttpResponse::Ok().json(rows.iter().map(view).collect::<Vec<_>>()))
}

#[derive(Deserialize)]
pub(crate) struct StatusBody {
    status: Option<String>,
}

/// PATCH /api/actions/{id}
pub(crate) async fn set_status(
    app: Data<App>,
    caller: Caller,
    path: Path<String>,
    body: Json<StatusBody>,
) -> Result<HttpResponse, ApiError> {
    let id = Uuid::try_parse(&path).map_err(|_e| ApiError::validation("id", "is not a UUID"))?;
    let status = body.status.as_deref().unwrap_or_default();
    if !STATUSES.contains(&status) {
        return Err(ApiError::validation("status", format!("must be one of {}", STATUSES.join(", "))));
    }
    let row =
        app.store.action_set_status(&caller.0, id, status).await?.ok_or_else(ApiError::action_not_found)?;
    Ok(HttpResponse::Ok().json(view(&row)))
}

/// An item as clients see it. dueDate, priority and the owner are null where they are not known; other
/// fields without a value are left out.
fn view(row: &ActionItemRow) -> Value {
    let mut view = json!({
        "id": row.id,
        "callRecordId": row.call_record_id,
        "title": row.title,
        "status": row.status,
        "source": row.source,
        "dueDate": row.due_date,
        "priority": row.priority,
        "ownerSpeakerId": row.owner_speaker_id,
        "ownerSpeakerLabel": row.owner_speaker_label,
        "ownerDisplayName": row.owner_display_name,
        "ownerRole": row.owner_role,
        "sourceSegmentIds": row.source_segment_ids_json,
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
    });
    let optional = [
        ("description", row.description.clone().map(Value::from)),
        ("sourceText", row.source_text.clone().map(Value::from)),
        ("intent", row.intent.clone().map(Value::from)),
        ("intentMetadata", row.intent_metadata_json.clone()),
        ("completedAt", row.completed_at.map(|at| json!(at))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            view[name] = value;
        }
    }
    view
}
