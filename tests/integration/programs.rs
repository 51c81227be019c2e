//! The real binaries: they refuse what they must, say why, and stop in order.

use std::time::{Duration, Instant};

use scryon_testkit::{Parts, Stack, TestApp, TestOptions, eventually};

const PROGRAMS: [&str; 5] = [
    "scryon-api",
    "scryon-transcription-worker",
    "scryon-diarization-worker",
    "scryon-analysis-worker",
    "scryon-sweeper",
];

async fn idle() -> (TestApp, Stack) {
    let nothing = Parts { api: false, workers: false, sweeper: false };
    let app = TestApp::start_with(TestOptions::default().parts(nothing)).await;
    let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
    (app, stack)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_program_starts_and_stops_on_sigterm() {
    let (app, stack) = idle().await;
    let mut running: Vec<_> =
        PROGRAMS.iter().map(|name| stack.start(name, &[("SERVER_PORT", "0")])).collect();
    for program in &running {
        let name = program.name;
        eventually(&format!("{name} to be up"), || async {
            program.log().contains(&format!("msg=\"{name} started\"")).then_some(())
        })
        .await;
    }
    eventually("four heartbeats", || async {
        (app.database.number("select count(*) from worker_heartbeats").await == 4).then_some(())
    })
    .await;
    for program in &mut running {
        let asked = Instant::now();
        program.signal("TERM").await;
        let code = program.ended().await;
        assert_eq!(code, Some(0), "{}: {}", program.name, program.log());
        assert!(asked.elapsed() < Duration::from_secs(25), "{} took {:?}", program.name, asked.elapsed());
        assert!(program.log().contains("stopped"), "{}", program.log());
    }
    assert_eq!(app.database.number("select count(*) from worker_heartbeats").await, 0, "they sign off");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_settings_and_old_schemas_are_refused_with_a_word() {
    let (app, stack) = idle().await;
    for (extra, code, words) in [
        (vec![("SERVER_PORT", "eighty")], 64, "SERVER_PORT=eighty is not allowed; allowed: 0 to 65535"),
        (vec![("SCRYON_QUEUE_PREFX", "x")], 64, "did you mean SCRYON_QUEUE_PREFIX?"),
        (
            vec![("SERVER_HOST", "0.0.0.0"), ("SERVER_PORT", "0")],
            70,
            "is not a loopback address and no key is set",
        ),
        (vec![("FIREBASE_PROJECT_ID", "demo"), ("SERVER_PORT", "0")], 70, "cannot verify tokens"),
        (
            vec![("SCRYON_ADMIN_PORT", "1"), ("SCRYON_ADMIN_HOST", "192.0.2.1")],
            69,
            "the admin port 192.0.2.1:1 cannot be opened",
        ),
    ] {
        let mut program = stack.start("scryon-api", &extra);
        assert_eq!(program.ended().await, Some(code), "{extra:?}: {}", program.log());
        assert!(program.log().contains(words), "{extra:?}: {}", program.log());
    }
    let mut worker = stack.start("scryon-analysis-worker", &[("SCRYON_STAGES", "assembly")]);
    assert_eq!(worker.ended().await, Some(70));
    assert!(worker.log().contains("names no stage of scryon-analysis-worker"), "{}", worker.log());

    app.database.store().migrate_down().await.unwrap();
    for name in PROGRAMS {
        let mut program = stack.start(name, &[("SERVER_PORT", "0")]);
        assert_eq!(program.ended().await, Some(69), "{name}: {}", program.log());
        assert!(program.log().contains("Run `scryon migrate`"), "{name}: {}", program.log());
    }
    app.stop_and_clean().await;
}

/// Arguments of a queue cannot change in place: the program stops and says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_stops_the_program() {
    let (app, stack) = idle().await;
    let broker = app.broker().await;
    broker.delete_queues(&app.topology()).await;
    let queue =
        app.topology().queue(scryon_domain::stage::StageKind::Assembly, scryon_domain::stage::Lane::Live);
    broker.declare_plain(&queue).await;
    let mut worker = stack.start("scryon-transcription-worker", &[]);
    assert_eq!(worker.ended().await, Some(70), "{}", worker.log());
    assert!(
        worker.log().contains("exists with other arguments") && worker.log().contains(&queue),
        "{}",
        worker.log()
    );
    app.stop_and_clean().await;
}
