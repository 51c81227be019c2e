//! What rows promise about objects, for a comparison with storage, and the repairs that follow from it.

use diesel::sql_types::{BigInt, Bool, Text};
use uuid::Uuid;

use crate::db::{Bind, Statement, Store, StoreError};

/// An artifact as its row promises it.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct PromisedArtifact {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub call_id: Uuid,
    #[diesel(sql_type = Text)]
    pub artifact_type: String,
    #[diesel(sql_type = Text)]
    pub storage_key: String,
    #[diesel(sql_type = BigInt)]
    pub byte_size: i64,
    /// Whether work on its call is under way or to come.
    #[diesel(sql_type = Bool)]
    pub is_live: bool,
}

/// What a new run of a call could begin from.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct Inputs {
    #[diesel(sql_type = diesel::sql_types::Nullable<Text>)]
    pub audio: Option<String>,
    /// The raw transcript and the diarization.
    #[diesel(sql_type = diesel::sql_types::Array<Text>)]
    pub heard: Vec<String>,
}

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
}

/// An upload that is on its way has an open key; what was erased has a tombstone, for as long as a hold keeps its objects.
const EXPLAINED: &str = "with seen as (select * from unnest($1::uuid[], $2::text[]) s (id, prefix))
     select s.id from seen s join idempotency_keys k on k.call_id = s.id and k.state = 'OPEN' and k.held_until > now()
     union
     select s.id from seen s join storage_tombstones t on t.target = s.prefix";

/// A live run goes on by itself; only a call that is over begins a new one.
const RUN_AGAIN: &str = "update call_records set status = 'QUEUED'
     where id = $1 and status in ('COMPLETED', 'FAILED') returning id";

impl Store {
    /// Artifacts after this one, in the order of their key.
    pub async fn artifacts_after(
        &self,
        last: Option<&PromisedArtifact>,
        batch: i32,
    ) -> Result<Vec<PromisedArtifact>, StoreError> {
        let sql = "select a.call_id, a.artifact_type::text as artifact_type, a.storage_key, a.byte_size::bigint as byte_size,
                 c.status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING') as is_live
             from call_artifacts a join call_records c on c.id = a.call_id
             where ($1::uuid is null or (a.call_id, a.artifact_type::text) > ($1, $2))
             order by a.call_id, a.artifact_type::text limit $3";
        let statement = Statement::new(sql)
            .bind(Bind::Uuid(last.map(|l| l.call_id)))
            .bind(last.map(|l| l.artifact_type.as_str()))
            .bind(batch);
        self.rows(statement).await
    }

    /// Takes the row of an artifact whose object is gone, if it still names it.
    pub async fn artifact_forget(&self, artifact: &PromisedArtifact) -> Result<bool, StoreError> {
        let sql = "delete from call_artifacts where call_id = $1 and artifact_type = $2 and storage_key = $3
             returning call_id as id";
        let statement = Statement::new(sql)
            .bind(Bind::Uuid(Some(artifact.call_id)))
            .bind(artifact.artifact_type.as_str())
            .bind(artifact.storage_key.as_str());
        Ok(self.row::<IdRow>(statement).await?.is_some())
    }

    /// What a new run of a call could begin from, as rows say.
    pub async fn call_inputs(&self, call: Uuid) -> Result<Option<Inputs>, StoreError> {
        let sql = "select (select storage_key from call_artifacts where call_id = $1 and artifact_type = 'TEMP_AUDIO') as audio,
                 array(select storage_key from call_artifacts where call_id = $1
                       and artifact_type in ('RAW_TRANSCRIPT_JSON', 'DIARIZATION_JSON')) as heard";
        self.row(Statement::new(sql).bind(Bind::Uuid(Some(call)))).await
    }

    /// Begins a new run of a call that is over, as an operator's reset does. False: it is under way.
    pub async fn call_run_again(&self, call: Uuid) -> Result<bool, StoreError> {
        let statement = Statement::new(RUN_AGAIN).bind(Bind::Uuid(Some(call)));
        Ok(self.row::<IdRow>(statement).await?.is_some())
    }

    /// Which of these calls without a row, each with the prefix of its objects, are on their way in or out.
    pub async fn calls_explained(&self, seen: &[(Uuid, String)]) -> Result<Vec<Uuid>, StoreError> {
        let statement = Statement::new(EXPLAINED)
            .bind(Bind::Uuids(seen.iter().map(|(id, _)| *id).collect()))
            .bind(Bind::Texts(seen.iter().map(|(_, prefix)| prefix.clone()).collect()));
        let rows: Vec<IdRow> = self.rows(statement).await?;
        Ok(rows.into_iter().map(|r| r.id).collect())
    }
}
