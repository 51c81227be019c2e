//! Preparation: 16 kHz, high-pass, denoise, loudness. Two channels stay apart, because each carries one
//! party; two channels with the same sound are one party recorded twice and become one.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use scryon_config::AudioSettings;
use tempfile::NamedTempFile;

use crate::media::probe::{AudioFacts, probe};
use crate::media::tool::{ToolError, run_alone, run_on_core};

/// Rate every engine here accepts.
const SAMPLE_RATE: u32 = 16_000;
/// Of the energy of two channels: below this share of difference they carry the same sound.
const SAME_SOUND: f64 = 0.001;

/// Why a recording was not prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The recording cannot be decoded by anybody.
    #[error("the recording holds no audio that can be decoded: {0}")]
    Unreadable(String),
    /// It makes decoders crash, also one that runs alone.
    #[error("the recording makes the decoder crash: {0}")]
    Poison(ToolError),
    /// The tools failed, the recording may be fine: go on with the original.
    #[error("{source}")]
    Tool { reason: &'static str, source: ToolError },
    #[error("a temporary file failed: {0}")]
    Io(#[from] std::io::Error),
}

/// A prepared recording: a WAV of 16-bit samples.
#[derive(Debug)]
pub struct Prepared {
    pub file: NamedTempFile,
    pub original: AudioFacts,
    /// Counted, not claimed.
    pub duration_seconds: f64,
    /// 1 or 2.
    pub channels: u16,
}

/// Prepares recordings with ffmpeg.
#[derive(Debug, Clone)]
pub struct Preparer {
    ffmpeg: String,
    ffprobe: String,
    filters: String,
    timeout: Duration,
}

impl Preparer {
    /// Reads how to prepare from the settings.
    pub fn new(settings: &AudioSettings) -> Self {
        let mut filters = Vec::new();
        if settings.highpass_hz.0 > 0 {
            filters.push(format!("highpass=f={}", settings.highpass_hz.0));
        }
        if settings.denoise {
            filters
                .push(format!("afftdn=nr={}:nf={}", settings.denoise_nr_db.0, settings.denoise_floor_db.0));
        }
        filters.push("loudnorm".to_owned());
        Self {
            ffmpeg: settings.ffmpeg_path.clone(),
            ffprobe: beside(&settings.ffmpeg_path),
            filters: filters.join(","),
            timeout: settings.timeout.0,
        }
    }

    /// What decides the result besides the recording; equal texts mean equal results.
    pub fn variant(&self) -> String {
        format!("{SAMPLE_RATE} {}", self.filters)
    }

    /// What the recording is, without preparing it. `Ok(None)`: no audio in it.
    pub async fn probe(&self, file: &Path) -> Result<Option<AudioFacts>, ToolError> {
        probe(&self.ffprobe, file).await
    }

    /// Prepares a recording into a temporary file.
    pub async fn prepare(&self, input: &Path) -> Result<Prepared, PrepareError> {
        let original = match self.probe(input).await {
            Ok(Some(facts)) => facts,
            Ok(None) => return Err(PrepareError::Unreadable("no audio stream was found".to_owned())),
            Err(source @ ToolError::Crashed { .. }) => {
                return Err(self.blame(input, self.timeout, source).await);
            }
            Err(source) => return Err(tool_error(source)),
        };
        let output = tempfile::Builder::new().prefix("scryon-").suffix(".wav").tempfile()?;
        // A recording with more than two channels is no call with one party per channel.
        let channels = if original.channels == 2 { 2 } else { 1 };
        let hours = (original.duration_seconds.unwrap_or(0.0) / 3600.0).clamp(0.0, 24.0).floor();
        let limit = self.timeout.mul_f64(hours + 1.0);
        let arguments = self.arguments(input, output.path(), channels);
        if let Err(source) = run_on_core(&self.ffmpeg, arguments, limit).await {
            return Err(self.blame(input, limit, source).await);
        }
        let path = output.path().to_owned();
        let measured =
            tokio::task::spawn_blocking(move || measure(&path)).await.map_err(std::io::Error::other)??;
        let Some(measured) = measured else {
            return Err(PrepareError::Unreadable("it holds no samples".to_owned()));
        };
        Ok(Prepared {
            file: output,
            original,
            duration_seconds: measured.frames as f64 / f64::from(SAMPLE_RATE),
            channels: measured.channels,
        })
    }

    fn arguments(&self, input: &Path, output: &Path, channels: u16) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            ["-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe", "-threads", "1", "-i"]
                .map(Into::into)
                .to_vec();
        arguments.push(input.into());
        let rate = SAMPLE_RATE.to_string();
        let channels = channels.to_string();
        for argument in [
            "-map",
            "0:a:0",
            "-vn",
            "-sn",
            "-dn",
            "-map_metadata",
            "-1",
            "-af",
            &self.filters,
            "-ar",
            &rate,
            "-ac",
            &channels,
            "-c:a",
            "pcm_s16le",
            "-f",
            "wav",
            "-y",
        ] {
            arguments.push(argument.into());
        }
        arguments.push(output.into());
        arguments
    }

    /// ffmpeg failed: is it the recording, or the preparation? A plain decode tells.
    async fn blame(&self, input: &Path, limit: Duration, source: ToolError) -> PrepareError {
        if !matches!(source, ToolError::Failed { .. } | ToolError::Crashed { .. }) {
            return tool_error(source);
        }
        match run_on_core(&self.ffmpeg, decode(input), limit).await {
            Err(ToolError::Failed { message, .. }) => PrepareError::Unreadable(message),
            // Convicted only by a decoder that nothing else can have disturbed.
            Err(ToolError::Crashed { .. }) => match run_alone(&self.ffmpeg, decode(input), limit).await {
                Err(crash @ ToolError::Crashed { .. }) => PrepareError::Poison(crash),
                _ => tool_error(source),
            },
            _ => tool_error(source),
        }
    }
}

/// Decodes a recording and throws it away.
fn decode(input: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        ["-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe", "-threads", "1", "-i"]
            .map(Into::into)
            .to_vec();
    arguments.push(input.into());
    arguments.extend(["-map", "0:a:0", "-f", "null", "-"].map(OsString::from));
    arguments
}

fn tool_error(source: ToolError) -> PrepareError {
    let reason = match &source {
        ToolError::Missing { .. } => "ffmpeg_missing",
        ToolError::TimedOut { .. } => "ffmpeg_timeout",
        ToolError::Failed { .. } | ToolError::Crashed { .. } | ToolError::Run { .. } => "ffmpeg_failed",
    };
    PrepareError::Tool { reason, source }
}

/// ffprobe is installed beside ffmpeg.
pub(super) fn beside(ffmpeg: &str) -> String {
    match ffmpeg.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/ffprobe"),
        None => "ffprobe".to_owned(),
    }
}

struct Measured {
    frames: u64,
    channels: u16,
}

/// Counts the samples; two channels with the same sound are folded into one, in place. `None`: no samples.
fn measure(path: &Path) -> std::io::Result<Option<Measured>> {
    let mut reader = hound::WavReader::open(path).map_err(std::io::Error::other)?;
    let spec = reader.spec();
    if spec.channels != 2 {
        // ffmpeg writes the header's length last; samples are counted from the file's own size.
        let frames = u64::from(reader.duration());
        return Ok((frames > 0).then_some(Measured { frames, channels: 1 }));
    }
    let (mut frames, mut sum, mut difference) = (0u64, 0f64, 0f64);
    let mut samples = reader.samples::<i16>().filter_map(Result::ok).map(f64::from);
    while let (Some(left), Some(right)) = (samples.next(), samples.next()) {
        frames += 1;
        sum += left * left + right * right;
        difference += (left - right) * (left - right);
    }
    if frames == 0 {
        return Ok(None);
    }
    if sum > 0.0 && difference / sum < SAME_SOUND {
        fold(path)?;
        return Ok(Some(Measured { frames, channels: 1 }));
    }
    Ok(Some(Measured { frames, channels: 2 }))
}

/// Keeps the first channel only.
fn fold(path: &Path) -> std::io::Result<()> {
    let mut reader = hound::WavReader::open(path).map_err(std::io::Error::other)?;
    let spec = hound::WavSpec { channels: 1, ..reader.spec() };
    let folded = path.with_extension("mono");
    let mut writer = hound::WavWriter::create(&folded, spec).map_err(std::io::Error::other)?;
    for sample in reader.samples::<i16>().filter_map(Result::ok).step_by(2) {
        writer.write_sample(sample).map_err(std::io::Error::other)?;
    }
    writer.finalize().map_err(std::io::Error::other)?;
    std::fs::rename(folded, path)
}
