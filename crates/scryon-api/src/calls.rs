//! Calls: list, bulk status, detail, delete.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use chrono::{DateTime, Duration, Utc};
use scryon_domain::failure::reader_message;
use scryon_domain::ids::CallId;
use scryon_domain::status::CallStatus;
use scryon_operations::{Operation, OperationError};
use scryon_store::{CallDetailRow, CallListRow, ListPosition};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::App;
use crate::error::ApiError;
use crate::identity::{Admin, Caller};

const PAGE: i64 = 50;
const LARGEST_PAGE: i64 = 100;
const MOST_IDS: usize = 500;

/// A call's id in a path.
pub(crate) fn call_id(text: &str) -> Result<CallId, ApiError> {
    text.parse().map_err(|_e| ApiError::validation("id", "is not a UUID"))
}

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    limit: Option<i64>,
    cursor: Option<String>,
    status: Option<String>,
    page: Option<i64>,
    size: Option<i64>,
}

/// A line of the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListItem {
    id: Uuid,
    call_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_file_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact_name: Option<String>,
    direction: String,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<i64>,
    created_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    short_summary: Option<String>,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scryon_contact_id: Option<Uuid>,
    action_item_count: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_action_title: Option<String>,
}

impl From<CallListRow> for ListItem {
    fn from(row: CallListRow) -> Self {
        Self {
            id: row.id,
            call_id: row.id,
            title: row.title,
            original_file_name: row.original_file_name,
            contact_name: row.contact_name,
            direction: row.direction,
            status: row.status,
            duration_seconds: row.duration_seconds.map(whole_seconds),
            created_at: row.created_at,
            short_summary: row.short_summary,
            tags: row.tags,
            scryon_contact_id: row.scryon_contact_id,
            action_item_count: row.action_item_count,
            first_action_title: row.first_action_title,
        }
    }
}

/// Clients read seconds as an integer.
fn whole_seconds(seconds: f64) -> i64 {
    seconds.round() as i64
}

/// GET /api/calls: by cursor, or (with `page` and `size`) as a bare array.
pub(crate) async fn list(
    app: Data<App>,
    caller: Caller,
    query: Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let status = query.status.as_deref().map(read_status).transpose()?;
    let status = status.map(CallStatus::as_str);
    if query.page.is_some() || query.size.is_some() {
        let size = page_size(query.size)?;
        let page = query.page.unwrap_or(0);
        let offset = page
            .checked_mul(size)
            .filter(|o| *o >= 0)
            .ok_or_else(|| ApiError::validation("page", "is out of range"))?;
        let rows = app.store.calls_list(&caller.0, status, None, size, offset).await?;
        return Ok(HttpResponse::Ok().json(rows.into_iter().map(ListItem::from).collect::<Vec<_>>()));
    }
    let limit = page_size(query.limit)?;
    let after = query.cursor.as_deref().map(read_cursor).transpose()?;
    let mut rows = app.store.calls_list(&caller.0, status, after, limit + 1, 0).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or_default());
    let next =
        rows.last().filter(|_| more).map(|r| cursor(ListPosition { created_at: r.created_at, id: r.id }));
    let items: Vec<ListItem> = rows.into_iter().map(ListItem::from).collect();
    let mut body = json!({"items": items});
    if let Some(next) = next {
        body["nextCursor"] = next.into();
    }
    Ok(HttpResponse::Ok().json(body))
}

fn page_size(wanted: Option<i64>) -> Result<i64, ApiError> {
    match wanted {
        Some(n) if n < 1 => Err(ApiError::validation("limit", "must be 1 or more")),
        wanted => Ok(wanted.unwrap_or(PAGE).min(LARGEST_PAGE)),
    }
}

fn read_status(text: &str) -> Result<CallStatus, ApiError> {
    text.parse().map_err(|_e| {
        ApiError::validation(
            "status",
            "must be QUEUED, TRANSCRIBING, ANALYZING, COMPLETED, FAILED or CANCELLED",
        )
    })
}

/// Opaque to clients: where the page ended.
fn cursor(position: ListPosition) -> String {
    format!("{:x}-{}", position.created_at.timestamp_micros(), position.id.simple())
}

fn read_cursor(text: &str) -> Result<ListPosition, ApiError> {
    let read = || {
        let (micros, id) = text.split_once('-')?;
        let created_at = DateTime::from_timestamp_micros(i64::from_str_radix(micros, 16).ok()?)?;
        Some(ListPosition { created_at, id: Uuid::try_parse(id).ok()? })
    };
    read().ok_or_else(|| ApiError::validation("cursor", "is not one this API gave"))
}

#[derive(Deserialize)]
pub(crate) struct StatusQuery {
    #[serde(default)]
    ids: String,
}

/// GET /api/calls/status: many calls at once, and when to ask again.
pub(crate) async fn status(
    app: Data<App>,
    caller: Caller,
    query: Query<StatusQuery>,
) -> Result<HttpResponse, ApiError> {
    let ids = query.ids.split(',').map(str::trim).filter(|t| !t.is_empty());
    let ids = ids
        .map(|t| t.parse().map_err(|_e| ApiError::validation("ids", "holds something that is not a UUID")));
    let ids: Vec<CallId> = ids.collect::<Result<_, _>>()?;
    if ids.len() > MOST_IDS {
        return Err(ApiError::validation("ids", format!("holds more than {MOST_IDS} ids")));
    }
    let rows = app.store.calls_status(&caller.0, &ids).await?;
    let waiting = rows.iter().any(|r| r.status.parse().is_ok_and(|s: CallStatus| !s.is_final()));
    let in_flight = if waiting { app.admission.in_flight(&app.store, &caller.0.tenant_id).await } else { 0 };
    let items: Vec<Value> = rows.iter().map(|r| json!({"callId": r.id, "status": r.status})).collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextPollMs": next_poll_ms(waiting, in_flight)})))
}

/// Between a second and a minute: slower when much is in flight, and slowest when nothing is awaited.
fn next_poll_ms(waiting: bool, in_flight: i64) -> i64 {
    if waiting { (2_000 + in_flight * 10).clamp(1_000, 30_000) } else { 60_000 }
}

/// GET /api/calls/{id}
pub(crate) async fn detail(
    app: Data<App>,
    caller: Caller,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let row =
        app.store.call_detail(&caller.0, call_id(&path)?).await?.ok_or_else(ApiError::call_not_found)?;
    let ttl = Duration::from_std(app.limits.audio_ttl).unwrap_or_else(|_e| Duration::hours(24));
    Ok(HttpResponse::Ok().json(view(&row, ttl)))
}

fn view(row: &CallDetailRow, audio_ttl: Duration) -> Value {
    let reprocessable = row.has_audio.then_some(row.finished_at).flatten().map(|at| at + audio_ttl);
    let mut view = json!({
        "id": row.id,
        "callId": row.id,
        "status": row.status,
        "errorReason": row.error_reason,
        "errorMessage": row.error_reason.as_deref().map(reader_message),
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
        "title": row.title,
        "notes": row.notes,
        "shortSummary": row.short_summary,
        "tags": row.tags,
        "contactName": row.contact_name,
        "contactId": row.contact_id,
        "phoneNumber": row.phone_number,
        "organization": row.organization,
        "scryonContactId": row.scryon_contact_id,
        "direction": row.direction,
        "recordedAt": row.recorded_at,
        "durationSeconds": row.duration_seconds.map(whole_seconds),
        "originalFileName": row.original_file_name,
        "clientReference": row.client_reference,
        "metadata": row.metadata,
        "lane": row.lane,
        "run": row.run_no,
        "stages": row.stages,
        "reprocessableUntil": reprocessable,
        "queuePosition": row.ahead.map(|n| n + 1),
    });
    // A field without a value is left out; a field of the client's own object is not ours to touch.
    if let Value::Object(fields) = &mut view {
        fields.retain(|_, value| !value.is_null());
    }
    view
}

/// DELETE /api/calls/{id}: the row and all that belongs to it; objects leave in the next storage sweep. An admin may
/// delete anybody's, which is kept in the audit log.
pub(crate) async fn delete(
    app: Data<App>,
    caller: Caller,
    admin: Option<Admin>,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = call_id(&path)?;
    if app.store.call_delete(&caller.0, id).await? {
        return Ok(HttpResponse::NoContent().finish());
    }
    let Some(admin) = admin else { return Err(ApiError::call_not_found()) };
    let order = Operation::DeleteCall { id, reason: "DELETE /api/calls/{id}".to_owned() };
    match order.carry_out(&app.store, &admin.actor()).await {
        Ok(_) => Ok(HttpResponse::NoContent().finish()),
        Err(OperationError::NotFound(_)) => Err(ApiError::call_not_found()),
        Err(error) => Err(error.into()),
    }
}

/// GET /api/calls/{id}/costs: every request to a provider that was made for the call, and their sum.
pub(crate) async fn costs(
    app: Data<App>,
    caller: Caller,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = call_id(&path)?;
    let rows = app.store.call_costs(&caller.0, id).await?;
    // A call that bought nothing has an empty list; one that is not there has none.
    if rows.is_empty() && app.store.calls_status(&caller.0, &[id]).await?.is_empty() {
        return Err(ApiError::call_not_found());
    }
    let billed: f64 = rows.iter().filter_map(|row| row.billed_cost).sum();
    Ok(HttpResponse::Ok().json(json!({"callId": id, "currency": "USD", "billed": billed, "items": rows})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let position = ListPosition {
            created_at: DateTime::from_timestamp_micros(1_789_000_000_123_456).unwrap(),
            id: Uuid::now_v7(),
        };
        assert_eq!(read_cursor(&cursor(position)).unwrap(), position);
        for bad in ["", "x", "12-zz", "-", "ffffffffffffffffffff-00000000000000000000000000000000"] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn polling_slows_down_under_load() {
        assert_eq!(next_poll_ms(false, 0), 60_000);
        assert_eq!(next_poll_ms(true, 0), 2_000);
        assert!(next_poll_ms(true, 500) > next_poll_ms(true, 10));
        assert_eq!(next_poll_ms(true, 1_000_000), 30_000);
    }
}
