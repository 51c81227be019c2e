//! Reading and deleting calls.

use reqwest::Method;
use scryon_testkit::{Parts, TestApp, TestOptions, unique_wav};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_paged_by_cursor_and_by_page() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(app.client.upload_with(unique_wav(), &json!({"title": format!("call {n}")})).await);
    }
    ids.reverse(); // newest first
    let shown = |items: &Value| -> Vec<Uuid> {
        items.as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().parse().unwrap()).collect()
    };
    let mut seen = Vec::new();
    let mut path = "/api/calls?limit=3".to_owned();
    loop {
        let page = app.client.get(&path).await.body;
        seen.extend(shown(&page["items"]));
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/api/calls?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    let page = app.client.get("/api/calls?page=1&size=4").await.body;
    assert_eq!(shown(&page), ids[4..]);
    let first = &app.client.get("/api/calls").await.body["items"][0];
    assert_eq!(first["title"], "call 6");
    assert_eq!(first["actionItemCount"], 0);
    assert!(first.get("contactName").is_none(), "a field without a value is left out");
    assert_eq!(shown(&app.client.get("/api/calls?status=COMPLETED").await.body["items"]), Vec::<Uuid>::new());
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_statuses_are_asked_at_once() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let id = app.client.upload(unique_wav()).await;
    let stranger = Uuid::new_v4();
    let answer = app.client.get(&format!("/api/calls/status?ids={id},{stranger}")).await.body;
    assert_eq!(answer["items"], json!([{"callId": id, "status": "QUEUED"}]), "a foreign id is left out");
    let wait = answer["nextPollMs"].as_i64().unwrap();
    assert!((1000..=60_000).contains(&wait));
    assert_eq!(app.client.get("/api/calls/status").await.body["nextPollMs"], 60_000);
    app.stop_and_clean().await;
}

/// A user sees nothing of another user, nor of another tenant: not even that it is there.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_calls_are_not_there() {
    let app = TestApp::start().await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    let client = app.database.client().await;
    client
        .batch_execute(
            "insert into tenants (id) values ('other');
             insert into users (id, tenant_id, external_user_id) values ('00000000-0000-4000-8000-000000000001', 'other', 'x');
             update call_records set tenant_id = 'other', user_id = '00000000-0000-4000-8000-000000000001';
             update action_items set tenant_id = 'other', user_id = '00000000-0000-4000-8000-000000000001'",
        )
        .await
        .unwrap();
    for path in ["", "/transcript", "/analysis"] {
        let answer = app.client.get(&format!("/api/calls/{id}{path}")).await;
        assert_eq!((answer.status, answer.code()), (404, "call_not_found"), "{path}");
    }
    let delete = app.client.request(Method::DELETE, &format!("/api/calls/{id}"));
    assert_eq!(app.client.send(delete).await.status, 404);
    assert_eq!(app.client.get("/api/calls").await.body["items"], json!([]));
    assert_eq!(app.client.get("/api/actions").await.body, json!([]));
    let action: Uuid = client.query_one("select id from action_items limit 1", &[]).await.unwrap().get(0);
    let patch =
        app.client.request(Method::PATCH, &format!("/api/actions/{action}")).json(&json!({"status": "DONE"}));
    assert_eq!(app.client.send(patch).await.status, 404);
    assert_eq!(app.database.number("select count(*) from call_records").await, 1, "nothing was deleted");
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_served_in_their_forms_and_refused_until_they_exist() {
    let app = TestApp::start_with(TestOptions::default().set("SCRYON_ANALYSIS_ENABLED", "false")).await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    let form = |accept: &'static str| {
        app.client.request(Method::GET, &format!("/api/calls/{id}/transcript")).header("Accept", accept)
    };
    let vtt = app.client.send(form("text/vtt")).await;
    assert_eq!(vtt.headers["content-type"], "text/vtt; charset=utf-8");
    assert!(vtt.text.starts_with("WEBVTT\n\n00:00:00.000 --> "), "{}", vtt.text);
    let srt = app.client.send(form("application/x-subrip")).await;
    assert!(srt.text.starts_with("1\n00:00:00,000 --> "), "{}", srt.text);
    let plain = app.client.send(form("text/plain, application/json")).await;
    assert!(plain.text.starts_with("[00:00 - "), "{}", plain.text);
    // Analysis was switched off: the call is done, and says why there is none.
    let analysis = app.client.get(&format!("/api/calls/{id}/analysis")).await;
    assert_eq!((analysis.status, analysis.code()), (404, "analysis_not_available"));
    assert_eq!(analysis.body["error"]["details"]["reason"], "disabled");
    app.finish().await;

    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let id = app.client.upload(unique_wav()).await;
    for document in ["transcript", "analysis"] {
        let answer = app.client.get(&format!("/api/calls/{id}/{document}")).await;
        assert_eq!((answer.status, answer.code()), (422, "call_not_completed"), "{document}");
        assert_eq!(answer.body["error"]["details"]["status"], "QUEUED");
    }
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_item_is_done_and_undone() {
    let app = TestApp::start().await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    let items = app.client.get("/api/actions").await.body;
    let item = &items[0];
    assert_eq!(item["callRecordId"], id.to_string());
    assert_eq!(item["source"], "AI");
    assert!(item["sourceSegmentIds"][0].as_str().unwrap().starts_with("seg_"));
    for field in ["dueDate", "priority", "ownerSpeakerId", "ownerDisplayName", "ownerRole"] {
        assert!(item.get(field).is_some(), "{field} is sent even when it is null");
    }
    let path = format!("/api/actions/{}", item["id"].as_str().unwrap());
    let set = async |status: &str| {
        app.client.send(app.client.request(Method::PATCH, &path).json(&json!({"status": status}))).await.body
    };
    let done = set("DONE").await;
    assert_eq!(done["status"], "DONE");
    assert!(done["completedAt"].is_string());
    let open = set("OPEN").await;
    assert_eq!(open["status"], "OPEN");
    assert!(open.get("completedAt").is_none());
    let listed = &app.client.get("/api/calls").await.body["items"][0];
    assert_eq!(listed["actionItemCount"], 3);
    assert!(listed["firstActionTitle"].is_string());
    app.finish().await;
}

/// Deleting takes the row and all that belongs to it at once, and its objects in the next storage sweep.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_call_is_gone_with_its_objects() {
    let app = TestApp::start_with(
        TestOptions::default()
            .set("SCRYON_SWEEP_INITIAL_DELAY_MS", "200")
            .set("SCRYON_SWEEP_INTERVAL_MS", "200"),
    )
    .await;
    let keep = app.client.upload(unique_wav()).await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(keep).await;
    app.client.finished(id).await;
    let delete = || app.client.request(Method::DELETE, &format!("/api/calls/{id}"));
    assert_eq!(app.client.send(delete()).await.status, 204);
    assert_eq!(app.client.send(delete()).await.status, 404);
    assert_eq!(app.client.get(&format!("/api/calls/{id}")).await.status, 404);
    for table in [
        "call_artifacts where call_id",
        "action_items where call_record_id",
        "call_stages where call_id",
        "call_processing_events where call_id",
    ] {
        assert_eq!(
            app.database.number(&format!("select count(*) from {table} = '{id}'")).await,
            0,
            "{table}"
        );
    }
    scryon_testkit::eventually("the objects to leave", || async {
        // Beside calls there is a note on each user, which a restore reads.
        let mut left = app.context.blobs.list("tenants").await.unwrap();
        left.retain(|key| key.contains("/calls/"));
        (!left.is_empty() && left.iter().all(|key| key.contains(&keep.to_string()))).then_some(())
    })
    .await;
    app.finish().await;
}
