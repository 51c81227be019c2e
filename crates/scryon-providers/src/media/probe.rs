//! What a recording is: length, channels, codec.

use std::ffi::OsString;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::media::tool::{ToolError, run};

/// Facts about a recording. Of a header, hence claims; the length of prepared audio is counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioFacts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    pub channels: u16,
    pub sample_rate: u32,
    pub codec: String,
}

#[derive(Deserialize)]
struct Probed {
    #[serde(default)]
    streams: Vec<ProbedStream>,
    #[serde(default)]
    format: ProbedFormat,
}

#[derive(Deserialize)]
struct ProbedStream {
    codec_name: Option<String>,
    channels: Option<u16>,
    sample_rate: Option<String>,
    duration: Option<String>,
}

#[derive(Deserialize, Default)]
struct ProbedFormat {
    duration: Option<String>,
}

/// Asks ffprobe. `Ok(None)`: there is no audio in it.
pub async fn probe(ffprobe: &str, file: &Path) -> Result<Option<AudioFacts>, ToolError> {
    let mut arguments: Vec<OsString> = [
        "-v",
        "error",
        "-protocol_whitelist",
        "file,pipe",
        "-select_streams",
        "a:0",
        "-show_entries",
        "stream=codec_name,channels,sample_rate,duration:format=duration",
        "-of",
        "json",
    ]
    .map(Into::into)
    .to_vec();
    arguments.push(file.into());
    let output = match run(ffprobe, arguments, Duration::from_secs(20)).await {
        Ok(output) => output,
        // It ran and found nothing it knows.
        Err(ToolError::Failed { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(probed) = serde_json::from_slice::<Probed>(&output.stdout) else { return Ok(None) };
    let Some(stream) = probed.streams.into_iter().next() else { return Ok(None) };
    let seconds = |text: &Option<String>| text.as_deref().and_then(|t| t.parse::<f64>().ok());
    Ok(Some(AudioFacts {
        duration_seconds: seconds(&stream.duration)
            .or(seconds(&probed.format.duration))
            .filter(|s| s.is_finite() && *s >= 0.0),
        channels: stream.channels.unwrap_or(1),
        sample_rate: stream.sample_rate.and_then(|r| r.parse().ok()).unwrap_or(0),
        codec: stream.codec_name.unwrap_or_else(|| "unknown".to_owned()),
    }))
}

/// Reads the header of a WAV from its first bytes, in process. `size` is the length of the whole file: a
/// header that claims more is not believed.
pub fn wav_facts(head: &[u8], size: u64) -> Option<AudioFacts> {
    let reader = hound::WavReader::new(Cursor::new(head)).ok()?;
    let spec = reader.spec();
    let frame = u64::from(spec.channels) * u64::from(spec.bits_per_sample.div_ceil(8));
    if frame == 0 || spec.sample_rate == 0 {
        return None;
    }
    let frames = u64::from(reader.duration()).min(size / frame);
    Some(AudioFacts {
        duration_seconds: Some(frames as f64 / f64::from(spec.sample_rate)),
        channels: spec.channels,
        sample_rate: spec.sample_rate,
        codec: format!("pcm_{}bit", spec.bits_per_sample),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(channels: u16, rate: u32, frames: u32) -> Vec<u8> {
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        for n in 0..frames * u32::from(channels) {
            writer.write_sample(n as i16).unwrap();
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_header_is_read_without_its_samples() {
        let whole = wav(2, 8000, 16000);
        let facts = wav_facts(&whole[..60], whole.len() as u64).unwrap();
        assert_eq!(facts.duration_seconds, Some(2.0));
        assert_eq!((facts.channels, facts.sample_rate), (2, 8000));
        assert!(wav_facts(b"RIFFnonsense", 12).is_none());
        assert!(wav_facts(b"", 0).is_none());
    }

    #[test]
    fn a_header_that_claims_ten_hours_is_not_believed() {
        let mut lying = wav(1, 16000, 1600);
        let ten_hours: u32 = 16000 * 2 * 36000;
        lying[40..44].copy_from_slice(&ten_hours.to_le_bytes());
        let facts = wav_facts(&lying, lying.len() as u64).unwrap();
        assert!(facts.duration_seconds.unwrap() < 0.2);
    }
}
