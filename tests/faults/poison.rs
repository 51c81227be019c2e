//! A recording that makes the decoder crash. Decoders run as processes of their own: they die alone, the last time
//! with nothing beside them, and neither the worker nor its other calls notice.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures_util::future::join_all;
use scryon_testkit::{Stack, TestApp, TestOptions, eventually, unique_wav, unique_wav_of, wav};
use uuid::Uuid;

use crate::support::{
    ANALYSIS, DIARIZATION, TRANSCRIPTION, all_completed, app_for_real_workers, scale, up, upload_many,
};

/// What the stand-in decoder dies of: a sample rate that nothing else here has.
const POISONOUS_RATE: u32 = 11_017;

/// A decoder that aborts on one kind of recording, and writes down its starts.
fn decoder(folder: &Path) -> String {
    let real = |name: &str| {
        let path = std::env::var_os("PATH").unwrap();
        let found = std::env::split_paths(&path).map(|f| f.join(name)).find(|f| f.is_file());
        found.unwrap_or_else(|| panic!("{name} is not installed: deploy/local/services.sh tools"))
    };
    let rate = POISONOUS_RATE.to_le_bytes().map(|byte| format!("{byte:02x}")).concat();
    for name in ["ffmpeg", "ffprobe"] {
        let script = format!(
            "#!/bin/sh\nfor input in \"$@\"; do\n  case $input in /*) ;; *) continue ;; esac\n  \
             [ -f \"$input\" ] || continue\n  \
             if [ \"$(dd if=\"$input\" bs=1 skip=24 count=4 2>/dev/null | od -An -tx1 | tr -d ' \\n')\" = {rate} ] && [ {name} = ffmpeg ]; then\n    \
             echo start >> {starts}; kill -ABRT $$\n  fi\ndone\nexec {real} \"$@\"\n",
            starts = folder.join("starts").display(),
            real = real(name).display(),
        );
        let file = folder.join(name);
        std::fs::write(&file, script).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder.join("ffmpeg").display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_crashes_its_decoder_fails_alone() {
    let neighbours = scale("neighbours of each poisonous recording", 8, 100);
    let tools = std::env::temp_dir().join(format!("scryon-tools-{}", Uuid::new_v4().simple()));
    std::fs::create_dir(&tools).unwrap();
    let options = TestOptions::default()
        .set("SCRYON_AUDIO_PREPROCESSING_ENABLED", "true")
        .set("SCRYON_FFMPEG_PATH", decoder(&tools));
    let (app, stack) = app_for_real_workers(options).await;
    let names = [TRANSCRIPTION, TRANSCRIPTION, DIARIZATION, ANALYSIS].map(|w| w.name);
    let mut programs = join_all(names.map(|name| up(&stack, name, &[]))).await;

    upload_many(&app, neighbours / 2).await;
    let noise = (0..POISONOUS_RATE).map(|n| ((n * 37) % 2000) as i16);
    let poison = app.client.upload(wav(1, POISONOUS_RATE, noise)).await;
    for _ in neighbours / 2..neighbours {
        app.client.upload(unique_wav_of(1)).await;
    }
    let call = app.client.finished(poison).await;
    assert_eq!(
        (call["status"].as_str(), call["errorReason"].as_str()),
        (Some("FAILED"), Some("poison")),
        "{call}"
    );
    all_completed(&app, neighbours).await;
    let starts = std::fs::read_to_string(tools.join("starts")).unwrap().lines().count();
    assert_eq!(starts, 3, "prepared, decoded, and decoded alone");
    let claims = app.database.sql("select starts from call_stages where call_id = $1", &[&poison]).await;
    assert_eq!(claims[0].get::<_, i32>(0), 1, "one claim convicts it");
    for program in &mut programs {
        assert!(program.is_running(), "{} died of it:\n{}", program.name, program.log());
    }
    eventually("the reason in the reader's words", || async {
        let call = app.client.call(poison).await;
        call["errorMessage"].as_str().is_some_and(|m| m.contains("crash")).then_some(())
    })
    .await;
    drop(programs);
    let verdict = app.verdict_allowing(&["poison"]).await;
    assert!(verdict.problems.is_empty(), "{:?}", verdict.problems);
    app.stop_and_clean().await;
    std::fs::remove_dir_all(&tools).unwrap();
}

const LATER: &str =
    "update call_stages set not_before = now() + interval '1 hour', publish_due = now() + interval '1 hour'
    where call_id = $1 and state = 'PENDING'";
const DUE: &str =
    "update call_stages set not_before = now(), publish_due = now() where call_id = $1 and state = 'PENDING'";

/// A worker that dies of the call, and what the sweeper made of its lease. Nobody waits for the lease to run out.
async fn dies_of(app: &TestApp, stack: &Stack, call: Uuid, deaths: i32) -> f64 {
    let crash = format!("diarization@{call}");
    let mut victim = stack.start(DIARIZATION.name, &[("SCRYON_CRASH_AT", &crash)]);
    assert_eq!(victim.ended().await, None, "{}", victim.log());
    let silent =
        "update call_stages set lease_until = now() where stage = 'diarization' and state = 'RUNNING'";
    app.database.sql(silent, &[]).await;
    let after = "select extract(epoch from coalesce(not_before - now(), '0'))::float8 from call_stages
         where call_id = $1 and stage = 'diarization' and state = 'PENDING' and starts = $2 and outcomes = 0";
    let (client, wanted) = (app.database.client().await, &deaths);
    eventually("its lease to have run out", || async {
        let row = client.query_opt(after, &[&call, wanted]).await.unwrap()?;
        Some(row.get::<_, f64>(0))
    })
    .await
}

/// Whatever takes a whole worker down: the third death is the last for now, and others are worked on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_its_workers_down_is_begun_ever_more_rarely() {
    let (app, stack) = app_for_real_workers(TestOptions::default()).await;
    let others = join_all([TRANSCRIPTION, ANALYSIS].map(|w| up(&stack, w.name, &[]))).await;
    let poison = app.client.upload(unique_wav()).await;
    upload_many(&app, 6).await;
    for deaths in 1..=2 {
        assert!(dies_of(&app, &stack, poison, deaths).await <= 0.0, "death {deaths} may be anybody's");
    }
    for (deaths, seconds) in [(3, 10.0), (4, 20.0), (5, 40.0)] {
        let pause = dies_of(&app, &stack, poison, deaths).await;
        assert!((seconds / 2.0..=seconds).contains(&pause), "{pause} s after death {deaths}");
        let stuck =
            app.database.sql("select reason, advice from stuck_calls where id = $1", &[&poison]).await;
        let told: Vec<(String, String)> = stuck.iter().map(|row| (row.get(0), row.get(1))).collect();
        let named = |(reason, advice): &(String, String)| {
            reason == "workers_died" && advice.starts_with(&format!("{deaths} workers"))
        };
        assert_eq!(told.iter().filter(|told| named(told)).count(), usize::from(deaths >= 5), "{told:?}");
        // What follows may take longer than the pause.
        app.database.sql(LATER, &[&poison]).await;
        // The neighbours' worker lives: it has the poisonous call's message, too, and leaves the call alone.
        let crash = format!("diarization@{poison}");
        let mut worker = up(&stack, DIARIZATION.name, &[("SCRYON_CRASH_AT", &crash)]).await;
        let calls = upload_many(&app, 2).await;
        join_all(calls.into_iter().map(|id| app.client.finished(id))).await;
        assert!(worker.is_running(), "{}", worker.log());
        worker.signal("TERM").await;
        assert_eq!(worker.ended().await, Some(0), "{}", worker.log());
        if deaths < 5 {
            app.database.sql(DUE, &[&poison]).await;
        }
    }
    let worker = up(&stack, DIARIZATION.name, &[]).await;
    // A death is no proof: by its time the call is begun again, and this worker has nothing against it.
    app.database.sql(DUE, &[&poison]).await;
    all_completed(&app, 13).await;
    drop((others, worker));
    app.finish().await;
}
