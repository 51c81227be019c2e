//! What was said in a recording: the same for the same bytes, in whole milliseconds.

use std::fmt::Write as _;

use crate::answers::word_of;
use crate::options::HostedOptions;

#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
    /// From 0.
    pub(crate) speaker: usize,
    pub(crate) words: Vec<Word>,
}

#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) lines: Vec<Line>,
    pub(crate) duration_ms: u64,
}

/// A time as the float of seconds that most providers send.
pub(crate) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

impl Script {
    /// Lines of equal length, spoken in turn. The first word is made from the hash.
    pub(crate) fn new(hash: &[u8], options: &HostedOptions, speakers: usize) -> Self {
        let slot = options.segment_ms.max(20);
        let lines: Vec<_> = (0..options.segments)
            .map(|n| {
                let text = match options.said.get(n) {
                    Some(said) => said.clone(),
                    None if n == 0 => format!("{} is the word of this call", word_of(hash)),
                    None => format!("this is segment number {n} of the call"),
                };
                let start_ms = n as u64 * slot;
                let end_ms = start_ms + slot * 95 / 100;
                let words = words(&text, start_ms, end_ms);
                Line { text, start_ms, end_ms, speaker: n % speakers.max(1), words }
            })
            .collect();
        let duration_ms = lines.len() as u64 * slot;
        Self { lines, duration_ms }
    }

    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = (&Line, &Word)> {
        self.lines.iter().flat_map(|line| line.words.iter().map(move |word| (line, word)))
    }

    /// SubRip.
    pub(crate) fn srt(&self) -> String {
        let mut out = String::new();
        for (n, line) in self.lines.iter().enumerate() {
            let (start, end) = (clock(line.start_ms, ','), clock(line.end_ms, ','));
            let _infallible = write!(out, "{}\n{start} --> {end}\n{}\n\n", n + 1, line.text);
        }
        out
    }

    /// WebVTT.
    pub(crate) fn vtt(&self) -> String {
        let mut out = "WEBVTT\n\n".to_owned();
        for line in &self.lines {
            let (start, end) = (clock(line.start_ms, '.'), clock(line.end_ms, '.'));
            let _infallible = write!(out, "{start} --> {end}\n{}\n\n", line.text);
        }
        out
    }
}

fn words(text: &str, start_ms: u64, end_ms: u64) -> Vec<Word> {
    let texts: Vec<&str> = text.split(' ').collect();
    let each = (end_ms - start_ms) / texts.len() as u64;
    let word = |(n, text): (usize, &&str)| {
        let start_ms = start_ms + n as u64 * each;
        Word { text: (*text).to_owned(), start_ms, end_ms: start_ms + each }
    };
    texts.iter().enumerate().map(word).collect()
}

/// `HH:MM:SS` and milliseconds behind a point or comma.
fn clock(ms: u64, point: char) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    format!("{:02}:{:02}:{:02}{point}{ms:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> HostedOptions {
        HostedOptions { segments: 4, segment_ms: 1_830_000, ..HostedOptions::default() }
    }

    #[test]
    fn subtitles_count_hours_and_say_the_words_of_the_recording() {
        let script = Script::new(b"abcdefgh", &options(), 2);
        let srt = script.srt();
        let word = word_of(b"abcdefgh");
        assert!(srt.starts_with(&format!("1\n00:00:00,000 --> 00:28:58,500\n{word} is")), "{srt}");
        assert!(srt.contains("3\n01:01:00,000 --> "), "{srt}");
        assert!(script.vtt().starts_with("WEBVTT\n\n00:00:00.000 --> 00:28:58.500\n"));
    }

    #[test]
    fn words_stay_inside_their_line_and_speakers_take_turns() {
        let script = Script::new(b"x", &options(), 3);
        assert_eq!(script.lines.iter().map(|l| l.speaker).collect::<Vec<_>>(), [0, 1, 2, 0]);
        assert!(script.words().all(|(line, word)| {
            word.start_ms < word.end_ms && line.start_ms <= word.start_ms && word.end_ms <= line.end_ms
        }));
        let words: Vec<_> = script.words().map(|(_, w)| w.text.as_str()).collect();
        assert_eq!(words.join(" "), script.text());
    }
}
