//! Voice samples: what a person read aloud, decoded, and the stretch of it with the most speech.

use std::ffi::OsString;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use scryon_config::AudioSettings;
use scryon_domain::raw::Turn;

use crate::media::prepare::beside;
use crate::media::probe::probe;
use crate::media::tool::{ToolError, run_on_core};
use crate::media::voice::voice_turns;

/// Longest stretch that providers take.
const STRETCH: f64 = 30.0;
/// Seconds of speech below which a voice cannot be learnt.
const LEAST_SPEECH: f64 = 5.0;
const SAMPLE_RATE: u32 = 16_000;
/// A sample is less than a minute long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a sample is not used.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    #[error("the sample holds no audio that can be decoded")]
    Unreadable,
    #[error("the sample is {seconds:.1} s long")]
    TooShort { seconds: f64 },
    #[error("the sample is {seconds:.1} s long")]
    TooLong { seconds: f64 },
    #[error("the sample holds {seconds:.1} s of speech")]
    TooLittleSpeech { seconds: f64 },
    #[error("the sample could not be looked at: {0}")]
    Tool(ToolError),
    #[error("a temporary file failed: {0}")]
    Io(#[from] std::io::Error),
}

/// The stretch of a sample that is sent to a provider.
#[derive(Clone)]
pub struct BestStretch {
    /// A WAV, mono, 16 kHz.
    pub wav: Vec<u8>,
    pub seconds: f64,
    pub speech_seconds: f64,
}

impl std::fmt::Debug for BestStretch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BestStretch").field("speech_seconds", &self.speech_seconds).finish_non_exhaustive()
    }
}

/// Looks at samples with ffprobe and ffmpeg.
#[derive(Debug, Clone)]
pub struct Sampler {
    ffmpeg: String,
    ffprobe: String,
    shortest: f64,
    longest: f64,
}

impl Sampler {
    /// For samples between two lengths.
    pub fn new(settings: &AudioSettings, shortest: Duration, longest: Duration) -> Self {
        Self {
            ffmpeg: settings.ffmpeg_path.clone(),
            ffprobe: beside(&settings.ffmpeg_path),
            shortest: shortest.as_secs_f64(),
            longest: longest.as_secs_f64(),
        }
    }

    /// The best stretch of a sample. The file is decoded no further than it may be long.
    pub async fn best(&self, content: Vec<u8>) -> Result<BestStretch, SampleError> {
        let input = tempfile::Builder::new().prefix("scryon-voice-").tempfile()?;
        let path = input.path().to_owned();
        tokio::task::spawn_blocking(move || std::fs::write(path, content))
            .await
            .map_err(std::io::Error::other)??;
        let facts = probe(&self.ffprobe, input.path()).await.map_err(SampleError::Tool)?;
        let Some(facts) = facts else { return Err(SampleError::Unreadable) };
        // A header's claim is enough to refuse, never to accept.
        if let Some(seconds) = facts.duration_seconds {
            self.check(seconds)?;
        }
        let output = tempfile::Builder::new().prefix("scryon-voice-").suffix(".wav").tempfile()?;
        self.decode(input.path(), output.path()).await?;
        let path = output.path().to_owned();
        let (stretch, seconds) =
            tokio::task::spawn_blocking(move || cut(&path)).await.map_err(std::io::Error::other)??;
        self.check(seconds)?;
        if stretch.speech_seconds < LEAST_SPEECH {
            return Err(SampleError::TooLittleSpeech { seconds: stretch.speech_seconds });
        }
        Ok(stretch)
    }

    fn check(&self, seconds: f64) -> Result<(), SampleError> {
        // Containers round, and recorders stop a little late.
        const SLACK: f64 = 0.5;
        if seconds + SLACK < self.shortest {
            return Err(SampleError::TooShort { seconds });
        }
        if seconds - SLACK > self.longest {
            return Err(SampleError::TooLong { seconds });
        }
        Ok(())
    }

    async fn decode(&self, input: &Path, output: &Path) -> Result<(), SampleError> {
        let limit = format!("{:.0}", self.longest + 2.0);
        let rate = SAMPLE_RATE.to_string();
        let mut arguments: Vec<OsString> =
            ["-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe", "-threads", "1", "-i"]
                .map(Into::into)
                .to_vec();
        arguments.push(input.into());
        for argument in [
            "-map",
            "0:a:0",
            "-vn",
            "-sn",
            "-dn",
            "-map_metadata",
            "-1",
            "-t",
            &limit,
            "-ar",
            &rate,
            "-ac",
            "1",
            "-c:a",
            "pcm_s16le",
            "-f",
            "wav",
            "-y",
        ] {
            arguments.push(argument.into());
        }
        arguments.push(output.into());
        match run_on_core(&self.ffmpeg, arguments, PATIENCE).await {
            Ok(_) => Ok(()),
            Err(ToolError::Failed { .. }) => Err(SampleError::Unreadable),
            Err(error) => Err(SampleError::Tool(error)),
        }
    }
}

/// Of several samples the one with the most speech.
pub fn best_of(stretches: Vec<BestStretch>) -> Option<BestStretch> {
    stretches.into_iter().max_by(|a, b| a.speech_seconds.total_cmp(&b.speech_seconds))
}

/// Cuts the best stretch out of a WAV and gives it with the WAV's own length.
fn cut(path: &Path) -> Result<(BestStretch, f64), SampleError> {
    let found = voice_turns(path).map_err(|_e| SampleError::Unreadable)?;
    let (start, speech_seconds) = best_start(&found.turns, found.duration_seconds);
    let mut reader = hound::WavReader::open(path).map_err(std::io::Error::other)?;
    let spec = reader.spec();
    let first = (start * f64::from(spec.sample_rate)) as usize;
    let count = (STRETCH * f64::from(spec.sample_rate)) as usize;
    let mut wav = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut wav, spec).map_err(std::io::Error::other)?;
    let mut written = 0usize;
    for sample in reader.samples::<i16>().map_while(Result::ok).skip(first).take(count) {
        writer.write_sample(sample).map_err(std::io::Error::other)?;
        written += 1;
    }
    writer.finalize().map_err(std::io::Error::other)?;
    let seconds = written as f64 / f64::from(spec.sample_rate.max(1));
    Ok((BestStretch { wav: wav.into_inner(), seconds, speech_seconds }, found.duration_seconds))
}

/// Where the stretch with the most speech begins, and how much it holds. The most is always found at a stretch
/// that begins with a turn or ends with one.
fn best_start(turns: &[Turn], length: f64) -> (f64, f64) {
    let last = (length - STRETCH).max(0.0);
    let speech = |start: f64| -> f64 {
        let end = start + STRETCH;
        turns.iter().map(|turn| (turn.end.min(end) - turn.start.max(start)).max(0.0)).sum()
    };
    turns
        .iter()
        .flat_map(|turn| [turn.start, turn.end - STRETCH])
        .chain([0.0])
        .map(|start| start.clamp(0.0, last))
        .map(|start| (start, speech(start)))
        .fold((0.0, 0.0), |best, next| if next.1 > best.1 + 1e-9 { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(list: &[(f64, f64)]) -> Vec<Turn> {
        list.iter()
            .map(|(start, end)| Turn { speaker: "CHANNEL_0".to_owned(), start: *start, end: *end })
            .collect()
    }

    #[test]
    fn the_stretch_with_the_most_speech_is_found() {
        for (list, length, start, speech) in [
            (vec![(2.0, 12.0)], 20.0, 0.0, 10.0),
            (vec![(0.0, 5.0), (14.0, 44.0)], 45.0, 14.0, 30.0),
            (vec![(0.0, 10.0), (20.0, 30.0), (40.0, 42.0)], 45.0, 0.0, 20.0),
            (vec![(0.0, 2.0), (12.0, 22.0), (30.0, 41.5)], 45.0, 12.0, 21.5),
            (vec![], 45.0, 0.0, 0.0),
        ] {
            let found = best_start(&turns(&list), length);
            assert!((found.0 - start).abs() < 1e-6 && (found.1 - speech).abs() < 1e-6, "{list:?}: {found:?}");
        }
    }

    #[test]
    fn the_richest_of_several_samples_is_taken() {
        let stretch = |speech_seconds| BestStretch { wav: Vec::new(), seconds: 30.0, speech_seconds };
        let best = best_of(vec![stretch(12.0), stretch(25.0), stretch(9.0)]).unwrap();
        assert!((best.speech_seconds - 25.0).abs() < 1e-9);
        assert!(best_of(Vec::new()).is_none());
    }
}
