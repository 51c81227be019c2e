//! Jobs: a walk through statuses by the clock, then an output that vanishes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::{Data, Path, Query};
use actix_web::{Error, HttpRequest, HttpResponse};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::provider::{Problem, Provider};
use super::super::visit::Visit;
use super::limits;
use crate::reply::Reply;
use crate::{Shared, faults, lock};

/// Statuses before the last one.
const WALK: &[&str] = &["created", "pending", "running"];

/// How long a status of a job takes that waits for a release.
const HELD: Duration = Duration::from_secs(86_400);

/// A job, from its submit on.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: String,
    /// Whose it is.
    pub(super) key: String,
    pub(super) created: Instant,
    pub(super) created_at: DateTime<Utc>,
    /// How long each status before the last one takes.
    pub(super) step: Duration,
    /// How long the output is kept after the end.
    pub(super) kept: Duration,
    /// `succeeded`, `failed` or `canceled`.
    pub(super) end: &'static str,
    pub(super) output: Option<Value>,
}

impl Job {
    /// From the submit to the last status.
    pub(super) fn duration(&self) -> Duration {
        self.step * WALK.len() as u32
    }

    /// The job, with a walk that ends at no time of its own.
    pub(super) fn held(self) -> Self {
        Self { step: HELD, ..self }
    }

    fn status(&self, now: Instant) -> &'static str {
        let age = now.duration_since(self.created);
        let passed = age.as_nanos().checked_div(self.step.as_nanos()).unwrap_or(u128::MAX);
        usize::try_from(passed).ok().and_then(|n| WALK.get(n)).copied().unwrap_or(self.end)
    }

    fn show(&self, now: Instant) -> Value {
        let status = self.status(now);
        let age = now.duration_since(self.created).min(self.duration());
        let updated_at = self.created_at + age;
        let mut job = json!({"jobId": self.id, "status": status, "createdAt": time(self.created_at),
            "updatedAt": time(updated_at)});
        let over = now.duration_since(self.created) >= self.duration() + self.kept;
        if status == self.end
            && !over
            && let Some(output) = &self.output
        {
            job["output"] = output.clone();
        }
        job
    }
}

/// Waits until the job has walked to its end; one that is held does so at the next release.
pub(super) fn over(shared: &Arc<Shared>, job: &Job) -> impl Future<Output = ()> + use<> {
    let (shared, id, duration) = (shared.clone(), job.id.clone(), job.duration());
    let released = (job.step == HELD).then(|| faults::hold(&shared.faults));
    async move {
        let Some(released) = released else { return tokio::time::sleep(duration).await };
        released.await;
        for job in lock(&shared.hosted.pyannote).jobs.iter_mut().filter(|job| job.id == id) {
            (job.created, job.step) = (Instant::now(), Duration::ZERO);
        }
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `GET /v1/jobs/{id}`
pub(super) async fn read(
    request: HttpRequest,
    shared: Data<Shared>,
    id: Path<String>,
) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::Pyannote, "pyannote.job")?;
    let limit = limits::count(&visit, "jobs", visit.options.pyannote_reads_per_minute)?;
    let found = {
        let state = lock(&shared.hosted.pyannote);
        let job = state.jobs.iter().rev().find(|job| job.id == *id && job.key == visit.key);
        job.map(|job| job.show(Instant::now()))
    };
    match found {
        Some(job) => visit.answer(limit.on(Reply::json(&job))).await,
        None => Err(visit.refuse(&Problem::new(404, "Job not found"))),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
    cursor: Option<String>,
    status: Option<String>,
}

/// `GET /v2/jobs`: newest first, without outputs. The cursor is the id of the last job that was shown.
pub(super) async fn list(
    request: HttpRequest,
    shared: Data<Shared>,
    page: Query<Page>,
) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::Pyannote, "pyannote.jobs")?;
    let limit = limits::count(&visit, "jobs", visit.options.pyannote_reads_per_minute)?;
    let most = page.limit.unwrap_or(20);
    if !(1..=100).contains(&most) {
        return Err(visit.refuse(&Problem::field("limit", "limit is between 1 and 100")));
    }
    let now = Instant::now();
    let (items, next) = {
        let state = lock(&shared.hosted.pyannote);
        let mut jobs: Vec<_> = state.jobs.iter().rev().filter(|job| job.key == visit.key).collect();
        if let Some(cursor) = &page.cursor {
            let at = jobs.iter().position(|job| job.id == *cursor).map_or(jobs.len(), |at| at + 1);
            jobs.drain(..at);
        }
        jobs.retain(|job| page.status.as_deref().is_none_or(|status| job.status(now) == status));
        let next = (jobs.len() > most).then(|| jobs[most - 1].id.clone());
        let item =
            |job: &&Job| json!({"id": job.id, "status": job.status(now), "createdAt": time(job.created_at)});
        (jobs.iter().take(most).map(item).collect::<Vec<_>>(), next)
    };
    visit.answer(limit.on(Reply::json(&json!({"items": items, "nextCursor": next})))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_walks_and_its_output_vanishes() {
        let second = Duration::from_secs(1);
        let created = Instant::now();
        let job = Job {
            id: "j".to_owned(),
            key: "k".to_owned(),
            created,
            created_at: DateTime::UNIX_EPOCH,
            step: second,
            kept: 10 * second,
            end: "succeeded",
            output: Some(json!({"diarization": []})),
        };
        let table = [
            (0, "created", false),
            (1, "pending", false),
            (2, "running", false),
            (3, "succeeded", true),
            (12, "succeeded", true),
            (13, "succeeded", false),
        ];
        for (at, status, output) in table {
            let shown = job.show(created + at * second);
            assert_eq!(
                (shown["status"].as_str(), shown["output"].is_object()),
                (Some(status), output),
                "{at} s"
            );
        }
        assert_eq!(job.show(created + 9 * second)["updatedAt"], "1970-01-01T00:00:03Z");
        let at_once = Job { step: Duration::ZERO, ..job };
        assert_eq!(at_once.status(created), "succeeded");
    }
}
