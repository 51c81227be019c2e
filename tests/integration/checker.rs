//! The judge of every other test, judged: each kind of damage that it must notice is planted once, into an
//! installation that was sound a moment before, and named.

use std::path::PathBuf;

use scryon_testkit::{TestApp, unique_wav};
use uuid::Uuid;

/// A sound installation with two finished calls, one of which is to be damaged.
struct Sound {
    app: TestApp,
    id: Uuid,
    audio: Vec<u8>,
}

impl Sound {
    async fn new() -> Self {
        let app = TestApp::start().await;
        let audio = unique_wav();
        let id = app.client.upload(audio.clone()).await;
        let other = app.client.upload(unique_wav()).await;
        for id in [id, other] {
            assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
        }
        let verdict = app.verdict().await;
        assert_eq!((verdict.calls, verdict.problems), (2, Vec::<String>::new()));
        Self { app, id, audio }
    }

    /// Writes what no program would: without triggers.
    async fn sql(&self, table: &str, statement: &str) {
        let statement = statement.replace("$1", &format!("'{}'", self.id));
        let by_hand = format!(
            "alter table {table} disable trigger user; {statement}; alter table {table} enable trigger user"
        );
        let client = self.app.database.client().await;
        client.batch_execute(&by_hand).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }

    /// Where an artifact lies.
    async fn file(&self, kind: &str) -> PathBuf {
        let sql = "select storage_key from call_artifacts where call_id = $1 and artifact_type::text = $2";
        let key: String = self.app.database.sql(sql, &[&self.id, &kind]).await[0].get(0);
        self.app.storage.path().join(key)
    }

    /// Asks the provider for something behind the installation's back.
    async fn buy(&self, route: &str, body: Vec<u8>) {
        let url = format!("{}/{route}", self.app.settings["SCRYON_FAKE_PROVIDER_URL"]);
        let bought = self.app.client.http.post(url).body(body).send().await.unwrap();
        assert_eq!(bought.status(), 200);
    }

    /// The checker names this damage, and no other.
    async fn found(self, what: &str) {
        let problems = self.app.verdict().await.problems;
        assert!(
            !problems.is_empty() && problems.iter().all(|p| p.starts_with(what)),
            "`{what}` was planted, and found: {problems:?}"
        );
        self.app.stop_and_clean().await;
    }
}

macro_rules! planted {
    ($($name:ident: $what:literal, |$sound:ident| $plant:expr;)+) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let $sound = Sound::new().await;
            $plant;
            $sound.found($what).await;
        })+
    };
}

planted! {
    a_call_that_is_gone_is_missed: "a promised call is lost",
        |sound| sound.sql("call_records", "delete from call_records where id = $1").await;

    a_call_that_never_ends_is_named: "a call is not finished",
        |sound| sound.sql("call_records", "update call_records set status = 'ANALYZING', finished_at = null where id = $1").await;

    a_failed_call_is_named: "a call failed",
        |sound| sound.sql("call_records",
            "update call_records set status = 'FAILED', error_reason = 'internal_error' where id = $1").await;

    a_recording_bought_twice_is_named: "bought 2 times",
        |sound| sound.buy("transcribe", sound.audio.clone()).await;

    an_analysis_nobody_ordered_is_named: "3 analyses were bought",
        |sound| sound.buy("analyze", b"{}".to_vec()).await;

    a_purchase_left_open_is_named: "a purchase is open",
        |sound| sound.sql("provider_jobs",
            "update provider_jobs set state = 'sending', live = true where call_id = $1 and stage = 'transcription'").await;

    a_result_of_an_old_run_is_named: "a reader's transcript is not of the final run",
        |sound| sound.sql("call_artifacts",
            "update call_artifacts set run_no = 0 where call_id = $1 and artifact_type = 'NORMALIZED_TRANSCRIPT_JSON'").await;

    an_artifact_without_its_object_is_named: "a row and its object differ",
        |sound| std::fs::remove_file(sound.file("ANALYSIS_JSON").await).unwrap();

    an_object_that_was_cut_short_is_named: "a row and its object differ",
        |sound| {
            let file = std::fs::File::options().write(true).open(sound.file("RAW_TRANSCRIPT_JSON").await).unwrap();
            file.set_len(10).unwrap();
        };

    an_artifact_that_is_missing_is_named: "a completed run misses an artifact",
        |sound| sound.sql("call_artifacts",
            "delete from call_artifacts where call_id = $1 and artifact_type = 'DIARIZATION_JSON'").await;

    a_stage_that_lives_under_a_finished_call_is_named: "a stage is live under a finished call",
        |sound| sound.sql("call_stages",
            "update call_stages set state = 'PENDING', publish_due = now() + interval '1 hour' where call_id = $1 and stage = 'analysis'").await;

    a_stage_that_was_never_done_is_named: "a completed call misses a stage",
        |sound| sound.sql("call_records", "update call_records set stages_done = 23 where id = $1").await;

    an_assembly_done_twice_is_named: "assembly ran twice in one run",
        |sound| sound.sql("call_processing_events",
            "insert into call_processing_events (call_id, tenant_id, run_no, stage, status)
             select id, tenant_id, run_no, 'TRANSCRIPT_NORMALIZED', 'COMPLETED' from call_records where id = $1").await;

    an_artifact_of_another_tenant_is_named: "an artifact lies among another call's objects",
        |sound| {
            let file = sound.file("ANALYSIS_JSON").await;
            let foreign = PathBuf::from(file.to_str().unwrap().replace("tenants/default/", "tenants/stranger/"));
            std::fs::create_dir_all(foreign.parent().unwrap()).unwrap();
            std::fs::copy(file, foreign).unwrap();
            sound.sql("call_artifacts",
                "update call_artifacts set storage_key = replace(storage_key, 'tenants/default/', 'tenants/stranger/')
                 where call_id = $1 and artifact_type = 'ANALYSIS_JSON'").await;
        };

    a_row_of_another_tenant_is_named: "a row belongs to another tenant than its call",
        |sound| sound.sql("action_items", "update action_items set tenant_id = 'stranger' where call_record_id = $1").await;

    a_key_that_answers_with_nothing_is_named: "a key was answered with a call that is not there",
        |sound| sound.sql("idempotency_keys",
            "insert into idempotency_keys (tenant_id, user_id, route, key, call_id, state, held_until, fingerprint, response)
             select tenant_id, user_id, 'POST /api/calls/analyze', 'planted', gen_random_uuid(), 'DONE', now(), '\\x00', '{}' from call_records where id = $1").await;
}
