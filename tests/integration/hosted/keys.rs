//! Free looks at the keys of providers.

use std::time::Duration;

use scryon_testkit::{HostedOptions, Parts, TestApp, TestOptions, eventually};
use serde_json::Value;

use super::{exported, scryon};

/// Workers look at the keys they hold, one of them in five minutes, and nothing is bought.
#[tokio::test(flavor = "multi_thread")]
async fn workers_look_at_their_keys() {
    let options = TestOptions::hosted()
        .set("SCRYON_TRANSCRIPTION_ENGINES", "lemonfox,deepgram")
        .set("PYANNOTE_API_KEY", "bad-key")
        .set("LLM_API_KEY", "unpaid-key");
    let app = TestApp::start_with(options).await;
    for (engine, ok) in [("lemonfox", 1), ("deepgram", 1), ("pyannote", 0), ("llm", 0)] {
        exported(&app, &format!("scryon_provider_credential_ok{{engine=\"{engine}\"}} {ok}")).await;
    }
    exported(&app, "scryon_provider_quota_left{engine=\"deepgram\"} 200").await;
    assert!(
        !app.metrics().contains("scryon_provider_credential_ok{engine=\"assemblyai\"}"),
        "it is not used"
    );
    let store = app.database.store();
    for engine in ["lemonfox", "deepgram", "pyannote", "llm"] {
        assert!(!store.credential_check_begin(engine, Duration::from_secs(300)).await.unwrap(), "{engine}");
    }
    let results = "select count(*) from provider_circuits where (engine, check_result) in
         (('lemonfox', 'ok'), ('deepgram', 'ok'), ('pyannote', 'bad_key'), ('llm', 'no_credit'))";
    assert_eq!(app.database.number(results).await, 4);
    assert!(app.simulator.purchases().is_empty());

    // One that reaches nobody leaves what is known of the key.
    store.credential_checked("lemonfox", "unreachable", None).await.unwrap();
    let known = "select count(*) from provider_circuits where engine = 'lemonfox' and credential_ok and check_result = 'unreachable'";
    assert_eq!(app.database.number(known).await, 1);
    // After five minutes it is somebody's turn again.
    app.database.sql("update provider_circuits set check_begun = now() - interval '5 minutes'", &[]).await;
    let (one, two) = (
        store.credential_check_begin("lemonfox", Duration::from_secs(300)).await.unwrap(),
        store.credential_check_begin("lemonfox", Duration::from_secs(300)).await.unwrap(),
    );
    assert_eq!((one, two), (true, false));
    app.finish().await;
}

struct Look {
    engine: &'static str,
    setting: (&'static str, &'static str),
    code: i32,
    result: &'static str,
}

const fn look(
    engine: &'static str,
    setting: (&'static str, &'static str),
    code: i32,
    result: &'static str,
) -> Look {
    Look { engine, setting, code, result }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_looks_at_a_key_now() {
    let app = TestApp::start_with(TestOptions::hosted().parts(Parts::API)).await;
    let as_set = ("SCRYON_LOG", "warn");
    let nowhere = "http://127.0.0.1:1";
    let looks = [
        look("lemonfox", as_set, 0, "ok"),
        look("openai", as_set, 0, "ok"),
        look("llm", as_set, 0, "ok"),
        look("deepgram", as_set, 0, "ok"),
        look("assemblyai", as_set, 0, "ok"),
        look("pyannote", as_set, 0, "ok"),
        look("lemonfox", ("LEMONFOX_API_KEY", "bad-key"), 65, "bad_key"),
        look("openai", ("SCRYON_OPENAI_API_KEY", "bad-key"), 65, "bad_key"),
        look("llm", ("LLM_API_KEY", "unpaid-key"), 65, "no_credit"),
        look("deepgram", ("SCRYON_DEEPGRAM_API_KEY", "unpaid-key"), 65, "no_credit"),
        look("assemblyai", ("SCRYON_ASSEMBLYAI_API_KEY", "bad-key"), 65, "bad_key"),
        look("pyannote", ("PYANNOTE_API_KEY", "unpaid-key"), 65, "no_credit"),
        look("llm", ("LLM_BASE_URL", nowhere), 69, "unreachable"),
        look("pyannote", ("PYANNOTE_BASE_URL", nowhere), 69, "unreachable"),
    ];
    for Look { engine, setting, code, result } in looks {
        let (ended, shown, said) = scryon(&app, &[setting], &["--json", "provider", "test", engine]).await;
        assert_eq!(ended, Some(code), "{engine} {setting:?}: {shown}{said}");
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!((&shown["engine"], &shown["result"]), (&Value::from(engine), &Value::from(result)));
        assert_eq!(shown["quotaLeft"].as_f64(), (engine == "deepgram" && code == 0).then_some(200.0));
        assert!(!shown.to_string().contains("key\":") && !said.contains("bad-key"), "{shown}{said}");
        let stored =
            "select check_result from provider_circuits where engine = $1 and checked_at is not null";
        assert_eq!(app.database.sql(stored, &[&engine]).await[0].get::<_, String>(0), result);
    }
    let (code, _, said) = scryon(&app, &[("LEMONFOX_API_KEY", "")], &["provider", "test", "lemonfox"]).await;
    assert!(code == Some(64) && said.contains("LEMONFOX_API_KEY"), "{said}");
    assert_eq!(scryon(&app, &[], &["provider", "test", "nobody"]).await.0, Some(64));
    assert!(app.simulator.purchases().is_empty(), "a look costs nothing");
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_says_what_keys_are_worth_and_what_is_left() {
    let app = TestApp::start_with(TestOptions::hosted().parts(Parts::API)).await;
    app.simulator.set_hosted(HostedOptions { deepgram_balance: 12.5, ..app.simulator.hosted() });
    let (_, shown, _) = scryon(&app, &[], &["provider", "test", "deepgram"]).await;
    assert_eq!(shown, "deepgram     its key is taken, $12.50 left (status 200)\n");
    let (_, shown, _) = scryon(&app, &[], &["provider", "list"]).await;
    assert!(shown.starts_with("deepgram     asked; its key is taken, $12.50 left ("), "{shown}");
    app.simulator.set_hosted(HostedOptions { deepgram_balance: 0.0, ..app.simulator.hosted() });
    assert_eq!(scryon(&app, &[], &["provider", "test", "deepgram"]).await.0, Some(65));
    let (_, shown, _) = scryon(&app, &[], &["provider", "list"]).await;
    assert!(shown.contains("no credit is left"), "{shown}");
    // Without a database the answer is still given.
    let away = [("DATABASE_URL", "postgres://nobody:x@127.0.0.1:1/x")];
    let (code, shown, said) = eventually("an answer", || async {
        Some(scryon(&app, &away, &["provider", "test", "lemonfox"]).await)
    })
    .await;
    assert!(
        code == Some(0) && shown.contains("its key is taken") && said.contains("did not take it down"),
        "{said}"
    );
    app.stop_and_clean().await;
}
