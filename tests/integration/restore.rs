//! The database is lost, and nothing else: what was accepted is there again, what was erased is not.

use std::time::Duration;

use chrono::Utc;
use reqwest::Method;
use scryon_domain::callback::CallbackAddress;
use scryon_domain::hint::{Hint, HintReason};
use scryon_domain::ids::{CallId, JobId, TenantId};
use scryon_domain::stage::Lane;
use scryon_testkit::{Database, Parts, TestApp, TestOptions, eventually, unique_wav};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::holds::scryon;

const SECRET: &str = "a-secret-of-ours";

async fn installation() -> TestApp {
    let backups = tempfile_path();
    TestApp::start_with(
        TestOptions::default()
            .set("SCRYON_BACKUP_LOCAL_PATH", backups)
            .set("SCRYON_WEBHOOK_SECRET", SECRET)
            .set("SCRYON_SWEEP_INITIAL_DELAY_MS", "50")
            .set("SCRYON_SWEEP_INTERVAL_MS", "50"),
    )
    .await
}

/// A folder of this test's own, made by whoever writes first.
fn tempfile_path() -> String {
    std::env::temp_dir()
        .join(format!("scryon-backups-{}", Uuid::new_v4().simple()))
        .to_string_lossy()
        .into_owned()
}

fn forget_backups(app: &TestApp) {
    std::fs::remove_dir_all(&app.settings["SCRYON_BACKUP_LOCAL_PATH"]).unwrap();
}

async fn delete(app: &TestApp, id: Uuid) {
    let answer = app.client.send(app.client.request(Method::DELETE, &format!("/api/calls/{id}"))).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
}

async fn noted(app: &TestApp, id: Uuid) {
    eventually("storage to know of the erasure", || async {
        let noted = app.context.blobs.erasures_since("2000-01-01".parse().unwrap()).await.unwrap();
        noted.iter().any(|e| matches!(e, scryon_blobs::Erased::Call(call) if call.0 == id)).then_some(())
    })
    .await;
}

async fn users_noted(app: &TestApp) {
    eventually("storage to know the users", || async {
        (app.database.number("select count(*) from users where stored_at is null").await == 0).then_some(())
    })
    .await;
}

/// Loses the database and restores `backup` into a fresh one; gives what `scryon restore` printed. No program runs then.
async fn lose_and_restore(app: &mut TestApp, backup: &str) -> (Database, Value) {
    app.stop_programs().await;
    let fresh = app.database.fresh_beside().await;
    let lost = std::mem::replace(
        &mut app.database,
        Database { url: fresh.url.clone(), schema: fresh.schema.clone() },
    );
    lost.drop_schema().await;
    let (code, restored) = scryon(app, &["restore", backup, "--into", &fresh.url]).await;
    assert_eq!(code, 0, "{restored}");
    (fresh, restored)
}

async fn end(mut app: TestApp) {
    app.stop_programs().await;
    forget_backups(&app);
    let (url, database) = (
        app.servers.database_url.clone(),
        Database { url: app.database.url.clone(), schema: app.database.schema.clone() },
    );
    app.stop_and_clean().await;
    database.drop_database(&url).await;
}

async fn post_callback(app: &TestApp, address: &CallbackAddress, body: &'static str) -> u16 {
    let path = address.signed("lemonfox", SECRET);
    app.client.send(app.client.request(Method::POST, &path).body(body)).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_comes_back_with_what_was_accepted_and_without_what_was_erased() {
    let mut app = installation().await;
    let (kept_audio, erased_audio) = (unique_wav(), unique_wav());
    let (kept, erased) =
        (app.client.upload(kept_audio.clone()).await, app.client.upload(erased_audio.clone()).await);
    for id in [kept, erased] {
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    }
    users_noted(&app).await;
    let transcript = app.client.get(&format!("/api/calls/{kept}/transcript")).await.body;
    let (code, backup) = scryon(&app, &["backup"]).await;
    assert_eq!((code, backup["calls"].as_i64()), (0, Some(2)));
    let name = backup["name"].as_str().unwrap().to_owned();
    eventually("the age of the backup", || async {
        let metrics = app.metrics();
        let age = metrics.lines().find_map(|l| l.strip_prefix("scryon_backup_age_seconds "));
        age.and_then(|a| a.parse::<f64>().ok()).is_some_and(|a| (0.0..600.0).contains(&a)).then_some(())
    })
    .await;

    // After the backup: one call is erased, one comes in and completes, one comes in and waits.
    delete(&app, erased).await;
    noted(&app, erased).await;
    let metadata = json!({"title": "After the backup", "contactName": "Ravi", "direction": "INCOMING", "metadata": {"case": 7}});
    let late_audio = unique_wav();
    let late = app.client.upload_with(late_audio.clone(), &metadata).await;
    app.client.finished(late).await;
    app.stop_programs().await;
    let database = Database { url: app.database.url.clone(), schema: app.database.schema.clone() };
    app.start_again(database, Parts::API).await;
    let waiting = app.client.upload(unique_wav()).await;
    assert_eq!(app.client.call(waiting).await["status"], "QUEUED");

    let (fresh, restored) = lose_and_restore(&mut app, &name).await;
    assert_eq!(restored["epoch"], 1, "{restored}");
    let counts = &restored["counts"];
    assert_eq!(
        (counts["erasedAgain"].as_i64(), counts["rebuilt"].as_i64()),
        (Some(1), Some(2)),
        "{restored}"
    );
    assert_eq!(counts["queuesEmptied"], true);
    assert!(
        restored["rpoSeconds"].as_f64() > Some(0.0) && restored["rtoSeconds"].as_f64() > Some(0.0),
        "{restored}"
    );
    let queued =
        fresh.number("select count(*) from call_records where status = 'QUEUED' and lane = 'backfill'").await;
    assert_eq!(queued, 2, "rebuilt calls wait behind live ones");

    app.start_again(fresh, Parts::ALL).await;
    for id in [late, waiting] {
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    }
    let call = app.client.call(late).await;
    assert_eq!(
        (call["title"].as_str(), call["contactName"].as_str()),
        (Some("After the backup"), Some("Ravi"))
    );
    assert_eq!((call["direction"].as_str(), call["metadata"]["case"].as_i64()), (Some("INCOMING"), Some(7)));
    assert_eq!(app.client.get(&format!("/api/calls/{erased}")).await.status, 404, "erased calls stay erased");
    assert_eq!(app.client.get(&format!("/api/calls/{kept}/transcript")).await.body, transcript);
    for (audio, what) in [(&kept_audio, "the kept call"), (&erased_audio, "the erased call")] {
        assert_eq!(
            (app.bought("transcribe", audio), app.bought("diarize", audio)),
            (1, 1),
            "{what} is not bought again"
        );
    }
    eventually("the figures of the restore", || async {
        let metrics = app.metrics();
        let held =
            metrics.contains("scryon_hold{kind=\"restore\"} 1") && metrics.contains("scryon_restore_epoch 1");
        let figure = |name: &str| {
            metrics
                .lines()
                .any(|l| l.strip_prefix(name).and_then(|v| v.trim().parse::<f64>().ok()) > Some(0.0))
        };
        (held && figure("scryon_restore_rpo_seconds ") && figure("scryon_restore_rto_seconds ")).then_some(())
    })
    .await;

    // The look, and the end of the hold: what is left of the erased call leaves.
    let (code, looked) = scryon(&app, &["doctor"]).await;
    assert_eq!((code, looked["left"].as_i64()), (0, Some(0)), "{looked}");
    let (code, finished) = scryon(&app, &["restore", "--finish"]).await;
    assert_eq!((code, finished["lifted"].as_bool()), (0, Some(true)));
    eventually("objects of the erased call to leave", || async {
        let keys = app.context.blobs.list("tenants").await.unwrap();
        (!keys.iter().any(|k| k.contains(&erased.to_string()))).then_some(())
    })
    .await;
    let (code, looked) = scryon(&app, &["doctor"]).await;
    assert_eq!(
        (code, looked["left"].as_i64(), looked["withoutRow"].as_i64()),
        (0, Some(0), Some(0)),
        "{looked}"
    );
    end(app).await;
}

/// What a former life sent out is told apart by its number, and by nothing else: the same hint, and the same callback, of
/// this life do their work.
#[tokio::test(flavor = "multi_thread")]
async fn hints_and_callbacks_of_a_former_life_have_no_effect() {
    let mut app = installation().await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    users_noted(&app).await;
    let (_, backup) = scryon(&app, &["backup"]).await;
    let (fresh, _) = lose_and_restore(&mut app, backup["name"].as_str().unwrap()).await;
    // Without a dispatcher nothing but a hint starts a call.
    app.start_again(fresh, Parts::API).await;
    let waiting = app.client.upload(unique_wav()).await;
    app.stop_programs().await;
    let connection = app.broker().await;
    let start = Hint::start(CallId(waiting), TenantId::default_tenant(), Lane::Live, HintReason::Upload);
    let topology = app.topology();
    connection.purge_queues(&topology).await;
    let database = Database { url: app.database.url.clone(), schema: app.database.schema.clone() };
    app.start_again(database, Parts::WITHOUT_SWEEPER).await;
    let dropped = |n: usize| {
        let metrics = app.metrics();
        metrics.contains(&format!("scryon_hints_other_epoch_total {n}\n")).then_some(())
    };
    connection.publish(&topology, start.stage, Lane::Live, &start.to_body()).await;
    eventually("the old hint to be dropped", || async { dropped(1) }).await;
    connection.publish(&topology, start.stage, Lane::Live, &start.of_epoch(2).to_body()).await;
    eventually("a hint of another life to be dropped", || async { dropped(2) }).await;
    assert_eq!(app.client.call(waiting).await["status"], "QUEUED");
    connection.publish(&topology, start.stage, Lane::Live, &start.of_epoch(1).to_body()).await;
    app.client.finished(waiting).await;

    // A stage that waits for its provider's callback.
    let job = Uuid::now_v7();
    let client = app.database.client().await;
    client
        .batch_execute(&format!(
            "update call_records set status = 'TRANSCRIBING', finished_at = null, stages_done = 1 where id = '{id}';
             update call_stages set state = 'WAITING', publish_due = now() + interval '1 hour', not_before = now() + interval '1 hour'
                 where call_id = '{id}' and stage = 'transcription';
             insert into provider_jobs (id, tenant_id, stage, engine, params_hash, audio_sha256, purchase_no, state, cause, call_id, run_no,
                 external_id) values ('{job}', 'default', 'transcription', 'lemonfox', '\\x00', '\\x00', 1, 'submitted', 'first', '{id}', 1, 'x')"
        ))
        .await
        .unwrap();
    let old = CallbackAddress {
        call: CallId(id),
        run_no: 1,
        job: JobId(job),
        expires: Utc::now().timestamp() + 60,
        epoch: 0,
    };
    let waits = "select count(*) from call_stages where state = 'WAITING' and not_before > now()";
    assert_eq!(post_callback(&app, &old, "{\"text\":\"old\"}").await, 204, "it is answered kindly");
    assert_eq!(app.database.number(waits).await, 1, "and wakes nobody");
    assert_eq!(
        app.database.number("select count(*) from callback_inbox where body is not null").await,
        1,
        "but is kept"
    );
    let unknown = CallbackAddress { job: JobId(Uuid::now_v7()), ..old };
    assert_eq!(post_callback(&app, &unknown, "{\"text\":\"lost\"}").await, 204);
    assert_eq!(
        app.database.number("select count(*) from callback_inbox where body is null").await,
        1,
        "without its words"
    );
    let forged = CallbackAddress { epoch: 1, ..old }.signed("lemonfox", SECRET);
    let forged = forged.replace("&ep=1", "");
    let answer = app.client.send(app.client.request(Method::POST, &forged).body("{}")).await;
    assert_eq!(answer.status, 401, "the number is part of what is signed");
    assert!(app.metrics().contains("outcome=\"other_epoch\",provider=\"lemonfox\"} 2"), "{}", app.metrics());
    let of_now = CallbackAddress { epoch: 1, ..old };
    assert_eq!(post_callback(&app, &of_now, "{\"text\":\"new\"}").await, 204);
    assert_eq!(app.database.number(waits).await, 0, "one of this life wakes the stage");
    client.batch_execute("delete from call_records").await.unwrap();
    drop(client);
    end(app).await;
}

/// What was under way when the backup was made goes on at once; its worker of before has lost its lease, whatever it does.
#[tokio::test(flavor = "multi_thread")]
async fn work_of_the_backup_goes_on_and_its_workers_are_fenced_off() {
    let mut app = TestApp::start_with(
        TestOptions::default()
            .set("SCRYON_BACKUP_LOCAL_PATH", tempfile_path())
            .latency(Duration::from_millis(1500)),
    )
    .await;
    let id = app.client.upload(unique_wav()).await;
    let token =
        "select lease_token::text from call_stages where state = 'RUNNING' and stage = 'transcription'";
    let held: String = eventually("a worker to hold the transcription", || async {
        app.database.sql(token, &[]).await.first().map(|row| row.get(0))
    })
    .await;
    let (code, backup) = scryon(&app, &["backup"]).await;
    assert_eq!(code, 0);
    app.client.finished(id).await;
    let (fresh, _) = lose_and_restore(&mut app, backup["name"].as_str().unwrap()).await;
    let same = format!("select count(*) from call_stages where lease_token = '{held}'");
    assert_eq!(fresh.number(&same).await, 0);
    let deaths = "select count(*) from call_stages where starts > outcomes and state = 'PENDING'";
    assert_eq!(fresh.number(deaths).await, 0, "a restore is no death of a worker's");
    app.start_again(fresh, Parts::ALL).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    end(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_writes_over_nothing_and_takes_no_damaged_backup() {
    let app = installation().await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    let (_, backup) = scryon(&app, &["backup"]).await;
    let name = backup["name"].as_str().unwrap();
    let url = app.database.url.clone();
    let (code, _) = scryon(&app, &["restore", name, "--into", &url]).await;
    assert_eq!(code, 64, "a database with calls is refused");
    assert_eq!(app.database.number("select count(*) from call_records").await, 1);
    let (code, _) = scryon(&app, &["restore", "nothing", "--into", &url]).await;
    assert_eq!(code, 64);
    // One byte of the dump is not what it was.
    let file = std::path::Path::new(&app.settings["SCRYON_BACKUP_LOCAL_PATH"]).join(format!("{name}.dump"));
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (code, _) = scryon(&app, &["restore", name, "--into", &url, "--force"]).await;
    assert_eq!(code, 70);
    assert_eq!(app.database.number("select count(*) from call_records").await, 1, "nothing was touched");
    // Old backups leave by number, but not while a hold is on.
    let (_, second) = scryon(&app, &["hold", "on", "--reason", "case 1"]).await;
    assert_eq!(second["on"], true);
    let (code, _) = scryon(&app, &["backup", "--keep", "1"]).await;
    assert_eq!((code, file.exists()), (0, true));
    scryon(&app, &["hold", "off", "--reason", "case closed"]).await;
    let (code, _) = scryon(&app, &["backup", "--keep", "1"]).await;
    assert_eq!((code, file.exists()), (0, false));
    forget_backups(&app);
    app.finish().await;
}

/// A user who was erased, and a hold that was put on, after the backup: both are so in the new life.
#[tokio::test(flavor = "multi_thread")]
async fn erased_users_and_holds_are_remembered_by_storage() {
    let mut app = installation().await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    users_noted(&app).await;
    let (_, backup) = scryon(&app, &["backup"]).await;
    // A call that the backup does not know, of the user who is erased: it is not rebuilt.
    let late = app.client.upload(unique_wav()).await;
    app.client.finished(late).await;
    scryon(&app, &["hold", "on", "--reason", "case 12"]).await;
    let (code, receipt) =
        scryon(&app, &["erase", "--user", "local-dev", "--reason", "request 3", "--yes"]).await;
    assert_eq!((code, receipt["rowsDeleted"]["calls"].as_i64()), (0, Some(2)), "{receipt}");
    noted(&app, late).await;
    eventually("storage to know of the user's erasure", || async {
        let noted = app.context.blobs.erasures_since("2000-01-01".parse().unwrap()).await.unwrap();
        noted.iter().any(|e| matches!(e, scryon_blobs::Erased::User(_))).then_some(())
    })
    .await;
    let (fresh, restored) = lose_and_restore(&mut app, backup["name"].as_str().unwrap()).await;
    assert_eq!(restored["counts"]["rebuilt"], 0, "{restored}");
    assert_eq!(fresh.number("select count(*) from call_records").await, 0);
    assert_eq!(fresh.number("select count(*) from users").await, 0);
    let held = "select count(*) from holds where kind = 'legal' and reason = 'case 12'";
    assert_eq!(fresh.number(held).await, 1, "the hold of before the loss is on");
    app.start_again(fresh, Parts::ALL).await;
    scryon(&app, &["restore", "--finish"]).await;
    let shown =
        async |app: &TestApp| scryon(app, &["erase", "--receipt", receipt["id"].as_str().unwrap()]).await;
    let (code, known) = shown(&app).await;
    assert_eq!(
        (code, known["reason"].as_str(), known["completedAt"].is_null()),
        (0, Some("request 3"), true),
        "{known}"
    );
    scryon(&app, &["hold", "off", "--reason", "closed"]).await;
    eventually("the receipt to be complete", || async {
        (!shown(&app).await.1["completedAt"].is_null()).then_some(())
    })
    .await;
    assert!(app.context.blobs.list("tenants").await.unwrap().is_empty());
    end(app).await;
}

/// A dump that breaks off is no backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_breaks_off_is_no_backup() {
    let mut app = TestApp::start_with(
        TestOptions::default().parts(Parts::API).set("SCRYON_BACKUP_LOCAL_PATH", tempfile_path()),
    )
    .await;
    let folder = app.storage.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let program = folder.join("pg_dump");
    std::fs::write(&program, "#!/bin/sh\nprintf half\nexit 3\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    app.settings.insert("SCRYON_POSTGRES_BIN".to_owned(), folder.to_string_lossy().into_owned());
    let (code, _) = scryon(&app, &["backup"]).await;
    assert_eq!(code, 70);
    let (code, listed) = scryon(&app, &["backup", "--list"]).await;
    assert_eq!((code, listed.is_null()), (0, true), "{listed}");
    assert_eq!(app.database.number("select count(*) from backups").await, 0);
    assert_eq!(
        std::fs::read_dir(&app.settings["SCRYON_BACKUP_LOCAL_PATH"]).unwrap().count(),
        0,
        "it leaves nothing behind"
    );
    forget_backups(&app);
    app.finish().await;
}

/// Calls of the backup, and of those that came in after it. `RESTORE_CALLS` asks for more, by hand.
fn how_many() -> (i64, usize) {
    let calls = std::env::var("RESTORE_CALLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    (calls, 500)
}

/// As many finished calls as a pipeline leaves: a call has 5 artifacts, 5 stages, 8 lines of its log, 3 purchases.
async fn fill(app: &TestApp, calls: i64) {
    let client = app.database.client().await;
    client
        .batch_execute(&format!(
            "insert into users (id, tenant_id, external_user_id, stored_at) values ('00000000-0000-0000-0000-00000000000a', 'default', 'many', now());
             insert into call_records (id, tenant_id, user_id, status, finished_at, title, contact_name, short_summary, duration_seconds,
                 original_file_name, audio_sha256, run_no, completed_run, stages_done)
             select gen_random_uuid(), 'default', '00000000-0000-0000-0000-00000000000a', 'COMPLETED', now(), 'Call number ' || n, 'Contact ' || n,
                 repeat('What was said and what is to be done. ', 8), 300, 'call-' || n || '.m4a', pg_catalog.sha256(n::text::bytea), 1, 1, 31
             from generate_series(1, {calls}) n;
             insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, run_no)
             select c.id, t.t, format('tenants/default/users/%s/calls/%s/r1/%s.%s.json', c.user_id, c.id, lower(t.t), c.id), 'application/json', 1000, 1
             from call_records c cross join unnest(array['RAW_TRANSCRIPT_JSON', 'DIARIZATION_JSON', 'NORMALIZED_TRANSCRIPT_JSON',
                 'ANALYSIS_JSON']) t (t);
             insert into call_stages (call_id, run_no, stage, tenant_id, state, starts, outcomes, engine, finished_at, started_at)
             select c.id, 1, s.s, 'default', 'SUCCEEDED', 1, 1, 'fake', now(), now() from call_records c
             cross join unnest(array['preprocessing', 'transcription', 'diarization', 'assembly', 'analysis']) s (s);
             insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status, provider, duration_ms)
             select c.id, 'default', c.user_id, 1, 'TRANSCRIBED', 'COMPLETED', 'fake', 1234 from call_records c cross join generate_series(1, 8);
             insert into provider_jobs (id, tenant_id, stage, engine, params_hash, audio_sha256, purchase_no, state, cause, call_id, run_no)
             select gen_random_uuid(), 'default', s.s, 'fake', pg_catalog.sha256('p'), c.audio_sha256, 1, 'succeeded', 'first', c.id, 1
             from call_records c cross join unnest(array['transcription', 'diarization', 'analysis']) s (s);
             analyze"
        ))
        .await
        .unwrap();
}

/// Recordings with their descriptions, as uploads leave them. The user is one whom storage does not know.
async fn put_uploads(app: &TestApp, calls: usize) {
    let user = Uuid::from_u128(10);
    for n in 0..calls {
        let id = Uuid::now_v7();
        let prefix = format!("tenants/default/users/{user}/calls/{id}/temp/");
        let audio = format!("{prefix}audio.wav");
        let described = json!({"version": 2, "callId": id, "tenantId": "default", "userId": user, "acceptedAt": Utc::now(),
            "contentType": "audio/wav", "audioKey": audio, "byteSize": 4, "sha256": "00".repeat(32), "direction": "UNKNOWN",
            "title": format!("Late {n}")});
        for (key, body) in [
            (audio.clone(), b"RIFF".to_vec()),
            (format!("{prefix}call.json"), described.to_string().into_bytes()),
        ] {
            app.context.blobs.put(&scryon_blobs::BlobKey::stored(&key), body).await.unwrap();
        }
    }
}

/// What a restore of many calls takes, by its parts. `docs/backup.md` says how it grows.
#[tokio::test(flavor = "multi_thread")]
async fn many_calls_are_restored_in_the_time_that_the_manual_says() {
    let (calls, late) = how_many();
    let mut app = TestApp::start_with(
        TestOptions::default().parts(Parts::API).set("SCRYON_BACKUP_LOCAL_PATH", tempfile_path()),
    )
    .await;
    fill(&app, calls).await;
    let (code, backup) = scryon(&app, &["backup"]).await;
    assert_eq!((code, backup["calls"].as_i64()), (0, Some(calls)));
    put_uploads(&app, late).await;
    let (fresh, restored) = lose_and_restore(&mut app, "latest").await;
    assert_eq!(restored["counts"]["rows"]["calls"], calls, "{restored}");
    assert_eq!(restored["counts"]["rebuilt"], late, "{restored}");
    assert_eq!(fresh.number("select count(*) from call_records").await, calls + late as i64);
    println!(
        "{calls} calls: backup {} bytes in {} s, restore {} s",
        backup["bytes"], backup["seconds"], restored["rtoSeconds"]
    );
    let took = restored["rtoSeconds"].as_f64().unwrap();
    // A million within a quarter of an hour.
    assert!(took < 60.0 + 0.00084 * calls as f64, "{calls} calls took {took} s");
    app.database = fresh;
    end(app).await;
}
