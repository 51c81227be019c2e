//! The admin surface: orders of operators, for keys with the scope `admin`. For everybody else it is not there.

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Path, Query};
use scryon_operations::{Operation, OperationError};
use serde::Deserialize;
use serde_json::Value;

use crate::App;
use crate::error::ApiError;
use crate::identity::Admin;

impl From<OperationError> for ApiError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Invalid(problem) => Self::validation("body", problem),
            OperationError::NotFound(what) => Self::target_not_found(&what),
            OperationError::Store(error) => error.into(),
        }
    }
}

/// POST /api/admin/operations/{name}: an order, with its fields as a JSON object.
pub(crate) async fn operate(
    app: Data<App>,
    admin: Admin,
    name: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, ApiError> {
    let fields: Value = if body.iter().all(u8::is_ascii_whitespace) {
        Value::Null
    } else {
        serde_json::from_slice(&body).map_err(|e| ApiError::validation("body", e.to_string()))?
    };
    let operation = Operation::read(&name, fields).ok_or_else(ApiError::route_not_found)??;
    Ok(HttpResponse::Ok().json(operation.carry_out(&app.store, &admin.actor()).await?))
}

#[derive(Deserialize)]
pub(crate) struct Page {
    #[serde(default)]
    page: i64,
    #[serde(default = "fifty")]
    size: i64,
}

const fn fifty() -> i64 {
    50
}

/// GET /api/admin/audit-log
pub(crate) async fn audit_log(
    app: Data<App>,
    admin: Admin,
    query: Query<Page>,
) -> Result<HttpResponse, ApiError> {
    let operation = Operation::AuditLog { page: query.page, size: query.size };
    Ok(HttpResponse::Ok().json(operation.carry_out(&app.store, &admin.actor()).await?))
}
