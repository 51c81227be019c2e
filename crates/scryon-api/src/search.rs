//! Search: by words, and by meaning where embeddings are on.

mod meaning;

use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use scryon_store::LONGEST_QUERY;
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use uuid::Uuid;

pub(crate) use self::meaning::Meaning;
use crate::App;
use crate::calls::ListItem;
use crate::error::ApiError;
use crate::idempotency::Once;
use crate::identity::Caller;

const SIZE: i64 = 20;
const LARGEST: i64 = 100;
/// Matches of each kind that are merged.
const CANDIDATES: i64 = 100;
/// The constant of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009).
const FUSION: f64 = 60.0;

#[derive(Deserialize)]
pub(crate) struct SearchQuery {
    #[serde(default)]
    q: String,
    size: Option<i64>,
}

/// GET /api/calls/search: a bare array, best first.
pub(crate) async fn search(
    app: Data<App>,
    caller: Caller,
    query: Query<SearchQuery>,
) -> Result<HttpResponse, ApiError> {
    let q = query.q.trim();
    if q.chars().count() > LONGEST_QUERY {
        return Err(ApiError::validation("q", format!("has more than {LONGEST_QUERY} characters")));
    }
    let size = match query.size {
        Some(n) if n < 1 => return Err(ApiError::validation("size", "must be 1 or more")),
        wanted => wanted.unwrap_or(SIZE).min(LARGEST),
    };
    let words = app.store.search_words(&caller.0, q, CANDIDATES);
    let ids = match &app.meaning {
        None => words.await?,
        Some(meaning) => {
            let (words, alike) = futures_util::join!(words, meaning.alike(&app.store, &caller.0, q));
            merged(&[words?, alike])
        }
    };
    let ids: Vec<Uuid> = ids.into_iter().take(usize::try_from(size).unwrap_or_default()).collect();
    if ids.is_empty() {
        return Ok(HttpResponse::Ok().json(json!([])));
    }
    let rows = app.store.calls_by_ids(&caller.0, &ids).await?;
    Ok(HttpResponse::Ok().json(rows.into_iter().map(ListItem::from).collect::<Vec<_>>()))
}

/// Lists into one, by reciprocal rank fusion: what stands high in both comes first, and no scores are compared
/// that mean different things.
fn merged(lists: &[Vec<Uuid>]) -> Vec<Uuid> {
    let mut scores: HashMap<Uuid, f64> = HashMap::new();
    for list in lists {
        for (rank, id) in list.iter().enumerate() {
            *scores.entry(*id).or_default() += 1.0 / (FUSION + rank as f64 + 1.0);
        }
    }
    let mut ranked: Vec<(Uuid, f64)> = scores.into_iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
    ranked.into_iter().map(|(id, _)| id).collect()
}

/// POST /api/calls/search/backfill: all of the caller's calls are indexed again, and get embeddings where they
/// have none.
pub(crate) async fn backfill(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let act = async {
        let queued = app.store.search_again(&caller.0).await?;
        Ok(json!({"queued": queued, "embeddingEnabled": app.meaning.is_some()}))
    };
    let once = Once { request: &request, route: "POST /api/calls/search/backfill", payload: b"" };
    Ok(HttpResponse::Accepted().json(once.carried_out(&app.store, &caller.0, act).await?))
}

/// GET /api/calls/search/status
pub(crate) async fn status(app: Data<App>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let counts = app.store.search_counts(&caller.0).await?;
    let mut view = json!({
        "embeddingEnabled": app.meaning.is_some(),
        "total": counts.total,
        "indexed": counts.indexed,
        "pending": counts.pending,
    });
    if let Some(meaning) = &app.meaning {
        view["embeddingModel"] = meaning.model().into();
        view["embedded"] = counts.embedded.into();
        view["embeddingPending"] = counts.embedding_pending.into();
    }
    Ok(HttpResponse::Ok().json(view))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_both_lists_comes_first() {
        let [a, b, c, d] = [1, 2, 3, 4].map(Uuid::from_u128);
        assert_eq!(merged(&[vec![a, b, c], vec![c, d]]), [c, a, d, b]);
        assert_eq!(merged(&[vec![a, b], Vec::new()]), [a, b]);
        assert_eq!(merged(&[Vec::new(), Vec::new()]), Vec::<Uuid>::new());
    }
}
