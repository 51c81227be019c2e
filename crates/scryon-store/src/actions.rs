//! Action items as their readers see them.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Date, Jsonb, Nullable, Text, Timestamptz};
use scryon_domain::ids::CallId;
use serde_json::Value;
use uuid::Uuid;

use crate::calls::Owner;
use crate::db::{Bind, Statement, Store, StoreError};

/// One item.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct ActionItemRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub call_record_id: Uuid,
    #[diesel(sql_type = Text)]
    pub title: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub description: Option<String>,
    #[diesel(sql_type = Nullable<Date>)]
    pub due_date: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Text>)]
    pub priority: Option<String>,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Text)]
    pub source: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub owner_speaker_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub owner_speaker_label: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub owner_display_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub owner_role: Option<String>,
    #[diesel(sql_type = Jsonb)]
    pub source_segment_ids_json: Value,
    #[diesel(sql_type = Nullable<Text>)]
    pub source_text: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub intent: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub intent_metadata_json: Option<Value>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub completed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

const COLUMNS: &str = "id, call_record_id, title, description, due_date, priority, status, source, owner_speaker_id, owner_speaker_label,
     owner_display_name, owner_role, source_segment_ids_json, source_text, intent, intent_metadata_json, completed_at, created_at, updated_at";

static LIST: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!(
        "select {COLUMNS} from action_items where tenant_id = $1 and user_id = $2 and ($3::uuid is null or call_record_id = $3)
         order by created_at desc, id limit $4"
    )
});

static SET_STATUS: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!(
        "update action_items set status = $4, touched_at = now(), updated_at = now(),
             completed_at = case when $4 = 'DONE' then coalesce(completed_at, now()) end
         where tenant_id = $1 and user_id = $2 and id = $3 returning {COLUMNS}"
    )
});

impl Store {
    /// The owner's items, newest first; of one call where `call_id` is given.
    pub async fn actions_list(
        &self,
        owner: &Owner,
        call_id: Option<CallId>,
        limit: i64,
    ) -> Result<Vec<ActionItemRow>, StoreError> {
        self.rows(
            Statement::new(&LIST)
                .bind(&owner.tenant_id)
                .bind(owner.user_id)
                .bind(Bind::Uuid(call_id.map(|id| id.0)))
                .bind(limit),
        )
        .await
    }

    /// Sets OPEN, IN_PROGRESS, DONE or DISMISSED. From here on the item belongs to its person: no later
    /// analysis changes it. `None`: no such item.
    pub async fn action_set_status(
        &self,
        owner: &Owner,
        id: Uuid,
        status: &str,
    ) -> Result<Option<ActionItemRow>, StoreError> {
        self.row(Statement::new(&SET_STATUS).bind(&owner.tenant_id).bind(owner.user_id).bind(id).bind(status))
            .await
    }
}
