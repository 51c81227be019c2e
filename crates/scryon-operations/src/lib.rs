//! What operators order. One definition serves `POST /api/admin/operations/{name}` and the command line, which gives
//! the same order to the database while the API is down. Each order that changes something is one line of the audit
//! log: who, what, before, after, why.

mod keys;
mod orders;
mod reading;
mod secrets;

use std::time::Duration;

use chrono::{DateTime, Utc};
use scryon_domain::ids::CallId;
use scryon_store::{Audit, CallFilter, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use keys::{ADMIN, fresh_secret, is_key, key_hash};

/// Who orders.
#[derive(Debug, Clone)]
pub struct Actor {
    /// `key:<label>`, or `direct:<login>` for a command line on the database.
    pub name: String,
    pub request_id: Option<String>,
}

/// An order or a question, by its name in kebab-case and its fields in camelCase.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Operation {
    /// Every switch that holds now.
    Switches {},
    /// Keeps back `stage:<name>`, `lane:<name>` or `tenant:<id>`.
    Pause {
        target: String,
        #[serde(default)]
        seconds: Option<u64>,
        reason: String,
    },
    Resume {
        target: String,
    },
    /// Takes at most so many uploads a minute, of one tenant or of each and all together (`*`).
    Throttle {
        #[serde(default = "everybody")]
        tenant: String,
        per_minute: u32,
        #[serde(default)]
        seconds: Option<u64>,
        reason: String,
    },
    Unthrottle {
        #[serde(default = "everybody")]
        tenant: String,
    },
    /// Says yes or no to a feature, until it is cleared.
    Flag {
        name: String,
        enabled: bool,
        #[serde(default)]
        seconds: Option<u64>,
        reason: String,
    },
    ClearFlag {
        name: String,
    },
    /// Logs more of some parts for a while.
    LogLevel {
        directive: String,
        seconds: u64,
        reason: String,
    },
    ResetLogLevel {},
    /// Keys of tenants, and uses of all keys.
    Keys {},
    /// The answer holds the key, this once.
    CreateKey {
        tenant: String,
        label: String,
        #[serde(default)]
        scopes: Vec<String>,
    },
    RevokeKey {
        id: Uuid,
        reason: String,
    },
    /// Secrets by the beginnings of their hashes: which program has which, what each verified, what is still awaited.
    Secrets {},
    /// How a probe ended. `steps`: name to seconds from its beginning; `failedStep`: the one that was not done.
    NoteProbe {
        seconds: f64,
        #[serde(default)]
        failed_step: Option<String>,
        steps: Value,
    },
    /// The slow sweeps, now.
    Sweep {},
    /// How the sweep stands that was asked for.
    SweepState {},
    Stuck {},
    DeadLetters {},
    /// Announces anew what letters were about.
    Redrive {
        ids: Vec<i64>,
    },
    Changes {
        since: DateTime<Utc>,
    },
    Impact {
        since: DateTime<Utc>,
        #[serde(default)]
        until: Option<DateTime<Utc>>,
    },
    AuditLog {
        #[serde(default)]
        page: i64,
        #[serde(default = "page_size")]
        size: i64,
    },
    /// What new runs would take.
    ReprocessPlan {
        filter: CallFilter,
    },
    /// How workers follow in the backfill lane.
    Backfill {},
    /// Begins new runs of the next calls of a choice; the answer says where to go on.
    Reprocess {
        filter: CallFilter,
        #[serde(default)]
        after: Option<After>,
        #[serde(default = "batch")]
        limit: i64,
        #[serde(default)]
        force_paid: bool,
        /// From their stored transcripts: analysis alone.
        #[serde(default)]
        analysis_only: bool,
    },
    Providers {},
    /// `disable`, `enable`, or `always` (asked whatever it answers).
    Provider {
        engine: String,
        word: ProviderWord,
        #[serde(default)]
        seconds: Option<u64>,
        #[serde(default)]
        reason: Option<String>,
    },
    /// Whether calls do without a provider that asks for a pause.
    FailFast {
        engine: String,
        on: bool,
        #[serde(default)]
        seconds: Option<u64>,
        #[serde(default)]
        reason: Option<String>,
    },
    /// Deletes a call of whatever tenant.
    DeleteCall {
        id: CallId,
        reason: String,
    },
}

/// An operator's word about a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderWord {
    Disable,
    Enable,
    Always,
}

/// The last call of a batch.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct After {
    pub id: Uuid,
    pub created_at: DateTime<Utc>,
}

fn everybody() -> String {
    "*".to_owned()
}

const fn page_size() -> i64 {
    50
}

const fn batch() -> i64 {
    200
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// Nothing was changed.
    #[error("{0}")]
    Invalid(String),
    /// What it is about is not there.
    #[error("{0}")]
    NotFound(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation {
    /// Reads an order by its name. `None`: there is none of that name.
    pub fn read(name: &str, fields: Value) -> Option<Result<Self, OperationError>> {
        let mut fields = match fields {
            Value::Null => Value::Object(serde_json::Map::new()),
            fields => fields,
        };
        let Some(object) = fields.as_object_mut() else {
            return Some(Err(OperationError::Invalid("the body is not a JSON object".to_owned())));
        };
        object.insert("operation".to_owned(), name.into());
        match serde_json::from_value(fields) {
            Ok(operation) => Some(Ok(operation)),
            Err(error) if error.to_string().starts_with("unknown variant") && !is_operation(name) => None,
            Err(error) => Some(Err(OperationError::Invalid(error.to_string()))),
        }
    }

    /// Its name, as in the path of the API and in the audit log.
    pub fn name(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value["operation"].as_str().unwrap_or_default().to_owned()
    }

    /// Carries it out.
    ///
    /// # Errors
    /// See [`OperationError`].
    pub async fn carry_out(self, store: &Store, actor: &Actor) -> Result<Value, OperationError> {
        let action = self.name();
        let done = match reading::answer(&self, store).await? {
            Some(answer) => return Ok(answer),
            None => orders::carry_out(self, store, actor).await?,
        };
        store
            .audit(&Audit {
                actor: actor.name.clone(),
                action,
                target: done.target,
                before: done.before,
                after: done.after,
                reason: done.reason,
                request_id: actor.request_id.clone(),
            })
            .await?;
        Ok(done.answer)
    }
}

/// Whether serde's complaint was about a field's word rather than the operation's.
fn is_operation(name: &str) -> bool {
    let probe = serde_json::json!({"operation": name});
    !serde_json::from_value::<Operation>(probe)
        .is_err_and(|e| e.to_string().starts_with(&format!("unknown variant `{name}`")))
}

/// What an order did.
#[derive(Debug, Default)]
struct Done {
    target: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    reason: Option<String>,
    answer: Value,
}

fn period(seconds: Option<u64>) -> Option<Duration> {
    seconds.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn orders_are_read_by_name() {
        let read = |name, fields| Operation::read(name, fields);
        assert!(matches!(read("switches", Value::Null), Some(Ok(Operation::Switches {}))));
        let pause = json!({"target": "stage:analysis", "seconds": 60, "reason": "r"});
        assert!(matches!(read("pause", pause), Some(Ok(Operation::Pause { seconds: Some(60), .. }))));
        let hurry = json!({"engine": "llm", "on": true, "reason": "r"});
        assert!(matches!(read("fail-fast", hurry), Some(Ok(Operation::FailFast { on: true, .. }))));
        assert!(read("no-such-order", Value::Null).is_none());
        let cases = [
            ("pause", json!({"target": "stage:analysis"})),
            ("pause", json!({"target": "stage:analysis", "reason": "r", "more": 1})),
            ("provider", json!({"engine": "lemonfox", "word": "shout"})),
            ("pause", json!([])),
        ];
        for (name, fields) in cases {
            assert!(
                matches!(read(name, fields.clone()), Some(Err(OperationError::Invalid(_)))),
                "{name} {fields}"
            );
        }
    }

    #[test]
    fn an_order_knows_its_name() {
        assert_eq!(Operation::SweepState {}.name(), "sweep-state");
        assert_eq!(Operation::RevokeKey { id: Uuid::nil(), reason: String::new() }.name(), "revoke-key");
    }
}
