//! Embeddings: what is due, the ledger's rows of their purchases, and the numbers.

use diesel::sql_types::{Array, Float, Integer, Nullable, Text};
use scryon_domain::ids::{CallId, JobId, TenantId};
use uuid::Uuid;

use super::IdRow;
use crate::calls::Owner;
use crate::db::{Bind, Statement, Store, StoreError};

/// A call whose embeddings are due. Holds personal data.
#[derive(Clone, diesel::QueryableByName)]
pub struct DueEmbedding {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub tenant_id: String,
    #[diesel(sql_type = Integer)]
    pub run_no: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub title: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub contact_name: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    pub tags: Vec<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub short_summary: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub transcript_key: Option<String>,
    #[diesel(sql_type = Nullable<diesel::sql_types::Binary>)]
    pub embedded_sha256: Option<Vec<u8>>,
}

/// A purchase of embeddings, before it is sent.
#[derive(Debug, Clone)]
pub struct EmbeddingJob {
    pub id: JobId,
    pub tenant_id: TenantId,
    pub call_id: CallId,
    pub run_no: i32,
    pub engine: &'static str,
    pub model: String,
    pub params_hash: Vec<u8>,
    /// Of the text; the ledger calls what is asked about by its hash, a recording or this.
    pub text_sha256: Vec<u8>,
    pub estimated_cost: Option<f64>,
}

/// Embeddings that were bought.
#[derive(Debug, Clone)]
pub struct NewEmbedding {
    pub call_id: CallId,
    pub model: String,
    pub text_sha256: Vec<u8>,
    /// One for each chunk, all of one length.
    pub vectors: Vec<Vec<f32>>,
}

/// One chunk of one call.
#[derive(Debug, Clone, PartialEq, diesel::QueryableByName)]
pub struct Vector {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub call_id: Uuid,
    #[diesel(sql_type = Array<Float>)]
    pub embedding: Vec<f32>,
}

const DUE: &str = "select c.id, c.tenant_id, c.run_no, c.title, c.contact_name, c.tags, c.short_summary, a.storage_key as transcript_key,
         s.embedded_sha256
     from (select call_id, embedded_sha256, indexed_at from call_search
           where embed_due and coalesce(embed_after <= now(), true) order by indexed_at limit $1) s
     join call_records c on c.id = s.call_id
     left join call_artifacts a on a.call_id = c.id and a.artifact_type = 'NORMALIZED_TRANSCRIPT_JSON'
     order by s.indexed_at";

/// One that was perhaps sent before stays in the ledger as unknown. Reading `old` here makes sure that it is out of
/// the way of the unique key first.
const BEGIN: &str = "with old as (
         update provider_jobs set live = false, state = case when state = 'sending' then 'unknown' else state end,
             finished_at = coalesce(finished_at, now())
         where tenant_id = $2 and stage = 'embedding' and engine = $5 and params_hash = $7 and audio_sha256 = $8 and live
         returning state)
     insert into provider_jobs (id, tenant_id, stage, call_id, run_no, engine, model, params_hash, audio_sha256, purchase_no, state,
         cause, sent_at, estimated_cost)
     select $1, $2, 'embedding', $3, $4, $5, $6, $7, $8,
         coalesce((select max(purchase_no) from provider_jobs where tenant_id = $2 and stage = 'embedding' and engine = $5
             and params_hash = $7 and audio_sha256 = $8), 0) + 1,
         'sending', case when exists (select 1 from old where state = 'unknown') then 'ambiguous'
             when (select count(*) from old) > 0 then 'repair' else 'first' end, now(), $9::float8::numeric
     returning id";

const END: &str = "update provider_jobs set state = $2, live = $2 <> 'failed', error_code = $3, units = $4, unit = 'tokens',
         billed_cost = $5::float8::numeric, finished_at = now()
     where id = $1 and state = 'sending' returning id";

const STORE: &str = "with call as (select id, tenant_id, user_id, created_at from call_records where id = $1 for key share),
     kept as (
         insert into call_embeddings (call_id, chunk_no, tenant_id, user_id, created_at, model, embedding)
         select call.id, n, call.tenant_id, call.user_id, call.created_at, $2, ($4::real[])[(n - 1) * $5 + 1 : n * $5]
         from call, generate_series(1, $3) n
         on conflict (call_id, chunk_no) do update set model = excluded.model, embedding = excluded.embedding
         returning 1),
     gone as (delete from call_embeddings where call_id = $1 and chunk_no > $3)
     update call_search set embed_due = false, embed_after = null, embedded_sha256 = $6
     from call where call_id = call.id and (select count(*) from kept) >= 0 returning call_id as id";

const SKIP: &str = "update call_search set embed_due = $2, embed_after = now() + $3 * interval '1 second'
     where call_id = $1 returning call_id as id";

const VECTORS: &str = "select call_id, embedding from call_embeddings
     where tenant_id = $1 and user_id = $2 and model = $3 order by created_at desc limit $4";

impl Store {
    /// Calls whose embeddings are due.
    pub async fn embeddings_due(&self, limit: i32) -> Result<Vec<DueEmbedding>, StoreError> {
        self.rows(Statement::new(DUE).bind(limit)).await
    }

    /// Records a purchase before it is sent.
    pub async fn embedding_begin(&self, job: &EmbeddingJob) -> Result<(), StoreError> {
        let statement = Statement::new(BEGIN)
            .bind(job.id)
            .bind(&job.tenant_id)
            .bind(job.call_id)
            .bind(job.run_no)
            .bind(job.engine)
            .bind(job.model.as_str())
            .bind(job.params_hash.clone())
            .bind(job.text_sha256.clone())
            .bind(Bind::Double(job.estimated_cost));
        self.row::<IdRow>(statement).await.map(|_| ())
    }

    /// Records how a purchase ended: what it took, or the code of its failure.
    pub async fn embedding_end(
        &self,
        job: JobId,
        failure: Option<&str>,
        tokens: Option<f64>,
        cost: Option<f64>,
    ) -> Result<(), StoreError> {
        let statement = Statement::new(END)
            .bind(job)
            .bind(if failure.is_some() { "failed" } else { "succeeded" })
            .bind(failure)
            .bind(Bind::Double(tokens))
            .bind(Bind::Double(cost));
        self.row::<IdRow>(statement).await.map(|_| ())
    }

    /// Keeps a call's embeddings in place of those before. False: the call is gone.
    pub async fn embedding_store(&self, new: &NewEmbedding) -> Result<bool, StoreError> {
        let length = new.vectors.first().map_or(0, Vec::len);
        let int = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let statement = Statement::new(STORE)
            .bind(new.call_id)
            .bind(new.model.as_str())
            .bind(int(new.vectors.len()))
            .bind(Bind::Floats(new.vectors.concat()))
            .bind(int(length))
            .bind(new.text_sha256.clone());
        Ok(self.row::<IdRow>(statement).await?.is_some())
    }

    /// A call's embeddings are not made now: never, or not before a while.
    pub async fn embedding_put_off(
        &self,
        call_id: CallId,
        again_in: Option<std::time::Duration>,
    ) -> Result<(), StoreError> {
        let statement =
            Statement::new(SKIP).bind(call_id).bind(again_in.is_some()).bind(again_in.unwrap_or_default());
        self.row::<IdRow>(statement).await.map(|_| ())
    }

    /// The numbers of an owner's newest calls.
    pub async fn embedding_vectors(
        &self,
        owner: &Owner,
        model: &str,
        limit: i64,
    ) -> Result<Vec<Vector>, StoreError> {
        let statement =
            Statement::new(VECTORS).bind(&owner.tenant_id).bind(owner.user_id).bind(model).bind(limit);
        self.rows(statement).await
    }
}
