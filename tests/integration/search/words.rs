//! By words.

use reqwest::Method;
use scryon_domain::ids::{TenantId, UserId};
use scryon_store::Owner;
use scryon_testkit::{Dice, Parts, TestApp, TestOptions, eventually, unique_wav};
use serde_json::json;
use uuid::Uuid;

use super::{find, ids, indexed, status, usual};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_found_by_its_title_contact_tags_and_words() {
    let app = TestApp::start_with(usual()).await;
    let metadata = json!({"title": "Quarterly Xylophone review", "contactName": "Zebulon Quackenbush",
        "organization": "Wombat Ltd", "phoneNumber": "+99 55501 77123"});
    let one = app.client.upload_with(unique_wav(), &metadata).await;
    let other = app.client.upload_with(unique_wav(), &json!({"title": "Budget"})).await;
    for id in [one, other] {
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    }
    indexed(&app, 2).await;
    for q in [
        "xylophone",
        "XYLOPHONE",
        "xylo",
        "quarterly xylo",
        "zeb quack",
        "\"quarterly xylophone\"",
        "wombat",
        "77123",
        "budgetless or xylophone",
        "review -budget",
    ] {
        assert_eq!(ids(&app, q).await, [one], "{q}");
    }
    for q in [
        "\"xylophone quarterly\"",
        "xylophone budget",
        "ylophone",
        "nothing of it",
        "",
        "  ",
        "!&|()",
        "segm -segment",
    ] {
        assert_eq!(ids(&app, q).await, [] as [Uuid; 0], "{q}");
    }
    // What was said, in both; a title counts for more than what is said.
    let mut both = ids(&app, "segment number").await;
    both.sort();
    let mut expected = vec![one, other];
    expected.sort();
    assert_eq!(both, expected);
    // Items are those of the list.
    let answer = find(&app, "xylophone").await;
    let listed = app.client.get("/api/calls?page=0&size=10").await.body;
    assert!(listed.as_array().unwrap().contains(&answer.body[0]), "{}", answer.text);
    let sized = app.client.get("/api/calls/search?q=segment&size=1").await.body;
    assert_eq!(sized.as_array().unwrap().len(), 1);
    for (path, code) in [
        (format!("/api/calls/search?q={}", "x".repeat(401)), "validation_failed"),
        ("/api/calls/search?q=x&size=0".to_owned(), "validation_failed"),
    ] {
        let answer = app.client.get(&path).await;
        assert_eq!((answer.status, answer.code()), (400, code), "{path}");
    }
    assert_eq!(app.client.get("/api/calls/search").await.body, json!([]));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_a_new_run_and_a_deletion_reach_the_index() {
    let app = TestApp::start_with(usual()).await;
    let id = app.client.upload_with(unique_wav(), &json!({"title": "Xylophone"})).await;
    app.client.finished(id).await;
    indexed(&app, 1).await;
    // As any endpoint or operator changes it.
    app.database
        .sql("update call_records set title = 'Marimba', tags = '{percussion}' where id = $1", &[&id])
        .await;
    eventually("the new title", || async { (ids(&app, "marimba percussion").await == [id]).then_some(()) })
        .await;
    assert_eq!(ids(&app, "xylophone").await, [] as [Uuid; 0]);
    // During a new run the call is found as it was.
    app.database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id]).await;
    assert_eq!(ids(&app, "marimba").await, [id]);
    eventually("the new run's end", || async {
        let call = app.client.call(id).await;
        (call["run"] == 2 && call["status"] == "COMPLETED").then_some(())
    })
    .await;
    indexed(&app, 1).await;
    assert_eq!(ids(&app, "marimba").await, [id]);
    let deleted = app.client.send(app.client.request(Method::DELETE, &format!("/api/calls/{id}"))).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(ids(&app, "marimba").await, [] as [Uuid; 0]);
    assert_eq!(app.database.number("select count(*) from call_search").await, 0);
    app.finish().await;
}

/// The pipeline's own statements do not touch the index, and an edit costs one mark.
#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_writes_nothing_for_search_and_a_backfill_makes_all_of_it() {
    let app =
        TestApp::start_with(usual().parts(Parts::WITHOUT_SWEEPER).set("SCRYON_SEARCH_BATCH", "2")).await;
    let mut calls = Vec::new();
    for n in 0..5 {
        let title = format!("Xylophone {n}");
        calls.push(app.client.upload_with(unique_wav(), &json!({"title": title})).await);
    }
    for id in &calls {
        app.client.finished(*id).await;
    }
    assert_eq!(app.database.number("select count(*) from call_search").await, 0);
    let before = status(&app).await;
    assert_eq!((&before["total"], &before["pending"], &before["indexed"]), (&json!(5), &json!(5), &json!(0)));
    let backfill = app.client.request(Method::POST, "/api/calls/search/backfill");
    let answer = app.client.send(backfill).await;
    assert_eq!((answer.status, &answer.body["queued"]), (202, &json!(5)), "{}", answer.text);
    let mut app = app;
    app.spawn_sweeper();
    indexed(&app, 5).await;
    assert_eq!(ids(&app, "xylophone").await.len(), 5);
    // A mark on a call that ended last does not make the sweep believe that it has seen all before it.
    app.database.sql("update call_search_progress set finished_until = '-infinity'", &[]).await;
    app.database.sql("delete from call_search where call_id <> $1", &[calls.last().unwrap()]).await;
    app.database.sql("update call_search set due = true", &[]).await;
    indexed(&app, 5).await;
    app.finish().await;
}

/// Nobody finds what is another's, whatever is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_its_owners() {
    let app = TestApp::start_with(usual().parts(Parts::API)).await;
    let tenant = TenantId("default".to_owned());
    let mut owners = Vec::new();
    for name in ["one", "two"] {
        owners.push(app.context.store.user_ensure(&tenant, name).await.unwrap().owner);
    }
    for owner in &owners {
        fill(&app, owner, 3).await;
    }
    let id = owners[0].user_id.0;
    for q in ["common", "common -nothing", &format!("@{id}"), &format!("common or {id}"), "-zzz"] {
        for owner in &owners {
            let found = app.context.store.search_words(owner, q, 100).await.unwrap();
            let rows = app.context.store.calls_by_ids(owner, &found).await.unwrap();
            assert_eq!(rows.len(), found.len(), "{q}");
            assert!(found.len() <= 3, "{q}");
        }
    }
    assert_eq!(app.context.store.search_words(&owners[0], "common", 100).await.unwrap().len(), 3);
    let stranger = Owner { tenant_id: TenantId("other".to_owned()), user_id: owners[0].user_id };
    assert_eq!(app.context.store.search_words(&stranger, "common", 100).await.unwrap(), [] as [Uuid; 0]);
    let nobody = Owner { tenant_id: tenant, user_id: UserId(Uuid::new_v4()) };
    assert_eq!(app.context.store.search_words(&nobody, "common", 100).await.unwrap(), [] as [Uuid; 0]);
    app.finish().await;
}

/// Rows of the index, and calls for them, as the sweeper writes them.
async fn fill(app: &TestApp, owner: &Owner, count: i32) {
    let sql = "with made as (
             insert into call_records (id, tenant_id, user_id, status, finished_at, title)
             select gen_random_uuid(), $1::text, $2::uuid, 'CANCELLED', now(), 'common w' || n from generate_series(1, $3::int4) n
             returning id, tenant_id, user_id, created_at, finished_at, title)
         insert into call_search (call_id, tenant_id, user_id, created_at, finished_at, document)
         select id, tenant_id, user_id, created_at, finished_at,
             array_to_tsvector(array['@' || user_id]) || to_tsvector('simple', title) from made";
    app.database.sql(sql, &[&owner.tenant_id.0, &owner.user_id.0, &count]).await;
}

/// Whatever is typed is an answer, never an error of Postgres.
#[tokio::test(flavor = "multi_thread")]
async fn no_text_makes_a_search_fail() {
    let app = TestApp::start_with(usual().parts(Parts::API)).await;
    let owner = app.context.store.user_ensure(&TenantId("default".to_owned()), "one").await.unwrap().owner;
    fill(&app, &owner, 3).await;
    let bits = [
        "a",
        "common",
        " ",
        "\"",
        "'",
        "''",
        "\\",
        "\\'",
        "&",
        "|",
        "!",
        "(",
        ")",
        ":*",
        ":A",
        "<->",
        "<0>",
        "<99999>",
        "-",
        "--",
        "or",
        "OR",
        "and",
        "\0",
        "\u{feff}",
        "\u{202e}",
        "é",
        "क्षि",
        "日本",
        "🎻",
        "%",
        "_",
        ";",
        "$1",
        "{}",
        "[",
        "*",
        "@",
        "#",
        "~",
        "\n",
        "\t",
        "user@example.org",
        "http://a.b/c?d=e",
        "1e400",
        "-1.5e-3",
        "ⓐ",
        "ß",
        "İ",
        "\u{0}\u{1}",
        "x'); drop table call_search; --",
    ];
    let mut dice = Dice::new(20_261_126);
    let long = [
        "x".repeat(400),
        "日".repeat(400),
        "a ".repeat(200),
        "\"".repeat(399),
        "-".repeat(400),
        "((".repeat(200),
        "!a ".repeat(130),
    ];
    let made = (0..600).map(|_| {
        let length = 1 + dice.roll(12);
        (0..length).map(|_| bits[dice.roll(bits.len() as u32) as usize]).collect::<String>()
    });
    for q in long.into_iter().chain(bits.iter().map(|bit| (*bit).to_owned())).chain(made) {
        let found = app.context.store.search_words(&owner, &q, 20).await;
        assert!(found.is_ok(), "{q:?}: {found:?}");
    }
    assert_eq!(app.context.store.search_words(&owner, "common", 20).await.unwrap().len(), 3);
    // Over HTTP as well, escaped and not.
    for q in ["%00", "%27%29%3B", "%22", "a%00b", "%F0%9F%8E%BB", "%C3%28"] {
        let answer = app.client.get(&format!("/api/calls/search?q={q}")).await;
        assert!(matches!(answer.status, 200 | 400), "{q}: {}", answer.text);
    }
    app.finish().await;
}

/// At many rows a search asks the index and reads no table from end to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_goes_by_its_index() {
    let app = TestApp::start_with(usual().parts(Parts::API)).await;
    let tenant = TenantId("default".to_owned());
    let owner = app.context.store.user_ensure(&tenant, "one").await.unwrap().owner;
    let crowd = app.context.store.user_ensure(&tenant, "crowd").await.unwrap().owner;
    fill(&app, &crowd, 20_000).await;
    fill(&app, &owner, 20).await;
    app.database.sql("analyze call_search", &[]).await;
    let scans = async || {
        let sql = "select t.seq_scan, i.idx_scan, i.idx_tup_read from pg_stat_user_tables t
                 join pg_stat_user_indexes i on i.relid = t.relid and i.indexrelname = 'call_search_words'
             where t.relname = 'call_search' and t.schemaname = current_schema()";
        let row = app.database.sql(sql, &[]).await.remove(0);
        (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2))
    };
    let before = scans().await;
    for _ in 0..10 {
        assert_eq!(app.context.store.search_words(&owner, "common w1", 100).await.unwrap().len(), 11);
    }
    let after = eventually("the counts of the searches", || async {
        let now = scans().await;
        (now.1 >= before.1 + 10).then_some(now)
    })
    .await;
    assert_eq!(after.0, before.0, "a table was read from end to end");
    // Of the crowd's calls with the same words none is looked at.
    assert_eq!(after.2 - before.2, 10 * 11);
    app.finish().await;
}

/// A transcript that is gone, or a row that somebody works on, holds nobody else up.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_indexed_holds_nothing_up() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::WITHOUT_SWEEPER)).await;
    let mut calls = Vec::new();
    for title in ["Xylophone one", "Xylophone two", "Xylophone three"] {
        calls.push(app.client.upload_with(unique_wav(), &json!({"title": title})).await);
    }
    for id in &calls {
        app.client.finished(*id).await;
    }
    let key = "select storage_key from call_artifacts where call_id = $1 and artifact_type = 'NORMALIZED_TRANSCRIPT_JSON'";
    let key: String = app.database.sql(key, &[&calls[0]]).await[0].get(0);
    let file = app.storage.path().join(&key);
    let content = std::fs::read(&file).unwrap();
    std::fs::write(&file, b"{").unwrap();
    let mut operator = app.database.client().await;
    let open = operator.transaction().await.unwrap();
    open.query("select 1 from call_records where id = $1 for update", &[&calls[1]]).await.unwrap();
    let mut app = app;
    app.spawn_sweeper();
    eventually("two of three", || async { (ids(&app, "xylophone").await.len() == 2).then_some(()) }).await;
    assert_eq!(ids(&app, "xylophone one").await, [calls[0]], "by its title alone");
    open.rollback().await.unwrap();
    indexed(&app, 3).await;
    std::fs::write(&file, content).unwrap();
    app.finish().await;
}
