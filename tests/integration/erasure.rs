//! A user, or a tenant, leaves with everything; the receipt stays.

use scryon_testkit::{Fault, TestApp, TestOptions, eventually, unique_wav};
use serde_json::Value;
use uuid::Uuid;

use crate::holds::scryon;

async fn objects(app: &TestApp) -> usize {
    app.context.blobs.list("tenants").await.unwrap().iter().filter(|k| !k.ends_with("/user.json")).count()
}

async fn receipt(app: &TestApp, id: &str) -> Value {
    scryon(app, &["erase", "--receipt", id]).await.1
}

fn sweeping() -> TestOptions {
    TestOptions::default().set("SCRYON_SWEEP_INITIAL_DELAY_MS", "50").set("SCRYON_SWEEP_INTERVAL_MS", "50")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_leaves_with_everything_and_a_receipt_stays() {
    let app = TestApp::start_with(sweeping()).await;
    for _ in 0..2 {
        let id = app.client.upload(unique_wav()).await;
        app.client.finished(id).await;
    }
    eventually("storage to know the user", || async {
        (app.database.number("select count(*) from users where stored_at is null").await == 0).then_some(())
    })
    .await;
    // Somebody else of the same tenant, who stays.
    let client = app.database.client().await;
    client
        .batch_execute(
            "insert into users (tenant_id, external_user_id, email) values ('default', 'other', 'o@example.org');
             insert into call_records (id, tenant_id, user_id) select gen_random_uuid(), tenant_id, id from users where external_user_id = 'other';
             insert into contacts (tenant_id, user_id, name) select tenant_id, id, 'Ravi' from users",
        )
        .await
        .unwrap();
    let (code, _) = scryon(&app, &["erase", "--user", "nobody", "--reason", "request 1", "--yes"]).await;
    assert_eq!(code, 64);
    let (code, _) = scryon(&app, &["erase", "--user", "local-dev", "--reason", "request 1"]).await;
    assert_eq!(code, 64, "it has to be meant");
    assert_eq!(app.database.number("select count(*) from call_records").await, 3);

    scryon(&app, &["hold", "on", "--reason", "case 9"]).await;
    let before = objects(&app).await;
    let (code, given) =
        scryon(&app, &["erase", "--user", "local-dev", "--reason", "request 1", "--yes"]).await;
    assert_eq!(code, 0, "{given}");
    let id = given["id"].as_str().unwrap().to_owned();
    assert_eq!(given["rowsDeleted"]["calls"], 2, "{given}");
    assert_eq!(given["rowsDeleted"]["contacts"], 1, "{given}");
    let left = "select (select count(*) from call_records) * 100 + (select count(*) from users) * 10 + (select count(*) from contacts)";
    assert_eq!(app.database.number(left).await, 111, "only the other one is left");
    assert_eq!(
        (objects(&app).await, receipt(&app, &id).await["completedAt"].is_null()),
        (before, true),
        "objects wait for the hold"
    );
    scryon(&app, &["hold", "off", "--reason", "closed"]).await;
    let done = eventually("the objects to leave", || async {
        let receipt = receipt(&app, &id).await;
        (!receipt["completedAt"].is_null()).then_some(receipt)
    })
    .await;
    assert_eq!(objects(&app).await, 0);
    assert_eq!(
        done["objectsDeleted"].as_u64(),
        Some(before as u64 + 1),
        "every object is counted once, and the note of the user: {done}"
    );
    assert_eq!(
        (done["reason"].as_str(), done["requestedBy"].as_str()),
        (Some("request 1"), Some("operator"))
    );
    let noted = app.context.blobs.erasures_since("2000-01-01".parse().unwrap()).await.unwrap();
    assert!(noted.iter().any(|e| matches!(e, scryon_blobs::Erased::User(_))), "{noted:?}");
    app.stop_and_clean().await;
}

/// The tenant goes; its name may come again, and what comes then stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_leaves_with_its_users_and_may_come_again() {
    let app = TestApp::start_with(sweeping()).await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    let client = app.database.client().await;
    client
        .batch_execute(
            "insert into tenants (id, display_name) values ('acme', 'Acme');
             insert into users (tenant_id, external_user_id) values ('acme', 'a'), ('acme', 'b');
             insert into call_records (id, tenant_id, user_id) select gen_random_uuid(), tenant_id, id from users where tenant_id = 'acme'",
        )
        .await
        .unwrap();
    // One call left a moment ago. Its prefix was swept, and is swept once more in an hour, for which no receipt waits.
    let left =
        "insert into call_records (id, tenant_id, user_id) select gen_random_uuid(), tenant_id, id from users
         where external_user_id = 'a' and tenant_id = 'acme' returning id";
    let left: Uuid = app.database.sql(left, &[]).await[0].get(0);
    app.database.sql("delete from call_records where id = $1", &[&left]).await;
    eventually("its prefix to be swept", || async {
        let again =
            "select count(*) from storage_tombstones where due_at > now() and target like 'tenants/acme/%'";
        (app.database.number(again).await == 1).then_some(())
    })
    .await;
    let (code, given) =
        scryon(&app, &["erase", "--tenant", "acme", "--reason", "contract over", "--yes"]).await;
    assert_eq!(
        (code, given["rowsDeleted"]["users"].as_i64(), given["rowsDeleted"]["calls"].as_i64()),
        (0, Some(2), Some(2)),
        "{given}"
    );
    assert_eq!(app.database.number("select count(*) from tenants where id = 'acme'").await, 0);
    let user = Uuid::new_v4();
    let key = scryon_blobs::BlobKey::stored(&format!(
        "tenants/acme/users/{user}/calls/{}/temp/audio.wav",
        Uuid::now_v7()
    ));
    app.context.blobs.put(&key, unique_wav()).await.unwrap();
    eventually("the receipt to be complete", || async {
        let receipt = receipt(&app, given["id"].as_str().unwrap()).await;
        (!receipt["completedAt"].is_null()).then_some(())
    })
    .await;
    assert!(
        app.context.blobs.size(&key).await.unwrap().is_some(),
        "the tenant that came again keeps what it has"
    );
    assert_eq!(
        app.client.get(&format!("/api/calls/{id}/transcript")).await.status,
        200,
        "other tenants are not touched"
    );
    app.finish().await;
}

/// A provider that can delete is asked to, until it has.
#[tokio::test(flavor = "multi_thread")]
async fn copies_at_a_provider_are_deleted_there() {
    let mut options = TestOptions::hosted().set("SCRYON_TRANSCRIPTION_ENGINES", "assemblyai");
    options = options.set("SCRYON_SWEEP_INITIAL_DELAY_MS", "50").set("SCRYON_SWEEP_INTERVAL_MS", "50");
    let app = TestApp::start_with(options).await;
    let id = app.client.upload(unique_wav()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    let job = "select external_id from provider_jobs where engine = 'assemblyai' and external_id is not null";
    let transcript: String = app.database.sql(job, &[]).await[0].get(0);
    app.simulator.fail_next("assemblyai.delete", 1, Fault::Status(500, None));
    let (code, given) =
        scryon(&app, &["erase", "--user", "local-dev", "--reason", "request 2", "--yes"]).await;
    assert_eq!((code, given["providerCopies"].as_i64()), (0, Some(1)), "{given}");
    eventually("the provider to have deleted it", || async {
        let receipt = receipt(&app, given["id"].as_str().unwrap()).await;
        (receipt["providerCopiesLeft"] == 0).then_some(())
    })
    .await;
    let url = format!("{}/v2/transcript/{transcript}", app.settings["SCRYON_ASSEMBLYAI_BASE_URL"]);
    let key = app.settings["SCRYON_ASSEMBLYAI_API_KEY"].clone();
    let asked = app.client.http.get(url).header("authorization", key).send().await.unwrap();
    assert_eq!(asked.status().as_u16(), 404);
    app.stop_and_clean().await;
}
