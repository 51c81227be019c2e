//! Questions, and notes of probes: they change nothing that anybody runs with and are not audited.

use std::time::Duration;

use chrono::Utc;
use scryon_store::{CALLBACK, Store};
use serde_json::{Value, json};

use crate::{Operation, OperationError, secrets};

/// Most lines of a list.
const MOST: i64 = 1000;

/// The answer, where the operation is a question.
pub(crate) async fn answer(operation: &Operation, store: &Store) -> Result<Option<Value>, OperationError> {
    Ok(Some(match operation {
        Operation::Switches {} => json!({"switches": store.switches().await?}),
        Operation::Keys {} => {
            let mut uses = store.key_uses().await?;
            uses.retain(|used| !used.client.starts_with(CALLBACK));
            json!({"keys": store.keys().await?, "uses": uses})
        }
        Operation::Secrets {} => secrets::secrets(store).await?,
        // It changes nothing of the installation: every probe in the audit log would hide what people did.
        Operation::NoteProbe { seconds, failed_step, steps } => {
            let took = Duration::try_from_secs_f64(*seconds)
                .map_err(|_| OperationError::Invalid("seconds is no duration".to_owned()))?;
            store.probe_note(took, failed_step.as_deref(), steps.clone()).await?;
            json!({"noted": true})
        }
        Operation::SweepState {} => json!(store.sweep_state().await?),
        Operation::Stuck {} => json!({"calls": store.calls_stuck(MOST).await?}),
        Operation::DeadLetters {} => json!({"letters": store.dead_letters(MOST).await?}),
        Operation::Changes { since } => json!({"changes": store.changes(*since).await?}),
        Operation::Impact { since, until } => {
            json!({"impact": store.impact(*since, until.unwrap_or_else(Utc::now)).await?})
        }
        Operation::AuditLog { page, size } => audit_log(store, *page, *size).await?,
        Operation::ReprocessPlan { filter } => {
            not_empty(filter)?;
            json!(store.reprocess_plan(filter).await?)
        }
        Operation::Backfill {} => json!(store.backfill().await?),
        Operation::Providers {} => json!({"circuits": store.circuits().await?}),
        _ => return Ok(None),
    }))
}

/// A choice of every call there is was never meant.
pub(crate) fn not_empty(filter: &scryon_store::CallFilter) -> Result<(), OperationError> {
    if filter.is_empty() {
        let words = "nothing is chosen: name a tenant, a user, a time, a status or a normalization version";
        return Err(OperationError::Invalid(words.to_owned()));
    }
    Ok(())
}

/// A page as the contract's envelope has it.
async fn audit_log(store: &Store, page: i64, size: i64) -> Result<Value, OperationError> {
    let size = size.clamp(1, MOST);
    let offset = page.checked_mul(size).filter(|o| *o >= 0);
    let offset = offset.ok_or_else(|| OperationError::Invalid("page is out of range".to_owned()))?;
    let (content, total) = store.audit_log(size, offset).await?;
    Ok(json!({
        "content": content,
        "totalElements": total,
        "totalPages": total.div_euclid(size) + i64::from(total.rem_euclid(size) > 0),
        "number": page,
        "size": size,
    }))
}
