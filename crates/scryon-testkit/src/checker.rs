//! What every run must leave behind, read only from Postgres, storage and the fake provider's ledger.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::app::TestApp;

/// What the checker found.
#[derive(Debug, Default)]
pub struct Verdict {
    pub calls: usize,
    pub speech: Speech,
    pub problems: Vec<String>,
}

/// What was bought of speech, by the provider's ledger: a recording, an engine and its parameters are one thing.
#[derive(Debug, Default)]
pub struct Speech {
    /// Different things that were bought.
    pub bought: usize,
    /// Purchases of something that had been bought, which somebody had decided on and which are counted.
    pub decided: usize,
    /// Purchases of something that had been bought, which nobody had decided on.
    pub twice: usize,
}

/// Each query lists violations: a line of text per row.
const RULES: [(&str, &str); 11] = [
    (
        "a call is not finished",
        "select id::text || ' is ' || status from call_records where status not in ('COMPLETED', 'FAILED', 'CANCELLED')",
    ),
    (
        "a call failed",
        "select id::text || ' FAILED ' || error_reason from call_records where status = 'FAILED' and error_reason <> all($1)",
    ),
    (
        "a stage is live under a finished call",
        "select s.call_id::text || ' ' || s.stage || ' ' || s.state from call_stages s join call_records c on c.id = s.call_id
         where c.status in ('COMPLETED', 'FAILED', 'CANCELLED') and s.state in ('PENDING', 'RUNNING', 'WAITING')
           and s.run_no = c.run_no",
    ),
    (
        "a completed call misses a stage",
        "select c.id::text || ' has bits ' || c.stages_done from call_records c where c.status = 'COMPLETED' and c.stages_done <> 31",
    ),
    (
        "a completed run misses an artifact",
        "select c.id::text || ' misses ' || t from call_records c cross join unnest(array['RAW_TRANSCRIPT_JSON', 'DIARIZATION_JSON',
             'NORMALIZED_TRANSCRIPT_JSON', 'ANALYSIS_JSON']) t
         where c.status = 'COMPLETED' and not exists (select 1 from call_artifacts a where a.call_id = c.id and a.artifact_type = t)
           and not exists (select 1 from call_stages s where s.call_id = c.id and s.run_no = c.run_no
                           and s.stage = 'analysis' and s.skip_reason in ('disabled', 'provider_throttled') and t = 'ANALYSIS_JSON')",
    ),
    (
        "a reader's transcript is not of the final run",
        "select c.id::text || ' run ' || c.run_no || ' shows run ' || a.run_no from call_records c
         join call_artifacts a on a.call_id = c.id and a.artifact_type in ('NORMALIZED_TRANSCRIPT_JSON', 'ANALYSIS_JSON')
         where c.status = 'COMPLETED' and a.run_no <> c.completed_run
           -- A run whose analysis was skipped leaves the former one to readers.
           and not (a.artifact_type = 'ANALYSIS_JSON' and exists (
               select 1 from call_stages s where s.call_id = c.id and s.run_no = c.completed_run and s.stage = 'analysis'
                   and s.skip_reason in ('disabled', 'provider_throttled')))",
    ),
    (
        "assembly ran twice in one run",
        "select call_id::text from call_processing_events where stage = 'TRANSCRIPT_NORMALIZED' and status = 'COMPLETED'
         group by call_id, run_no having count(*) > 1",
    ),
    (
        "a purchase is open",
        "select j.id::text || ' ' || j.stage || ' ' || j.state from provider_jobs j join call_records c on c.id = j.call_id
         where j.state in ('intent', 'sending') and j.live and c.status = 'COMPLETED' and j.run_no = c.run_no",
    ),
    (
        "an artifact lies among another call's objects",
        "select a.call_id::text || ' has ' || a.storage_key from call_artifacts a join call_records c on c.id = a.call_id
         where not starts_with(a.storage_key, format('tenants/%s/users/%s/calls/%s/', c.tenant_id, c.user_id, c.id))",
    ),
    (
        "a row belongs to another tenant than its call",
        "select t.what || ' of ' || c.id from call_records c join (
             select 'call_stages' as what, call_id, tenant_id from call_stages
             union all select 'call_processing_events', call_id, tenant_id from call_processing_events
             union all select 'action_items', call_record_id, tenant_id from action_items
             union all select 'call_sentiment_summary', call_record_id, tenant_id from call_sentiment_summary
             union all select 'provider_jobs', call_id, tenant_id from provider_jobs) t on t.call_id = c.id
         where t.tenant_id <> c.tenant_id",
    ),
    (
        "a key was answered with a call that is not there",
        "select k.call_id::text from idempotency_keys k where k.state = 'DONE' and k.route = 'POST /api/calls/analyze'
           and not exists (select 1 from call_records c where c.id = k.call_id)
           and not exists (select 1 from storage_tombstones t where t.target like '%/calls/' || k.call_id || '/%')",
    ),
];

/// Of the calls that clients were promised: those without a row and without the tombstone that a deletion leaves.
const LOST: &str = "select p.id::text from unnest($1::uuid[]) p (id)
     where not exists (select 1 from call_records c where c.id = p.id)
       and not exists (select 1 from storage_tombstones t where t.target like '%/calls/' || p.id || '/%')";

impl TestApp {
    /// Checks everything; no failure of a call is expected.
    pub async fn verdict(&self) -> Verdict {
        self.verdict_allowing(&[]).await
    }

    /// Checks everything; calls may have failed for these reasons.
    pub async fn verdict_allowing(&self, reasons: &[&str]) -> Verdict {
        let mut verdict = Verdict::default();
        let client = self.database.client().await;
        let count =
            client.query_one("select count(*) from call_records", &[]).await.expect("calls can be counted");
        verdict.calls = usize::try_from(count.get::<_, i64>(0)).unwrap_or_default();
        for (what, sql) in RULES {
            let rows = if sql.contains("$1") {
                client.query(sql, &[&reasons]).await
            } else {
                client.query(sql, &[]).await
            };
            let rows = rows.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
            verdict.problems.extend(rows.iter().map(|row| format!("{what}: {}", row.get::<_, String>(0))));
        }
        let lost = client.query(LOST, &[&self.client.promised()]).await.expect("calls can be looked up");
        verdict
            .problems
            .extend(lost.iter().map(|row| format!("a promised call is lost: {}", row.get::<_, String>(0))));
        self.check_objects(&client, &mut verdict).await;
        self.check_purchases(&client, &mut verdict).await;
        verdict
    }

    /// Every row's object exists with the size the row says.
    async fn check_objects(&self, client: &tokio_postgres::Client, verdict: &mut Verdict) {
        let rows = client
            .query("select storage_key, byte_size from call_artifacts", &[])
            .await
            .expect("artifacts can be listed");
        for row in rows {
            let (key, bytes): (String, i64) = (row.get(0), row.get(1));
            let size = std::fs::metadata(self.storage.path().join(&key)).map(|m| m.len()).ok();
            if size != u64::try_from(bytes).ok() {
                verdict
                    .problems
                    .push(format!("a row and its object differ: {key} has {size:?}, the row says {bytes}"));
            }
        }
    }

    /// Speech is bought once per recording, whatever happened; an analysis at most once per run. The
    /// provider's ledger is believed, not ours. Purchases that were decided and counted are allowed.
    async fn check_purchases(&self, client: &tokio_postgres::Client, verdict: &mut Verdict) {
        let decided = "select encode(audio_sha256, 'hex'), stage, count(*) from provider_jobs
             where cause in ('ambiguous', 'repair', 'reset') group by 1, 2";
        let decided: HashMap<(String, String), i64> = client
            .query(decided, &[])
            .await
            .expect("purchases can be listed")
            .into_iter()
            .map(|r| ((r.get(0), r.get(1)), r.get(2)))
            .collect();
        let failed = "select encode(audio_sha256, 'hex'), stage, count(*) from provider_jobs
             where state = 'failed' group by 1, 2";
        let failed: HashMap<(String, String), i64> = client
            .query(failed, &[])
            .await
            .expect("purchases can be listed")
            .into_iter()
            .map(|r| ((r.get(0), r.get(1)), r.get(2)))
            .collect();
        for purchase in self.simulator.purchases() {
            let stage = match purchase.route.as_str() {
                "transcribe"
                | "lemonfox.transcribe"
                | "assemblyai.submit"
                | "openai.transcribe"
                | "deepgram.listen" => "transcription",
                "diarize" | "pyannote.diarize" | "pyannote.identify" => "diarization",
                _ => continue,
            };
            let key = (purchase.input.clone(), stage.to_owned());
            let allowed = 1 + decided.get(&key).unwrap_or(&0) + failed.get(&key).unwrap_or(&0);
            let again = purchase.count.saturating_sub(1);
            let twice = purchase.count.saturating_sub(usize::try_from(allowed).unwrap_or_default());
            verdict.speech.bought += 1;
            verdict.speech.twice += twice;
            verdict.speech.decided += again - twice;
            if twice > 0 {
                verdict.problems.push(format!(
                    "bought {} times: {} of {}",
                    purchase.count, purchase.route, purchase.input
                ));
            }
        }
        let analyses: usize =
            self.simulator.purchases().iter().filter(|p| p.route == "analyze").map(|p| p.count).sum();
        let runs = client
            .query_one("select count(*) from provider_jobs where stage = 'analysis'", &[])
            .await
            .expect("purchases can be counted");
        if analyses as i64 > runs.get::<_, i64>(0) {
            verdict
                .problems
                .push(format!("{analyses} analyses were bought, the ledger knows {}", runs.get::<_, i64>(0)));
        }
    }

    /// How often speech was bought for a recording, by the provider's ledger.
    pub fn bought(&self, route: &str, audio: &[u8]) -> usize {
        let input = hex::encode(Sha256::digest(audio));
        self.simulator
            .purchases()
            .iter()
            .filter(|p| p.route == route && p.input == input)
            .map(|p| p.count)
            .sum()
    }
}
