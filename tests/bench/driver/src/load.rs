//! The load: raw HTTP over kept connections, so that the generator takes little of the cores it measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// 256 KiB of real WAV: 8 kHz, 16 bits, one channel.
const WAV_BYTES: usize = 256 << 10;
const BOUNDARY: &str = "----bench";

/// What a load found.
#[derive(Debug, Default, Clone)]
pub(crate) struct Found {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) seconds: f64,
    /// Sorted.
    pub(crate) latencies: Vec<Duration>,
}

impl Found {
    /// Accepted uploads per second.
    pub(crate) fn rate(&self) -> f64 {
        self.accepted as f64 / self.seconds
    }

    /// Milliseconds at a share of the requests.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let index =
            ((self.latencies.len() as f64 * share) as usize).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(index).map_or(f64::NAN, |d| d.as_secs_f64() * 1000.0)
    }
}

/// How hard to push.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection sends as soon as it has its answer.
    Flat { connections: usize },
    /// This many uploads a second, whatever the answers take.
    Rate { per_second: f64 },
}

/// Uploads for `duration`. Every upload is another recording: a few samples differ.
pub(crate) async fn upload(address: &str, pace: Pace, duration: Duration) -> std::io::Result<Found> {
    let connections = match pace {
        Pace::Flat { connections } => connections,
        Pace::Rate { per_second } => (per_second / 2.0).ceil() as usize + 8,
    };
    let started = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (address, next, stop) = (address.to_owned(), next.clone(), stop.clone());
            tokio::spawn(async move { connection(&address, pace, started, duration, &next, &stop).await })
        })
        .collect();
    let mut found = Found::default();
    for task in tasks {
        let part = task.await.map_err(std::io::Error::other)??;
        found.accepted += part.accepted;
        found.refused += part.refused;
        found.latencies.extend(part.latencies);
    }
    found.seconds = started.elapsed().as_secs_f64();
    found.latencies.sort_unstable();
    Ok(found)
}

/// Uploads one recording of so many bytes; gives the status of the answer.
pub(crate) async fn upload_one(address: &str, wav_bytes: usize) -> std::io::Result<u16> {
    let mut stream = connect(address).await?;
    exchange(&mut stream, &request(address, wav_bytes).bytes).await
}

async fn connection(
    address: &str,
    pace: Pace,
    started: Instant,
    duration: Duration,
    next: &AtomicU64,
    stop: &AtomicBool,
) -> std::io::Result<Found> {
    let mut found = Found::default();
    let mut request = request(address, WAV_BYTES);
    let mut stream = connect(address).await?;
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        // In a paced load the wait for a free connection is part of the latency.
        let begin = match pace {
            Pace::Flat { .. } => Instant::now(),
            Pace::Rate { per_second } => {
                let due = started + Duration::from_secs_f64(number as f64 / per_second);
                tokio::time::sleep_until(due.into()).await;
                due
            }
        };
        if begin.duration_since(started) >= duration {
            break;
        }
        request.mark(number ^ u64::from(std::process::id()) << 40);
        match exchange(&mut stream, &request.bytes).await {
            Ok(202) => {
                found.accepted += 1;
                found.latencies.push(begin.elapsed());
            }
            Ok(_) | Err(_) => {
                found.refused += 1;
                stream = connect(address).await?;
            }
        }
    }
    Ok(found)
}

async fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

struct Request {
    bytes: Vec<u8>,
    /// Where the samples begin.
    samples: usize,
}

impl Request {
    /// Makes this upload's recording another one than every other's.
    fn mark(&mut self, number: u64) {
        self.bytes[self.samples..self.samples + 8].copy_from_slice(&number.to_le_bytes());
    }
}

fn request(address: &str, wav_bytes: usize) -> Request {
    let part = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let length = part.len() + wav_bytes + tail.len();
    let head = format!(
        "POST /api/calls/analyze HTTP/1.1\r\nHost: {address}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(part.as_bytes());
    let samples = bytes.len() + 44;
    bytes.extend_from_slice(&wav((wav_bytes - 44) as u32));
    bytes.extend_from_slice(tail.as_bytes());
    Request { bytes, samples }
}

/// A canonical header (http://soundfile.sapp.org/doc/WaveFormat/) and a tone.
///
/// `data`: bytes of samples.
pub(crate) fn wav(data: u32) -> Vec<u8> {
    let mut wav = Vec::with_capacity(data as usize + 44);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(data + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    for (value, bytes) in [(16, 4), (1, 2), (1, 2), (8000, 4), (16000, 4), (2, 2), (16, 2)] {
        wav.extend_from_slice(&u32::to_le_bytes(value)[..bytes]);
    }
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&data.to_le_bytes());
    wav.extend((0..data / 2).flat_map(|n| (((f64::from(n) * 0.35).sin() * 8000.0) as i16).to_le_bytes()));
    wav
}

/// Sends and reads one answer; gives its status.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<u16> {
    stream.write_all(request).await?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let length =
            head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let length = length.ok_or_else(|| std::io::Error::other("an answer without a length"))?;
        while answer.len() < end + 4 + length {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        return head
            .get(9..12)
            .and_then(|s| s.parse().ok())
            .ok_or_else(|| std::io::Error::other("no status"));
    }
}
