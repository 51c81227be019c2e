//! Does a long queue slow the work down? The same tiny recordings, a short queue and one of 100,000 calls.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::stack::{Places, Stack, get};

/// Calls of a short queue: it is over before it could matter.
const SHORT: i64 = 4_000;
/// Calls of a long one.
const LONG: i64 = 100_000;
/// Completed before the clock starts, while connections and plans are made.
const WARM: i64 = 500;
/// Completed while the clock runs.
const COUNTED: i64 = 2_500;
/// One second of silence: 8 kHz, 16 bits, one channel. Rows differ by the hash they state.
pub(crate) const TINY_SAMPLES: u32 = 8_000;

/// Completed calls per second with a short and with a long queue.
pub(crate) async fn measure(places: &Places, provider: &str) -> Result<(f64, f64), String> {
    let short = rate(places, provider, SHORT).await?;
    let long = rate(places, provider, LONG).await?;
    Ok((short, long))
}

async fn rate(places: &Places, provider: &str, calls: i64) -> Result<f64, String> {
    let stack = Stack::start(places, provider, &[]).await?;
    seed(&stack, TINY_SAMPLES, 1..=calls).await?;
    completed(&stack, WARM).await?;
    let started = Instant::now();
    completed(&stack, WARM + COUNTED).await?;
    let per_second = COUNTED as f64 / started.elapsed().as_secs_f64();
    stack.stop().await;
    Ok(per_second)
}

/// Puts accepted calls into the database as the API would, all at once: one file, and rows that state as many hashes
/// as there are numbers. The same numbers again are the same recordings again.
pub(crate) async fn seed(stack: &Stack, samples: u32, numbers: RangeInclusive<i64>) -> Result<(), String> {
    let key = format!("tenants/default/{samples}.wav");
    let file = stack.storage.join(&key);
    let folder = file.parent().ok_or("a key without a folder")?;
    std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    std::fs::write(&file, crate::load::wav(samples * 2)).map_err(|e| e.to_string())?;
    // The first request of a user makes its row.
    if get(&stack.address, "/api/calls").await != Some(200) {
        return Err("the list of calls was not answered".to_owned());
    }
    let sql = format!(
        "with made as (
             insert into call_records (id, tenant_id, user_id, direction, audio_sha256)
             select gen_random_uuid(), u.tenant_id, u.id, 'UNKNOWN', sha256(n::text::bytea)
             from generate_series({}, {}) n cross join (select tenant_id, id from users limit 1) u
             returning id)
         insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, run_no)
         select id, 'TEMP_AUDIO', '{key}', 'audio/wav', {}, 0 from made",
        numbers.start(),
        numbers.end(),
        samples * 2 + 44
    );
    stack.database.batch_execute(&sql).await.map_err(|e| e.to_string())
}

async fn completed(stack: &Stack, goal: i64) -> Result<(), String> {
    let started = Instant::now();
    // Counted from what finishes writes, not from the calls: counting 100,000 rows would be load of its own.
    let sql = "select count(*) from call_sentiment_summary";
    loop {
        let done: i64 = stack.database.query_one(sql, &[]).await.map_err(|e| e.to_string())?.get(0);
        if done >= goal {
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(120) {
            return Err(format!("{done} of {goal} calls were completed in time"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
