//! Local transcription of a recording in pieces of at most five minutes, one channel after the other. Each
//! piece's words are kept, so that a delivery is never held longer than its limit and a killed worker
//! loses one piece at most.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Instant;

use scryon_domain::raw::{RAW_SCHEMA_VERSION, RawTranscript, RawWord};
use serde::{Deserialize, Serialize};

use crate::engine::{Answer, EngineInfo, ProviderError, TranscriptionAnswer, TranscriptionRequest};

/// Rate the local recognisers need; preparation delivers it.
const SAMPLE_RATE: u32 = 16_000;
/// Seconds of the longest piece.
const LONGEST: u64 = 300;
/// A cut is made at the quietest moment within this many seconds before the limit.
const CUT_WINDOW: u64 = 20;
/// Frames of this many samples are measured for silence (20 ms).
const FRAME: usize = 320;
/// Mean square below which a frame is silence (about -56 dB of full scale).
const SILENCE: f64 = 2_500.0;

/// A word of a piece; seconds from the piece's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PieceWord {
    pub(super) text: String,
    pub(super) start: f64,
    pub(super) end: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) confidence: Option<f32>,
}

/// Where the pieces lie, in samples of one channel.
#[derive(Debug, PartialEq)]
struct Plan {
    channels: u16,
    samples: u64,
    /// Start and end of each piece, and per channel whether anything is heard in it.
    pieces: Vec<(u64, u64, Vec<bool>)>,
}

/// Runs `recognise` on every piece that holds sound.
pub(super) async fn transcribe_in_pieces<F, R>(
    info: &EngineInfo,
    request: &TranscriptionRequest<'_>,
    language: Option<&str>,
    warnings: &[&str],
    recognise: F,
) -> Result<TranscriptionAnswer, ProviderError>
where
    F: Fn(PathBuf) -> R,
    R: Future<Output = Result<Vec<PieceWord>, ProviderError>>,
{
    let started = Instant::now();
    let file = request.audio.file().await?;
    let path = file.path().to_owned();
    let plan = blocking(info, move || plan(&path)).await?;
    let keep = plan.pieces.len() > 1;
    let mut words = Vec::new();
    for channel in 0..plan.channels {
        for (index, (start, end, heard)) in plan.pieces.iter().enumerate() {
            if !heard.get(usize::from(channel)).copied().unwrap_or(false) {
                continue;
            }
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let kept = if keep { request.pieces.load(channel, index).await? } else { None };
            let piece = match kept.and_then(|body| serde_json::from_slice::<Vec<PieceWord>>(&body).ok()) {
                Some(piece) => piece,
                None if keep && started.elapsed() > request.hold => {
                    return Ok(TranscriptionAnswer::ToBeContinued);
                }
                None => {
                    let (source, from, to) = (file.path().to_owned(), *start, *end);
                    let cut = blocking(info, move || cut(&source, channel, from, to)).await?;
                    let piece = recognise(cut.path().to_owned()).await?;
                    if keep {
                        let body = serde_json::to_vec(&piece).map_err(std::io::Error::other)?;
                        request.pieces.store(channel, index, body).await?;
                    }
                    piece
                }
            };
            let offset = *start as f64 / f64::from(SAMPLE_RATE);
            let channel = (plan.channels > 1).then_some(channel);
            words.extend(piece.into_iter().map(|w| RawWord {
                text: w.text,
                start: offset + w.start,
                end: offset + w.end,
                confidence: w.confidence,
                speaker: None,
                channel,
            }));
        }
    }
    words.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.channel.cmp(&b.channel)));
    let mut warnings: Vec<String> = warnings.iter().map(|w| (*w).to_owned()).collect();
    if words.is_empty() {
        warnings.push("no_speech".to_owned());
    }
    Ok(TranscriptionAnswer::Done(Box::new(Answer::free(RawTranscript {
        schema_version: RAW_SCHEMA_VERSION,
        engine: info.name.to_owned(),
        model: info.model.clone(),
        language: language.map(str::to_owned),
        duration_seconds: plan.samples as f64 / f64::from(SAMPLE_RATE),
        channels: plan.channels,
        words,
        segments: Vec::new(),
        warnings,
    }))))
}

async fn blocking<T: Send + 'static>(
    info: &EngineInfo,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, ProviderError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(std::io::Error::other)?
        .map_err(|message| ProviderError::Rejected { engine: info.name, message })
}

/// Reads the recording once and decides where to cut.
fn plan(path: &Path) -> Result<Plan, String> {
    let mut reader =
        hound::WavReader::open(path).map_err(|e| format!("it needs prepared audio (WAV): {e}"))?;
    let spec = reader.spec();
    if spec.sample_rate != SAMPLE_RATE || spec.bits_per_sample != 16 || spec.channels == 0 {
        return Err(format!(
            "it needs prepared audio: 16 kHz and 16 bits, not {} Hz and {} bits",
            spec.sample_rate, spec.bits_per_sample
        ));
    }
    let channels = usize::from(spec.channels);
    // Energy per frame and channel.
    let mut frames: Vec<Vec<f64>> = Vec::new();
    let mut sums = vec![0f64; channels];
    let (mut in_frame, mut samples) = (0usize, 0u64);
    let mut values = reader.samples::<i16>().map_while(Result::ok);
    'file: loop {
        for sum in &mut sums {
            let Some(value) = values.next() else { break 'file };
            *sum += f64::from(value) * f64::from(value);
        }
        samples += 1;
        in_frame += 1;
        if in_frame == FRAME {
            frames.push(sums.iter_mut().map(|s| std::mem::take(s) / FRAME as f64).collect());
            in_frame = 0;
        }
    }
    let pieces = bounds(&frames, samples)
        .into_iter()
        .map(|(start, end)| {
            let (first, last) = (start as usize / FRAME, (end as usize / FRAME).min(frames.len()));
            let inside = frames.get(first..last).unwrap_or_default();
            let heard = (0..channels).map(|c| inside.iter().any(|f| f[c] > SILENCE)).collect();
            (start, end, heard)
        })
        .collect();
    Ok(Plan { channels: spec.channels, samples, pieces })
}

/// Cuts at the quietest frame before each limit.
fn bounds(frames: &[Vec<f64>], samples: u64) -> Vec<(u64, u64)> {
    let longest = LONGEST * u64::from(SAMPLE_RATE);
    let window = (CUT_WINDOW * u64::from(SAMPLE_RATE)) as usize / FRAME;
    let mut bounds = Vec::new();
    let mut start = 0u64;
    while samples - start > longest {
        let limit = (start + longest) as usize / FRAME;
        let candidates = limit.saturating_sub(window)..limit.min(frames.len());
        let loudness = |frame: &usize| frames[*frame].iter().sum::<f64>();
        let quietest = candidates.min_by(|a, b| loudness(a).total_cmp(&loudness(b))).unwrap_or(limit);
        let end = (quietest * FRAME) as u64;
        bounds.push((start, end));
        start = end;
    }
    if samples > start {
        bounds.push((start, samples));
    }
    bounds
}

/// One channel of one piece as a WAV of its own.
fn cut(path: &Path, channel: u16, start: u64, end: u64) -> Result<tempfile::NamedTempFile, String> {
    let mut reader = hound::WavReader::open(path).map_err(|e| e.to_string())?;
    let spec = reader.spec();
    let seek = u32::try_from(start).map_err(|e| e.to_string())?;
    reader.seek(seek).map_err(|e| e.to_string())?;
    let file =
        tempfile::Builder::new().prefix("scryon-").suffix(".wav").tempfile().map_err(|e| e.to_string())?;
    let mono = hound::WavSpec { channels: 1, ..spec };
    let mut writer = hound::WavWriter::create(file.path(), mono).map_err(|e| e.to_string())?;
    let step = usize::from(spec.channels);
    let count = usize::try_from(end - start).map_err(|e| e.to_string())?;
    let samples =
        reader.samples::<i16>().map_while(Result::ok).skip(usize::from(channel)).step_by(step).take(count);
    // Recognisers lose speech that runs to the very end of a file.
    let silence = std::iter::repeat_n(0i16, SAMPLE_RATE as usize / 2);
    for sample in samples.chain(silence) {
        writer.write_sample(sample).map_err(|e| e.to_string())?;
    }
    writer.finalize().map_err(|e| e.to_string())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(channels: u16, sound: impl Fn(u16, u32) -> i16, seconds: u32) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
        let spec = hound::WavSpec {
            channels,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(file.path(), spec).unwrap();
        for n in 0..SAMPLE_RATE * seconds {
            for c in 0..channels {
                writer.write_sample(sound(c, n)).unwrap();
            }
        }
        writer.finalize().unwrap();
        file
    }

    #[test]
    fn a_short_recording_is_one_piece_and_silent_channels_are_not_heard() {
        let file = wav(2, |c, n| if c == 0 { (n % 2000) as i16 } else { 0 }, 3);
        let plan = plan(file.path()).unwrap();
        assert_eq!(plan, Plan { channels: 2, samples: 48_000, pieces: vec![(0, 48_000, vec![true, false])] });
    }

    #[test]
    fn a_long_recording_is_cut_where_it_is_quiet() {
        let per_second = SAMPLE_RATE as usize / FRAME;
        let quiet = 290 * per_second + 7;
        let frames: Vec<Vec<f64>> =
            (0..700 * per_second).map(|f| vec![if f == quiet { 1.0 } else { 9e6 }]).collect();
        let samples = (frames.len() * FRAME) as u64;
        let cuts = bounds(&frames, samples);
        assert_eq!(cuts[0], (0, (quiet * FRAME) as u64));
        assert!(cuts.iter().all(|(s, e)| e - s <= LONGEST * u64::from(SAMPLE_RATE)));
        assert!(cuts.windows(2).all(|w| w[0].1 == w[1].0), "no sample is lost or doubled");
        assert_eq!(cuts.last().unwrap().1, samples);
    }

    #[test]
    fn a_cut_holds_its_channel_only() {
        let file = wav(2, |c, n| (i32::from(c) * 10_000 + (n % 100) as i32) as i16, 2);
        let piece = cut(file.path(), 1, 100, 200).unwrap();
        let samples: Vec<i16> =
            hound::WavReader::open(piece.path()).unwrap().samples().map(Result::unwrap).collect();
        assert_eq!((samples[0], samples[99]), (10_000, 10_099));
        assert!(
            samples[100..].iter().all(|s| *s == 0) && samples.len() == 100 + 8_000,
            "half a second of silence follows"
        );
    }

    #[test]
    fn audio_that_was_not_prepared_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"not a wav").unwrap();
        assert!(plan(file.path()).unwrap_err().contains("prepared audio"));
    }
}
