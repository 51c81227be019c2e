//! `scryon probe`: a recording of our own goes the whole way, and counts as nobody's.

use scryon_testkit::{Fault, TestApp, TestOptions, eventually, unique_wav};
use serde_json::Value;

use crate::holds::scryon;

async fn counted(app: &TestApp) -> Vec<(String, i64)> {
    eventually("what happened to be counted", || async {
        (app.database.number("select count(*) from call_count_deltas").await == 0).then_some(())
    })
    .await;
    let sql =
        "select kind, sum(total)::bigint from call_count_totals where total > 0 group by kind order by kind";
    app.database.sql(sql, &[]).await.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn figure(app: &TestApp, name: &str) -> f64 {
    let metrics = app.metrics();
    let line = metrics.lines().find_map(|l| l.strip_prefix(&format!("{name} "))).unwrap_or("0");
    line.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_goes_the_whole_way_and_counts_as_nobodys() {
    let app = TestApp::start_with(TestOptions::default()).await;
    let customers = app.client.upload(unique_wav()).await;
    app.client.finished(customers).await;
    assert_eq!(figure(&app, "scryon_probe_last_success_timestamp_seconds"), 0.0);
    for probes in 1..=2 {
        let (code, result) = scryon(&app, &["--direct", "probe"]).await;
        assert_eq!((code, result["ok"].as_bool()), (0, Some(true)), "{result}");
        let steps = result["steps"].as_object().unwrap();
        let mut order: Vec<(&str, f64)> =
            steps.iter().map(|(name, at)| (name.as_str(), at.as_f64().unwrap())).collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        let order: Vec<&str> = order.into_iter().map(|(name, _)| name).collect();
        assert_eq!(order.len(), 6, "{order:?}");
        assert_eq!((order[0], order[5]), ("accepted", "deleted"));
        let bought = app.simulator.purchases().iter().filter(|p| p.route == "transcribe").count();
        assert_eq!(bought, 1 + probes, "no probe lives on what an earlier one bought");
    }
    assert_eq!(app.database.number("select count(*) from call_records").await, 1, "its calls are gone");
    let held = "select count(*) from api_keys where revoked_at is null";
    assert_eq!(app.database.number(held).await, 0, "its keys do not hold any more");
    assert_eq!(counted(&app).await, [("completed".to_owned(), 1), ("uploaded".to_owned(), 1)]);
    eventually("the metric", || async {
        (figure(&app, "scryon_probe_last_success_timestamp_seconds") > 1e9).then_some(())
    })
    .await;
    assert!(figure(&app, "scryon_probe_duration_seconds") > 0.0);
    assert_eq!(figure(&app, "scryon_pipeline_total_duration_seconds_count"), 1.0);
    let impact = scryon(&app, &["--direct", "impact", "--since", "1h"]).await.1;
    assert_eq!(impact["tenantId"], "default", "the only line: {impact}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_fails_says_where_and_leaves_nothing() {
    let app = TestApp::start_with(TestOptions::default()).await;
    let key = scryon(&app, &["--direct", "keys", "create", "--tenant", "canary", "--label", "probe"]).await.1;
    let key = key["secret"].as_str().unwrap();
    let probe = async |more: &[&str]| {
        let (code, result) = scryon(&app, &[&["--direct", "probe", "--key", key], more].concat()).await;
        assert_eq!(result["ok"], Value::Bool(false), "{result}");
        (
            code,
            result["failedStep"].as_str().unwrap().to_owned(),
            result["error"].as_str().unwrap().to_owned(),
        )
    };
    app.simulator.fail_next("transcribe", 1, Fault::Status(400, None));
    let (code, step, error) = probe(&[]).await;
    assert_eq!((code, step.as_str()), (1, "transcribed"));
    assert!(error.contains("FAILED"), "{error}");

    app.simulator.fail_next("analyze", 1, Fault::Hold);
    let (code, step, error) = probe(&["--within", "20s"]).await;
    assert_eq!((code, step.as_str()), (1, "completed"));
    assert!(error.contains("ANALYZING after 20 s"), "{error}");
    app.simulator.release();

    let revoke = "update api_keys set revoked_at = now()";
    app.database.sql(revoke, &[]).await;
    eventually("the key to be refused", || async {
        let refused = app.client.request(reqwest::Method::GET, "/api/calls").bearer_auth(key);
        (app.client.send(refused).await.status == 401).then_some(())
    })
    .await;
    let (code, step, _) = probe(&[]).await;
    assert_eq!((code, step.as_str()), (65, "accepted"));

    assert_eq!(app.database.number("select count(*) from call_records").await, 0);
    assert_eq!(counted(&app).await, [], "no customer's call failed");
    let noted: Vec<String> = app
        .database
        .sql("select failed_step from probes order by id", &[])
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(noted, ["transcribed", "completed", "accepted"]);
    assert_eq!(figure(&app, "scryon_probe_last_success_timestamp_seconds"), 0.0);
    app.stop_and_clean().await;
}
