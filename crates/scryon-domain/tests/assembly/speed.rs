//! Assembly is no stage worth waiting for: it grows with the call, not with the square of it.

use std::time::{Duration, Instant};

use super::{assemble, mono};

/// Three hours, 40,000 words: some 50 ms in release. The limit is for unoptimised code on a busy machine, where
/// one quadratic step would still break it by far.
#[test]
fn a_long_call_is_assembled_at_once() {
    let vocabulary =
        ["we", "will", "send", "that", "invoice", "to", "them", "on", "Monday.", "right", "I", "know"];
    let mut text = Vec::new();
    for line in 0..2500 {
        let words: Vec<&str> = (0..16).map(|at| vocabulary[(line * 7 + at * (1 + line % 5)) % 12]).collect();
        text.push(words.join(" "));
    }
    let lines: Vec<(&str, f64, &str)> = text
        .iter()
        .enumerate()
        .map(|(at, text)| (["A", "B"][at % 2], at as f64 * 4.3, text.as_str()))
        .collect();
    let mut input = mono(&lines);
    input.raw.duration_seconds = 10_800.0;
    assert_eq!(input.raw.words.len(), 40_000);

    let started = Instant::now();
    let transcript = assemble(&input);
    let took = started.elapsed();
    assert_eq!(transcript.speakers.len(), 2);
    assert!(transcript.segments.len() > 1000);
    assert!(took < Duration::from_secs(10), "{took:?}");
}
