//! Hands on the wheel: an admin's orders by API and command line, and SQL typed by an operator who is no superuser.

use std::process::Output;

use reqwest::Method;
use scryon_testkit::{
    Answer, Database, Fault, Parts, TestApp, TestOptions, eventually, scryon_command, unique_wav,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// `scryon` beside the installation, as an operator with access to its database.
async fn scryon(app: &TestApp, arguments: &[&str]) -> Output {
    let mut command = scryon_command();
    command.args(arguments).env("API_URL", &app.client.base).env("DATABASE_URL", &app.database.url);
    command.output().await.expect("scryon runs")
}

async fn done(app: &TestApp, arguments: &[&str]) -> String {
    let output = scryon(app, arguments).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn key(app: &TestApp, tenant: &str, arguments: &[&str]) -> String {
    let base = ["--direct", "keys", "create", "--tenant", tenant];
    done(app, &[&base[..], arguments].concat()).await
}

async fn with(app: &TestApp, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = app.client.request(method, path).bearer_auth(key);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    app.client.send(request).await
}

async fn stage(app: &TestApp, id: Uuid, name: &str) -> Value {
    let call = app.client.call(id).await;
    let stages = call["stages"].as_array().cloned().unwrap_or_default();
    stages.into_iter().find(|s| s["stage"] == name).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admins_key_opens_the_admin_surface_and_nobody_elses_does() {
    let app = TestApp::start_with(TestOptions::default().set("SCRYON_API_KEY", "k".repeat(32))).await;
    let admin = key(&app, "default", &["--label", "night watch", "--scope", "admin"]).await;
    let plain = key(&app, "acme", &["--label", "importer"]).await;
    assert!(admin.starts_with("sk_") && admin.len() == 67, "{admin}");

    // An admin's bearer needs no second key; a tenant's own does.
    let form = || scryon_testkit::Client::form(unique_wav());
    let upload = |bearer: &str| app.client.request(Method::POST, "/api/calls/analyze").bearer_auth(bearer);
    assert_eq!(app.client.send(upload(&plain).multipart(form())).await.code(), "auth_missing");
    let guarded = upload(&plain).header("X-Scryon-Api-Key", "k".repeat(32)).multipart(form());
    let answer = app.client.send(guarded).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let id = answer.body["callId"].as_str().unwrap().to_owned();
    let tenant =
        app.database.sql("select tenant_id from call_records where id = $1::text::uuid", &[&id]).await;
    assert_eq!(tenant[0].get::<_, String>(0), "acme");

    // The surface is not there for others: not by a plain key, not by none, and not for an unknown order.
    let guard = ("X-Scryon-Api-Key", "k".repeat(32));
    let switches = "/api/admin/operations/switches";
    for request in [
        app.client.request(Method::POST, switches).bearer_auth(&plain).header(guard.0, &guard.1),
        app.client.request(Method::POST, switches).header(guard.0, &guard.1),
        app.client.request(Method::POST, "/api/admin/operations/frobnicate").bearer_auth(&admin),
    ] {
        assert_eq!(app.client.send(request).await.code(), "route_not_found");
    }
    assert_eq!(with(&app, "sk_unknown", Method::GET, "/api/calls", None).await.code(), "auth_invalid");
    assert_eq!(with(&app, &admin, Method::POST, switches, None).await.status, 200);
    let bad = with(
        &app,
        &admin,
        Method::POST,
        "/api/admin/operations/pause",
        Some(json!({"target": "moon", "reason": "r"})),
    );
    assert_eq!(bad.await.code(), "validation_failed");

    // Another tenant's call: gone for its owner, and in the audit log.
    let path = format!("/api/calls/{id}");
    assert_eq!(with(&app, &admin, Method::GET, &path, None).await.code(), "call_not_found");
    assert_eq!(with(&app, &admin, Method::DELETE, &path, None).await.status, 204);
    assert_eq!(with(&app, &admin, Method::DELETE, &path, None).await.code(), "call_not_found");
    let log = with(&app, &admin, Method::GET, "/api/admin/audit-log?size=10", None).await.body;
    let line = &log["content"][0];
    assert_eq!(
        (line["actor"].as_str(), line["action"].as_str(), line["target"].as_str()),
        (Some("key:night watch"), Some("delete-call"), Some(id.as_str())),
        "{log}"
    );
    assert_eq!(line["before"]["tenantId"], "acme");
    assert_eq!(log["totalPages"], 1);
    // And by the command line, where a call that is not there keeps nobody else's.
    let another = app.client.send(upload(&plain).header(guard.0, &guard.1).multipart(form())).await;
    let another = another.body["callId"].as_str().unwrap().to_owned();
    let delete = ["--direct", "calls", "delete", &id, &another, "--reason", "stuck", "--yes"];
    let deleted = scryon(&app, &delete).await;
    assert_eq!(deleted.status.code(), Some(65), "{}", String::from_utf8_lossy(&deleted.stderr));
    assert_eq!(String::from_utf8_lossy(&deleted.stdout).trim(), format!("{another}  DELETED"));
    let reason = "select reason from admin_audit_log where action = 'delete-call' order by id desc limit 1";
    assert_eq!(app.database.sql(reason, &[]).await[0].get::<_, String>(0), "stuck");
    assert!(
        !log.to_string().contains(&admin[3..]) && !log.to_string().contains(&plain[3..]),
        "no key is kept"
    );
    // What was made before is there too, with who made it.
    assert!(log["content"].as_array().unwrap().iter().any(|l| l["action"] == "create-key"), "{log}");
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_seen_in_use_and_end_within_a_second() {
    let (new, old) = ("n".repeat(32), "o".repeat(32));
    let options = TestOptions::default().parts(Parts::API).set("SCRYON_API_KEY", format!("{new},{old}"));
    let app = TestApp::start_with(options).await;
    for (key, agent) in [(&old, "app-android/3.1"), (&old, "app-android/3.2"), (&new, "curl/8")] {
        let request = app.client.request(Method::GET, "/api/calls").header("X-API-Key", key);
        assert_eq!(app.client.send(request.header("User-Agent", agent)).await.status, 200);
    }
    let fingerprint = scryon_config::hash_begin(&old);
    let list = eventually("uses to be written", || async {
        let list = done(&app, &["--direct", "keys", "list"]).await;
        (list.contains(&fingerprint) && list.contains("curl")).then_some(list)
    })
    .await;
    assert!(list.contains(&format!("{fingerprint}         2 uses by app-android")), "{list}");
    assert!(!list.contains(&old), "{list}");

    let secret = key(&app, "acme", &["--label", "old importer"]).await;
    let ask = || app.client.request(Method::GET, "/api/calls").bearer_auth(&secret).header("X-API-Key", &new);
    assert_eq!(app.client.send(ask()).await.status, 200);
    let id = app.database.sql("select id::text from api_keys where label = 'old importer'", &[]).await;
    done(&app, &["--direct", "keys", "revoke", id[0].get(0), "--reason", "rolled"]).await;
    eventually("the key to end", || async {
        (app.client.send(ask()).await.code() == "auth_invalid").then_some(())
    })
    .await;
    let refused = scryon(&app, &["--direct", "keys", "revoke", id[0].get(0), "--reason", "again"]).await;
    assert_eq!(refused.status.code(), Some(65));
    app.stop_and_clean().await;
}

/// Stage by stage: what was under way ends, nothing is taken, nothing looks stuck, and it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_stage_waits_in_its_queue_and_never_looks_sick() {
    let app = TestApp::start().await;
    let pause = ["--direct", "pause", "--stage", "analysis", "--reason", "model under repair", "--for", "2h"];
    assert!(done(&app, &pause).await.contains("stage:analysis"));
    eventually("every program to know", || async {
        app.metrics().contains("scryon_operator_switches{kind=\"pause\"} 1").then_some(())
    })
    .await;
    let id = app.client.upload(unique_wav()).await;
    eventually("the transcript", || async {
        (app.client.call(id).await["status"] == "ANALYZING").then_some(())
    })
    .await;
    assert_eq!(app.client.get(&format!("/api/calls/{id}/transcript")).await.status, 200);
    let topology = app.topology();
    let queue = topology.queue(scryon_domain::stage::StageKind::Analysis, scryon_domain::stage::Lane::Live);
    eventually("the message to lie in its queue", || async {
        (app.broker().await.depth(&queue).await == 1).then_some(())
    })
    .await;
    // However long: the announcement is overdue by hours, the call is not stuck, and no sweep fails it.
    app.database
        .sql("update call_stages set publish_due = now() - interval '3 hours' where stage = 'analysis'", &[])
        .await;
    app.database.sql("update call_records set updated_at = now() - interval '3 hours'", &[]).await;
    let sick = "select count(*) from stuck_calls";
    assert_eq!(app.database.number(sick).await, 0);
    assert!(done(&app, &["--direct", "sweep"]).await.contains("stale calls failed                  0"));
    assert_eq!(stage(&app, id, "analysis").await["state"], "PENDING");

    done(&app, &["--direct", "resume", "--stage", "analysis"]).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    let changes = done(&app, &["--direct", "changes", "--since", "1h"]).await;
    assert!(
        changes.contains("stage:analysis set by direct:") && changes.contains("model under repair"),
        "{changes}"
    );
    assert!(changes.contains("stage:analysis taken back"), "{changes}");
    app.finish().await;
}

/// A delivery is carried from stage to stage; a pause stops it between two.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_what_would_be_carried_on() {
    let app = TestApp::start().await;
    for stage in ["transcription", "assembly"] {
        done(&app, &["--direct", "pause", "--stage", stage, "--reason", "test"]).await;
    }
    eventually("every program to know", || async {
        app.metrics().contains("scryon_operator_switches{kind=\"pause\"} 2").then_some(())
    })
    .await;
    let id = app.client.upload(unique_wav()).await;
    eventually("what is not paused to be done", || async {
        (stage(&app, id, "diarization").await["state"] == "SUCCEEDED").then_some(())
    })
    .await;
    assert_eq!(stage(&app, id, "transcription").await["state"], "PENDING");
    done(&app, &["--direct", "resume", "--stage", "transcription"]).await;
    eventually("transcription", || async {
        (stage(&app, id, "transcription").await["state"] == "SUCCEEDED").then_some(())
    })
    .await;
    eventually("assembly to wait", || async {
        (stage(&app, id, "assembly").await["state"] == "PENDING").then_some(())
    })
    .await;
    done(&app, &["--direct", "resume", "--stage", "assembly"]).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_tenant_is_held_at_admission_while_others_go_on() {
    let app = TestApp::start().await;
    let acme = key(&app, "acme", &["--label", "app"]).await;
    done(&app, &["--direct", "pause", "--tenant", "acme", "--reason", "asked for it"]).await;
    eventually("every program to know", || async {
        app.metrics().contains("scryon_operator_switches{kind=\"pause\"} 1").then_some(())
    })
    .await;
    let form = scryon_testkit::Client::form(unique_wav());
    let upload = app.client.request(Method::POST, "/api/calls/analyze").bearer_auth(&acme).multipart(form);
    let held: Uuid = app.client.send(upload).await.body["callId"].as_str().unwrap().parse().unwrap();
    let other = app.client.upload(unique_wav()).await;
    assert_eq!(app.client.finished(other).await["status"], "COMPLETED");
    let path = format!("/api/calls/{held}");
    let call = with(&app, &acme, Method::GET, &path, None).await.body;
    assert_eq!(
        (call["status"].as_str(), call["queuePosition"].as_i64()),
        (Some("QUEUED"), Some(1)),
        "{call}"
    );
    done(&app, &["--direct", "resume", "--tenant", "acme"]).await;
    eventually("the held call to end", || async {
        (with(&app, &acme, Method::GET, &path, None).await.body["status"] == "COMPLETED").then_some(())
    })
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_above_an_operators_limit_are_refused_and_leave_nothing() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let first = app.client.upload(unique_wav()).await;
    done(&app, &["--direct", "throttle", "--per-minute", "0", "--for", "15m", "--reason", "flood"]).await;
    let refused = eventually("uploads to be refused", || async {
        let answer = app.client.upload_form(scryon_testkit::Client::form(unique_wav())).await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    assert_eq!((refused.status, refused.code()), (429, "ingest_throttled"));
    assert_eq!(refused.headers["retry-after"], "30");
    assert_eq!(refused.body["error"]["retryable"], true);
    // What can wait is refused too; reading and deleting are not.
    let path = format!("/api/calls/{first}/reprocess");
    assert_eq!(app.client.send(app.client.request(Method::POST, &path)).await.code(), "ingest_throttled");
    assert_eq!(app.client.call(first).await["status"], "QUEUED");

    // One upload in a minute, of one tenant.
    // Set before the other is taken back: whoever is let through again is let through by this one.
    let slowly = ["--direct", "throttle", "--tenant", "default", "--per-minute", "1", "--reason", "slowly"];
    done(&app, &slowly).await;
    done(&app, &["--direct", "throttle", "--off"]).await;
    eventually("the new limit", || async {
        let answer = app.client.upload_form(scryon_testkit::Client::form(unique_wav())).await;
        (answer.status == 202).then_some(())
    })
    .await;
    let refused = app.client.upload_form(scryon_testkit::Client::form(unique_wav())).await;
    assert_eq!(refused.status, 429, "{}", refused.text);
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let calls = app.database.number("select count(*) from call_records").await;
    let recordings =
        scryon_testkit::objects(app.storage.path()).iter().filter(|o| o.contains("/audio.")).count();
    assert_eq!(recordings as i64, calls, "nothing of a refused one is kept");
    app.stop_and_clean().await;
}

/// The worker that was asking hands its work back, and the next one does not ask: nobody comes back to the purchase.
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_was_under_way_when_the_analysis_was_switched_off_is_not_left_open() {
    let mut app = TestApp::start_with(TestOptions::default().set("SCRYON_DRAIN_SECONDS", "3")).await;
    app.simulator.fail_next("analyze", 1, Fault::Hold);
    let id = app.client.upload(unique_wav()).await;
    eventually("the request at the provider", || async { (app.simulator.held() == 1).then_some(()) }).await;
    done(&app, &["--direct", "flags", "set", "analysis", "off", "--reason", "model answers nonsense"]).await;
    app.stop_programs().await;
    let database = Database { url: app.database.url.clone(), schema: app.database.schema.clone() };
    app.start_again(database, Parts::ALL).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    assert_eq!(stage(&app, id, "analysis").await["skipReason"], "disabled");
    let state = "select state from provider_jobs where stage = 'analysis'";
    assert_eq!(app.database.sql(state, &[]).await[0].get::<_, String>(0), "unknown", "it was perhaps bought");
    app.simulator.release();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn analysis_is_switched_off_without_a_restart() {
    let app = TestApp::start().await;
    done(&app, &["--direct", "flags", "set", "analysis", "off", "--reason", "model answers nonsense"]).await;
    eventually("every program to know", || async {
        app.metrics().contains("scryon_operator_switches{kind=\"flag\"} 1").then_some(())
    })
    .await;
    let id = app.client.upload(unique_wav()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    let analysis = stage(&app, id, "analysis").await;
    assert_eq!(
        (analysis["state"].as_str(), analysis["skipReason"].as_str()),
        (Some("SKIPPED"), Some("disabled"))
    );
    let missing = app.client.get(&format!("/api/calls/{id}/analysis")).await;
    assert_eq!(
        (missing.code(), missing.body["error"]["details"]["reason"].as_str()),
        ("analysis_not_available", Some("disabled"))
    );
    done(&app, &["--direct", "flags", "clear", "analysis"]).await;
    eventually("the flag to be gone", || async {
        (!app.metrics().contains("scryon_operator_switches{kind=\"flag\"} 1")).then_some(())
    })
    .await;
    done(&app, &["--direct", "reprocess", "--since", "1h", "--stages", "analysis"]).await;
    eventually("the analysis", || async {
        (stage(&app, id, "analysis").await["state"] == "SUCCEEDED").then_some(())
    })
    .await;
    assert_eq!(app.client.finished(id).await["run"], 2);
    let refused = scryon(&app, &["--direct", "flags", "set", "gravity", "off", "--reason", "fun"]).await;
    assert_eq!(refused.status.code(), Some(65));
    app.finish().await;
}

/// The same orders go through the API; the database is for when that is down.
#[tokio::test(flavor = "multi_thread")]
async fn operators_commands_go_by_the_api_with_an_admins_key() {
    let app = TestApp::start().await;
    let admin = key(&app, "default", &["--label", "ops", "--scope", "admin"]).await;
    let by_api = async |arguments: &[&str]| {
        let mut command = scryon_command();
        command.args(arguments).env("API_URL", &app.client.base).env("SCRYON_ADMIN_KEY", &admin);
        let output = command.output().await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &error)
    };
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    for (arguments, words) in [
        (vec!["switches"], "nothing is switched"),
        (vec!["pause", "--lane", "backfill", "--reason", "why", "--for", "15m"], "lane:backfill"),
        (vec!["resume", "--lane", "backfill"], "nothing is switched"),
        (vec!["pause", "--engine", "lemonfox", "--reason", "their status page"], "paused: their status page"),
        (vec!["resume", "--engine", "lemonfox"], "asked by what it answers"),
        (
            vec!["provider", "disable", "openai", "--for", "2h", "--reason", "a red page"],
            "openai       disabled for 7",
        ),
        (
            vec!["provider", "enable", "openai", "--always", "--reason", "they say so"],
            "openai       asked whatever",
        ),
        (vec!["provider", "enable", "openai"], "openai       asked"),
        (vec!["provider", "fail-fast", "llm", "on", "--reason", "month end"], "; not waited for: month end"),
        (vec!["provider", "fail-fast", "llm", "off"], "back to work"),
        (vec!["provider", "list"], "openai       asked"),
        (vec!["log-level", "provider=debug", "--for", "15m"], "scryon_providers=debug"),
        (vec!["log-level", "--reset"], "nothing is switched"),
        (vec!["stuck"], "no call is stuck"),
        (vec!["dead", "list"], "no message is dead"),
        (vec!["sweep"], "objects deleted"),
        (vec!["impact", "--since", "1h"], "default              COMPLETED"),
        (vec!["reprocess", "--since", "1h", "--dry-run"], "calls                                       1"),
        (vec!["changes"], "start      scryon-dev"),
        (vec!["audit"], "key:ops"),
    ] {
        let (code, said) = by_api(&arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let audited = "select action || ' ' || target || ': ' || coalesce(reason, '') from admin_audit_log
         where action in ('provider', 'fail-fast') and target in ('openai', 'llm') and actor = 'key:ops' order by id";
    let audited: Vec<String> = app.database.sql(audited, &[]).await.iter().map(|r| r.get(0)).collect();
    let expected = [
        "provider openai: a red page",
        "provider openai: they say so",
        "provider openai: ",
        "fail-fast llm: month end",
        "fail-fast llm: ",
    ];
    assert_eq!(audited, expected);
    // A slip of the pen is told before anybody is asked.
    for arguments in [["provider", "enable", "nobody"], ["provider", "fail-fast", "lemonfox"]] {
        assert_eq!(by_api(&arguments).await.0, Some(64));
    }
    let (code, said) = by_api(&["resume", "--lane", "backfill"]).await;
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("target_not_found"), "{said}");
    app.finish().await;
}

/// What the contract says about SQL, typed by the role that operators have.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_types_the_recipes_and_nothing_else() {
    let app = TestApp::start().await;
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    app.client.finished(id).await;
    let operator = app.database.client().await;
    operator.batch_execute("set role scryon_operator").await.unwrap();

    operator
        .execute("UPDATE call_records SET status = 'QUEUED', error_reason = NULL WHERE id = $1", &[&id])
        .await
        .unwrap();
    eventually("a second run", || async {
        let call = app.client.call(id).await;
        (call["run"] == 2 && call["status"] == "COMPLETED").then_some(())
    })
    .await;
    assert_eq!(app.bought("transcribe", &audio), 1);
    operator
        .execute(
            "UPDATE call_records SET status = 'FAILED', error_reason = 'manual_sweep' WHERE id IN ($1)",
            &[&id],
        )
        .await
        .unwrap();
    assert_eq!(app.client.call(id).await["errorReason"], "manual_sweep");
    operator
        .execute("UPDATE call_records SET status = 'QUEUED', force_paid = true WHERE id = $1", &[&id])
        .await
        .unwrap();
    eventually("a third run", || async {
        let call = app.client.call(id).await;
        (call["run"] == 3 && call["status"] == "COMPLETED").then_some(())
    })
    .await;
    assert_eq!(app.bought("transcribe", &audio), 2);
    operator.query("select * from stuck_calls", &[]).await.unwrap();
    operator
        .execute("insert into operator_switches (kind, target, reason) values ('pause', 'lane:backfill', 'by hand')", &[])
        .await
        .unwrap();
    operator.execute("delete from operator_switches", &[]).await.unwrap();
    let noted = "select count(*) from change_log where kind = 'switch'";
    assert_eq!(app.database.number(noted).await, 2, "also what is typed by hand is noted");
    operator.execute("DELETE FROM call_records WHERE id = $1", &[&id]).await.unwrap();
    assert_eq!(app.client.get(&format!("/api/calls/{id}")).await.code(), "call_not_found");
    assert_eq!(
        app.database.number("select count(*) from storage_tombstones where target like '%/'").await,
        1
    );

    for forbidden in [
        "update call_records set tenant_id = 'other'",
        "delete from provider_jobs",
        "update admin_audit_log set actor = 'nobody'",
        "delete from change_log",
        "insert into api_keys (tenant_id, user_id, key_sha256, label) values ('default', gen_random_uuid(), sha256('x'), 'x')",
        "drop table call_records",
    ] {
        let error = operator.batch_execute(forbidden).await.unwrap_err();
        let state = error.code().map(|c| c.code().to_owned());
        assert_eq!(state.as_deref(), Some("42501"), "{forbidden}: {error:?}");
    }
    app.finish().await;
}
