//! Search: what is due to be indexed, the index, and its readers.

mod embeddings;
mod words;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

pub use self::embeddings::{DueEmbedding, EmbeddingJob, NewEmbedding, Vector};
pub use self::words::LONGEST_QUERY;
use self::words::Words;
use crate::calls::{CallListRow, Owner};
use crate::db::{Bind, Statement, Store, StoreError};

/// A call that is to be indexed.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct DueSearch {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub finished_at: Option<DateTime<Utc>>,
    /// It came up by its end, in the order of ends; else by a mark on it.
    #[diesel(sql_type = Bool)]
    pub in_order: bool,
    /// Where its transcript lies, if it has one.
    #[diesel(sql_type = Nullable<Text>)]
    pub transcript_key: Option<String>,
}

/// What goes into the index of a call besides its row.
#[derive(Clone, Serialize)]
pub struct SearchText {
    pub id: Uuid,
    /// As it was when the transcript was read.
    pub finished_at: Option<DateTime<Utc>>,
    #[serde(skip)]
    pub in_order: bool,
    pub body: String,
}

/// How far a user's calls are indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct SearchCounts {
    /// Calls that are over.
    #[diesel(sql_type = BigInt)]
    pub total: i64,
    #[diesel(sql_type = BigInt)]
    pub indexed: i64,
    /// Not indexed yet, or to be indexed again.
    #[diesel(sql_type = BigInt)]
    pub pending: i64,
    #[diesel(sql_type = BigInt)]
    pub embedded: i64,
    #[diesel(sql_type = BigInt)]
    pub embedding_pending: i64,
}

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
}

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Ends of calls are looked at in their order, and the last minute of them again: a transaction that was slow to
/// commit shows an end that is older than others.
const DUE: &str = "with due as (
         (select s.call_id as id, false as in_order from call_search s where s.due order by s.indexed_at limit $1)
         union all
         (select c.id, true from call_records c
          where c.finished_at >= (select finished_until - interval '1 minute' from call_search_progress)
            and not exists (select 1 from call_search s where s.call_id = c.id and s.finished_at = c.finished_at)
          order by c.finished_at limit $1))
     select c.id, c.finished_at, due.in_order, a.storage_key as transcript_key
     from (select id, bool_or(in_order) as in_order from due group by id) due join call_records c on c.id = due.id
     left join call_artifacts a on a.call_id = c.id and a.artifact_type = 'NORMALIZED_TRANSCRIPT_JSON'
     order by c.finished_at nulls first limit $1";

/// The call's row is locked first, as everywhere; one that somebody works on comes next time.
const STORE: &str = "with given as (select * from jsonb_to_recordset($1) as g(id uuid, finished_at timestamptz, body text)),
     calls as (
         select c.id, c.tenant_id, c.user_id, c.created_at, c.title, c.short_summary, c.contact_name, c.organization, c.phone_number, c.tags
         from call_records c where c.id in (select id from given) order by c.id for no key update skip locked)
     insert into call_search as s (call_id, tenant_id, user_id, created_at, finished_at, document, embed_due)
     select c.id, c.tenant_id, c.user_id, c.created_at, g.finished_at,
         array_to_tsvector(array['@' || c.user_id])
             || setweight(to_tsvector('simple', left(coalesce(c.title, ''), 2000)), 'A')
             || setweight(to_tsvector('simple', left(concat_ws(' ', c.contact_name, c.organization, c.phone_number), 2000)), 'A')
             || setweight(to_tsvector('simple', left(array_to_string(c.tags, ' '), 4000)), 'B')
             || setweight(to_tsvector('simple', left(coalesce(c.short_summary, ''), 20000)), 'C')
             || to_tsvector('simple', g.body),
         $2
     from calls c join given g on g.id = c.id
     on conflict (call_id) do update set finished_at = excluded.finished_at, document = excluded.document, due = false,
         embed_due = excluded.embed_due, embed_after = null, indexed_at = now()
     returning s.call_id as id";

const PROGRESS: &str = "update call_search_progress set finished_until = greatest(finished_until, $1)";

const IN_FLIGHT: &str = "select count(*) as n from (
         select 1 from call_records where status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING') limit $1) f";

const FIND: &str =
    "select f.id from calls_find($1, $2, $3, $4, $5) with ordinality as f(id, place) order by f.place";

static BY_IDS: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!("{} where c.tenant_id = $1 and c.user_id = $2 and c.id = any($3)", crate::calls::LIST_ITEMS)
});

const AGAIN: &str = "insert into call_search (call_id, tenant_id, user_id, created_at, due)
     select c.id, c.tenant_id, c.user_id, c.created_at, true from call_records c
     where c.tenant_id = $1 and c.user_id = $2 and c.finished_at is not null
     on conflict (call_id) do update set due = true
     returning call_id as id";

const COUNTS: &str = "select count(*) as total, count(*) filter (where s.finished_at is not null) as indexed,
         count(*) filter (where s.call_id is null or s.due or s.finished_at is distinct from c.finished_at) as pending,
         count(*) filter (where s.embedded_sha256 is not null) as embedded,
         count(*) filter (where s.embed_due) as embedding_pending
     from call_records c left join call_search s on s.call_id = c.id
     where c.tenant_id = $1 and c.user_id = $2 and c.finished_at is not null";

impl Store {
    /// Calls that ended since they were last looked at, and those that were changed.
    pub async fn search_due(&self, limit: i32) -> Result<Vec<DueSearch>, StoreError> {
        self.rows(Statement::new(DUE).bind(limit)).await
    }

    /// Indexes calls; gives those that were. `embed`: they are due for embeddings, too.
    pub async fn search_store(&self, texts: &[SearchText], embed: bool) -> Result<Vec<Uuid>, StoreError> {
        let given: Value = serde_json::to_value(texts).map_err(|e| StoreError::row(e.to_string()))?;
        let rows: Vec<IdRow> = self.rows(Statement::new(STORE).bind(given).bind(embed)).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// All ends up to this one were looked at.
    pub async fn search_progress(&self, until: DateTime<Utc>) -> Result<(), StoreError> {
        self.execute(Statement::new(PROGRESS).bind(until)).await.map(|_| ())
    }

    /// Calls on their way, counted up to `most`.
    pub async fn calls_in_flight(&self, most: i64) -> Result<i64, StoreError> {
        Ok(self.row::<CountRow>(Statement::new(IN_FLIGHT).bind(most)).await?.map_or(0, |row| row.n))
    }

    /// An owner's calls with these words, best first.
    pub async fn search_words(
        &self,
        owner: &Owner,
        query: &str,
        limit: i64,
    ) -> Result<Vec<Uuid>, StoreError> {
        let Some(words) = Words::of(query) else { return Ok(Vec::new()) };
        let statement = Statement::new(FIND)
            .bind(&owner.tenant_id)
            .bind(owner.user_id)
            .bind(words.search)
            .bind(words.beginnings)
            .bind(limit);
        let rows: Vec<IdRow> = self.rows(statement).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Lines of the list for an owner's calls, in the order of the ids; calls that are gone are left out.
    pub async fn calls_by_ids(&self, owner: &Owner, ids: &[Uuid]) -> Result<Vec<CallListRow>, StoreError> {
        let statement = Statement::new(&BY_IDS)
            .bind(&owner.tenant_id)
            .bind(owner.user_id)
            .bind(Bind::Uuids(ids.to_vec()));
        let mut rows: Vec<CallListRow> = self.rows(statement).await?;
        rows.sort_by_key(|row| ids.iter().position(|id| *id == row.id));
        Ok(rows)
    }

    /// Has all of an owner's calls that are over indexed again; gives their number.
    pub async fn search_again(&self, owner: &Owner) -> Result<usize, StoreError> {
        let statement = Statement::new(AGAIN).bind(&owner.tenant_id).bind(owner.user_id);
        Ok(self.rows::<IdRow>(statement).await?.len())
    }

    /// How far an owner's calls are indexed.
    pub async fn search_counts(&self, owner: &Owner) -> Result<SearchCounts, StoreError> {
        let statement = Statement::new(COUNTS).bind(&owner.tenant_id).bind(owner.user_id);
        self.row(statement).await?.ok_or_else(|| StoreError::row("a count gave no row"))
    }
}

/// A text as Postgres and the size of an index entry allow it.
pub fn indexable(text: &str, most_bytes: usize) -> String {
    let mut end = most_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_letters_and_holds_no_zero() {
        assert_eq!(indexable("a\0b", 10), "a b");
        assert_eq!(indexable("aä", 2), "a");
        assert_eq!(indexable("aä", 3), "aä");
        assert_eq!(indexable("", 3), "");
    }
}
