//! A transcript as captions and as text.

use std::fmt::Write as _;

use crate::transcript::Transcript;

/// WebVTT (https://www.w3.org/TR/webvtt1/), with the speaker in a voice tag.
pub fn to_vtt(transcript: &Transcript) -> String {
    let mut out = String::from("WEBVTT\n");
    for segment in &transcript.segments {
        let _infallible = write!(
            out,
            "\n{} --> {}\n<v {}>{}\n",
            clock(segment.start_seconds, '.'),
            clock(segment.end_seconds, '.'),
            escape(&segment.speaker_label),
            escape(&segment.text)
        );
    }
    out
}

/// SubRip.
pub fn to_srt(transcript: &Transcript) -> String {
    let mut out = String::new();
    for (index, segment) in transcript.segments.iter().enumerate() {
        let _infallible = write!(
            out,
            "{}\n{} --> {}\n{}: {}\n\n",
            index + 1,
            clock(segment.start_seconds, ','),
            clock(segment.end_seconds, ','),
            segment.speaker_label,
            segment.text
        );
    }
    out
}

/// One line per segment.
pub fn to_plain(transcript: &Transcript) -> String {
    let mut text = transcript.clean_text.clone();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// `HH:MM:SS.mmm`
fn clock(seconds: f64, point: char) -> String {
    let millis = (seconds.max(0.0) * 1000.0).round() as u64;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}{point}{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Characters that mean something in a cue; a line break would end it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_carry() {
        assert_eq!(clock(3_661.999_6, '.'), "01:01:02.000");
        assert_eq!(clock(-1.0, ','), "00:00:00,000");
    }

    #[test]
    fn a_cue_cannot_be_broken_by_its_text() {
        assert_eq!(escape("a <b> & c --> d\ne"), "a &lt;b&gt; &amp; c --&gt; d e");
    }
}
