//! The schema: it goes up, down and up again; its checks hold both ways; operators' plain SQL is legal at
//! any instant.

use scryon_testkit::{Database, Servers};
use tokio_postgres::error::SqlState;

async fn database() -> Database {
    Database::create(&Servers::found().database_url).await
}

async fn one_call(database: &Database, status: &str, reason: Option<&str>) -> uuid::Uuid {
    let client = database.client().await;
    client
        .execute(
            "insert into users (tenant_id, external_user_id) values ('default', 'u') on conflict do nothing",
            &[],
        )
        .await
        .unwrap();
    let is_final = matches!(status, "COMPLETED" | "FAILED" | "CANCELLED");
    let row = client
        .query_one(
            "insert into call_records (id, tenant_id, user_id, status, error_reason, finished_at, run_no, publish_due)
             select gen_random_uuid(), tenant_id, id, $1::text, $2, case when $3 then now() end, 1, now() + interval '1 hour'
             from users where external_user_id = 'u' returning id",
            &[&status, &reason, &is_final],
        )
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_up_down_and_up_and_twice_is_once() {
    let database = database().await;
    let store = database.store();
    assert_eq!(store.migrate().await.unwrap(), Vec::<String>::new(), "twice is once");
    store.check_schema().await.unwrap();
    assert_eq!(store.migrate_down().await.unwrap().len(), scryon_tests::migrations());
    let error = store.check_schema().await.unwrap_err().to_string();
    assert!(error.contains("older than this program") && error.contains("scryon migrate"), "{error}");
    let left = format!(
        "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = '{}' and c.relkind in ('r', 'v', 'S') and c.relname not like '%diesel%'",
        database.schema
    );
    assert_eq!(database.number(&left).await, 0, "down leaves nothing");
    // Two machines at once.
    let (other_store, one_more) = (database.store(), database.store());
    let (a, b) = tokio::join!(other_store.migrate(), one_more.migrate());
    assert_eq!(
        a.unwrap().len() + b.unwrap().len(),
        scryon_tests::migrations(),
        "one of them did all the work"
    );
    database.drop_schema().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_that_breaks_this_program_is_refused() {
    let database = database().await;
    database.sql("update schema_floor set oldest_program = '99991231000000'", &[]).await;
    let error = database.store().check_schema().await.unwrap_err().to_string();
    assert!(
        error.contains("too new for this program") && error.contains("Deploy the newer program"),
        "{error}"
    );
    database.drop_schema().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_rows_are_refused() {
    let database = database().await;
    let client = database.client().await;
    let id = one_call(&database, "COMPLETED", None).await;
    for (what, sql) in [
        ("an unknown status", format!("update call_records set status = 'DONE' where id = '{id}'")),
        ("FAILED without a reason", format!("update call_records set status = 'FAILED' where id = '{id}'")),
        ("a reason without FAILED", format!("update call_records set error_reason = 'x' where id = '{id}'")),
        ("an unknown direction", format!("update call_records set direction = 'UP' where id = '{id}'")),
        ("an unknown lane", format!("update call_records set lane = 'fast' where id = '{id}'")),
        (
            "a call of a user of another tenant",
            format!(
                "insert into tenants (id) values ('t2'); update call_records set tenant_id = 't2' where id = '{id}'"
            ),
        ),
        (
            "an item done without a time",
            format!(
                "insert into action_items (call_record_id, tenant_id, user_id, title, status) select id, tenant_id, user_id, 'x', 'DONE' from call_records where id = '{id}'"
            ),
        ),
        ("a tenant id with a slash", "insert into tenants (id) values ('a/b')".to_owned()),
    ] {
        let error = client.batch_execute(&sql).await.err().unwrap_or_else(|| panic!("{what} was taken"));
        let code = error.code().cloned();
        assert!(
            code == Some(SqlState::CHECK_VIOLATION) || code == Some(SqlState::FOREIGN_KEY_VIOLATION),
            "{what}: {error:?}"
        );
    }
    database.drop_schema().await;
}

/// `UPDATE … SET status='QUEUED'` from every status, with and without the second column.
#[tokio::test(flavor = "multi_thread")]
async fn a_typed_reset_is_legal_from_every_status() {
    let database = database().await;
    for (status, reason) in [
        ("QUEUED", None),
        ("TRANSCRIBING", None),
        ("ANALYZING", None),
        ("COMPLETED", None),
        ("FAILED", Some("x")),
        ("CANCELLED", None),
    ] {
        for set in [
            "status = 'QUEUED'",
            "status = 'QUEUED', error_reason = null",
            "status = 'QUEUED', force_paid = true",
        ] {
            let id = one_call(&database, status, reason).await;
            let sql = format!(
                "update call_records set {set} where id = $1 returning publish_due is null, error_reason is null, lane, finished_at is null, run_no"
            );
            let row = database.sql(&sql, &[&id]).await.remove(0);
            assert!(
                row.get::<_, bool>(0),
                "{status}, {set}: it is announced at once, not when the old announcement is overdue"
            );
            assert!(row.get::<_, bool>(1) && row.get::<_, bool>(3), "{status}, {set}");
            let lane = if status == "QUEUED" { "live" } else { "backfill" };
            assert_eq!(row.get::<_, String>(2), lane, "{status}, {set}");
            assert_eq!(row.get::<_, i32>(4), 1, "only the start of a run raises run_no");
        }
    }
    database.drop_schema().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_statuses_typed_by_hand_are_completed() {
    let database = database().await;
    for from in ["QUEUED", "TRANSCRIBING", "COMPLETED"] {
        let id = one_call(&database, from, None).await;
        let sql = "update call_records set status = 'FAILED', error_reason = 'manual_sweep' where id = $1 returning finished_at is not null";
        assert!(database.sql(sql, &[&id]).await[0].get::<_, bool>(0), "{from}");
        // Some people set the clock themselves.
        let sql = "update call_records set status = 'CANCELLED', updated_at = now() where id = $1 returning error_reason is null";
        assert!(database.sql(sql, &[&id]).await[0].get::<_, bool>(0), "{from}");
    }
    let counted = "select count(*) from call_count_deltas where kind = 'failed' and label = 'manual_sweep'";
    assert_eq!(database.number(counted).await, 3, "hand-made failures are counted");
    database.drop_schema().await;
}

/// Children go by cascade, objects by tombstone, the ledger stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_typed_delete_takes_children_and_leaves_a_tombstone() {
    let database = database().await;
    let id = one_call(&database, "TRANSCRIBING", None).await;
    for sql in [
        "insert into call_stages (call_id, run_no, stage, tenant_id, state, publish_due) values ($1, 1, 'analysis', 'default', 'PENDING', now())",
        "insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, run_no) values ($1, 'TEMP_AUDIO', 'k', 'audio/wav', 1, 0)",
        "insert into provider_jobs (id, tenant_id, stage, engine, params_hash, audio_sha256, purchase_no, state, cause, call_id, run_no)
         values (gen_random_uuid(), 'default', 'transcription', 'e', '\\x00', '\\x00', 1, 'succeeded', 'first', $1, 1)",
    ] {
        database.sql(sql, &[&id]).await;
    }
    database.sql("delete from call_records where id = $1", &[&id]).await;
    assert_eq!(database.number("select count(*) from call_stages").await, 0);
    assert_eq!(database.number("select count(*) from call_artifacts").await, 0);
    let target: String = database.sql("select target from storage_tombstones", &[]).await[0].get(0);
    assert!(
        target.starts_with("tenants/default/users/") && target.ends_with(&format!("/calls/{id}/")),
        "{target}"
    );
    assert_eq!(
        database.number("select count(*) from provider_jobs where not live").await,
        1,
        "its answer can serve nobody"
    );
    database.drop_schema().await;
}
