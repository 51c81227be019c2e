//! What uploads cost the API in memory: pieces, whatever the size and however many at once.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all, join3};
use scryon_testkit::{Client, Parts, Stack, StackProgram, TestApp, TestOptions, elapse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::support::{api_up, objects};

const MB: u64 = 1 << 20;
const BOUNDARY: &str = "fault-tests";
/// 150 MB is what the product promises; a debug build's futures are larger.
const SLOW_UPLOADS_LIMIT: u64 = if cfg!(debug_assertions) { 200 * MB } else { 150 * MB };
/// Beyond what they hold anyway: 55 KiB of each, at most, read and wait for the disk.
const STALLED_UPLOADS_LIMIT: u64 = SLOW_UPLOADS_LIMIT + 55 * MB;
/// Without optimisation the API's answers take longer; a release build keeps 50 ms.
const HEALTH_P99: Duration = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 50 });
/// A machine that stood still for longer has put a stall on the uploads itself.
const STOOD_STILL: Duration = Duration::from_millis(100);
/// Below this share of idle time the machine had no room for the uploads, whatever the API does.
const ROOM: f64 = 0.2;

async fn real_api(extra: &[(&str, &str)]) -> (TestApp, StackProgram, String) {
    let nothing = Parts { api: false, workers: false, sweeper: false };
    let app = TestApp::start_with(TestOptions::default().parts(nothing)).await;
    let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
    let (api, address) = api_up(&stack, extra).await;
    (app, api, address)
}

/// The start of a WAV whose data goes on for `bytes`.
fn wav_header(bytes: u64) -> Vec<u8> {
    let data = u32::try_from(bytes).unwrap();
    let mut header = b"RIFF".to_vec();
    header.extend((data + 36).to_le_bytes());
    header.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    header.extend(8_000u32.to_le_bytes());
    header.extend(16_000u32.to_le_bytes());
    header.extend(b"\x02\0\x10\0data");
    header.extend(data.to_le_bytes());
    header
}

/// Uploads so many bytes in pieces of `piece`, one every `pace`; gives the status of the answer.
async fn upload(address: &str, bytes: u64, piece: usize, pace: Duration) -> u16 {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"call.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let wav = wav_header(bytes);
    let length = head.len() as u64 + wav.len() as u64 + bytes + tail.len() as u64;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /api/calls/analyze HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n{head}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(&wav).await.unwrap();
    let quiet = vec![0u8; piece];
    let mut left = bytes;
    while left > 0 {
        let n = left.min(piece as u64);
        stream.write_all(&quiet[..n as usize]).await.unwrap();
        left -= n;
        if !pace.is_zero() {
            elapse(pace).await;
        }
    }
    stream.write_all(tail.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    line.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no answer: {line:?}"))
}

/// The most memory the program held until `stop`.
async fn peak(api: &StackProgram, stop: &CancellationToken) -> u64 {
    let mut most = 0;
    while !stop.is_cancelled() {
        most = most.max(api.resident_bytes());
        elapse(Duration::from_millis(20)).await;
    }
    most
}

/// As `uploads` go on: their statuses and the most memory the program held.
async fn watched<T>(api: &StackProgram, uploads: impl Future<Output = T>) -> (T, u64) {
    let stop = CancellationToken::new();
    let uploads = async {
        let result = uploads.await;
        stop.cancel();
        result
    };
    join(uploads, peak(api, &stop)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_a_gigabyte_adds_less_than_32_mb() {
    let (app, api, address) = real_api(&[("MAX_FILE_SIZE", "1100MB"), ("MAX_REQUEST_SIZE", "1200MB")]).await;
    assert_eq!(upload(&address, MB, 64 << 10, Duration::ZERO).await, 202);
    let before = api.resident_bytes();
    let started = Instant::now();
    let (status, most) = watched(&api, upload(&address, 1 << 30, 256 << 10, Duration::ZERO)).await;
    println!("1 GB in {:?}: from {} MB to {} MB", started.elapsed(), before / MB, most / MB);
    assert_eq!(status, 202, "{}", api.log());
    let more = most.saturating_sub(before);
    assert!(more < 32 * MB, "{} MB more", more / MB);
    let sizes = app.database.number("select max(byte_size) from call_artifacts").await;
    assert_eq!(sizes as u64, (1 << 30) + 44, "all of it is kept");
    drop(api);
    app.stop_and_clean().await;
}

/// Asks for the API's health every 10 ms; gives the 99th percentile.
async fn health(address: &str, stop: &CancellationToken) -> Duration {
    let client = Client::new(format!("http://{address}"));
    let mut took = Vec::new();
    while !stop.is_cancelled() {
        let asked = Instant::now();
        assert_eq!(client.get("/api/health").await.status, 200);
        took.push(asked.elapsed());
        elapse(Duration::from_millis(10)).await;
    }
    took.sort();
    took[took.len() * 99 / 100]
}

/// What the machine had left while a test ran, as seen by a thread that has nothing to do with what is tested.
struct Machine {
    /// How much later than it wanted the thread woke up, at worst.
    longest_pause: Duration,
    /// Of all processors' time. Time that a hypervisor gave to others is not idle.
    idle: f64,
    /// A container's share of the processors was used up, which looks like idleness from outside.
    throttled: bool,
}

impl Machine {
    /// Watches until `stop`.
    async fn watched(stop: &CancellationToken) -> Self {
        const TICK: Duration = Duration::from_millis(10);
        let (running, ended) = mpsc::channel::<()>();
        let thread = tokio::task::spawn_blocking(move || {
            let (idle_before, all_before) = processor_time();
            let throttled_before = times_throttled();
            let mut longest_pause = Duration::ZERO;
            loop {
                let asleep = Instant::now();
                if ended.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                longest_pause = longest_pause.max(asleep.elapsed().saturating_sub(TICK));
            }
            let (idle, all) = processor_time();
            let idle = (idle - idle_before) / (all - all_before).max(1.0);
            Self { longest_pause, idle, throttled: times_throttled() != throttled_before }
        });
        stop.cancelled().await;
        drop(running);
        thread.await.unwrap()
    }

    fn was_fit(&self) -> bool {
        self.longest_pause < STOOD_STILL && self.idle > ROOM && !self.throttled
    }
}

/// How often this control group was kept from running (`cpu.stat` of cgroup v2), where there is one.
fn times_throttled() -> Option<String> {
    let stat = std::fs::read_to_string("/sys/fs/cgroup/cpu.stat").ok()?;
    stat.lines().find(|line| line.starts_with("nr_throttled ")).map(str::to_owned)
}

/// Time of all processors since the start, in ticks: idle or waiting for a disk, and altogether (`proc(5)`).
fn processor_time() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let times: Vec<f64> =
        stat.lines().next().unwrap().split_whitespace().skip(1).take(8).map(|n| n.parse().unwrap()).collect();
    (times[3] + times[4], times.iter().sum())
}

/// A thousand uploads at 64 kB/s each, for seven seconds; they begin spread over four, as clients do. Gives the most
/// memory of the API, the 99th percentile of its answers about its health, and how the machine was. `meanwhile` is done
/// to it after four.
async fn a_thousand_slow_uploads(meanwhile: impl AsyncFn(&StackProgram)) -> (u64, Duration, Machine) {
    const UPLOADS: usize = 1_000;
    let (app, api, address) = real_api(&[]).await;
    let stop = CancellationToken::new();
    let uploads = async {
        let statuses = join_all((0..UPLOADS).map(async |n: usize| {
            elapse(Duration::from_millis(4 * n as u64)).await;
            upload(&address, 448 << 10, 16 << 10, Duration::from_millis(250)).await
        }))
        .await;
        stop.cancel();
        statuses
    };
    let trouble = async {
        elapse(Duration::from_secs(4)).await;
        meanwhile(&api).await;
    };
    let asked = join3(uploads, health(&address, &stop), Machine::watched(&stop));
    let (((statuses, p99, machine), ()), most) = watched(&api, join(asked, trouble)).await;
    println!(
        "{UPLOADS} uploads at once: {} MB at most, health p99 {p99:?}; the machine was idle for {:.0} %, stood still for {:?}",
        most / MB,
        machine.idle * 100.0,
        machine.longest_pause
    );
    let refused = statuses.iter().filter(|s| **s != 202).count();
    assert_eq!(
        refused,
        0,
        "uploads that were not accepted, among {:?}",
        statuses.iter().find(|s| **s != 202)
    );
    assert_eq!(app.database.number("select count(*) from call_records").await, UPLOADS as i64);
    assert_eq!(objects(app.storage.path()).len(), 2 * UPLOADS, "each has its recording and its description");
    drop(api);
    app.stop_and_clean().await;
    (most, p99, machine)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_uploads_at_once_stay_below_150_mb_and_leave_the_api_quick() {
    let (most, p99, machine) = a_thousand_slow_uploads(async |_| {}).await;
    if machine.was_fit() {
        assert!(most < SLOW_UPLOADS_LIMIT, "{} MB", most / MB);
        assert!(p99 < HEALTH_P99, "{p99:?}");
    } else {
        // The machine did what the next test does on purpose.
        println!("the machine had no room: judged as a stall");
        assert!(most < STALLED_UPLOADS_LIMIT, "{} MB", most / MB);
    }
}

/// The machine, or its disk, does nothing for three seconds, and clients go on sending: it is not all read at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_uploads_that_meet_a_stall_are_not_read_ahead() {
    let stall = async |api: &StackProgram| {
        api.signal("STOP").await;
        elapse(Duration::from_secs(3)).await;
        api.signal("CONT").await;
    };
    let (most, _p99, _machine) = a_thousand_slow_uploads(stall).await;
    assert!(most < STALLED_UPLOADS_LIMIT, "{} MB", most / MB);
}
