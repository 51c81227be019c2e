//! The voice match: which of the speakers is the owner of the voice profile.

use super::super::VoiceMatch;
use super::Party;
use crate::transcript::Confidence;

/// Two voices closer than this are not told apart: the width of the band between the default thresholds.
const MARGIN: f64 = 0.10;

/// What the scores amount to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Voice {
    Disabled,
    NoProfile,
    NoMatch,
    /// This speaker is the user.
    Matched {
        speaker: usize,
        score: f64,
        confidence: Confidence,
    },
    /// These speakers sound alike; none of them is the user on this evidence.
    Ambiguous {
        speakers: Vec<usize>,
    },
}

impl Voice {
    /// `voiceMatchStatus`.
    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::Disabled => "DISABLED",
            Self::NoProfile => "NO_PROFILE",
            Self::NoMatch => "NO_MATCH",
            Self::Matched { .. } => "MATCHED",
            Self::Ambiguous { .. } => "AMBIGUOUS",
        }
    }
}

/// `voiceMatchScore` as it is written: four decimals say all there is to say, and read back as they are.
pub(super) fn rounded(score: f64) -> f64 {
    (score * 10_000.0).round() / 10_000.0
}

/// The best score at or above the medium threshold wins, unless a second one above it comes too near. A voice
/// that matched but says nothing in the transcript still competes: it may be the user's.
pub(super) fn judge(voice_match: &VoiceMatch, parties: &[Party<'_>]) -> Voice {
    let (scores, high, medium) = match voice_match {
        VoiceMatch::Disabled => return Voice::Disabled,
        VoiceMatch::NoProfile => return Voice::NoProfile,
        VoiceMatch::Scores { scores, high, medium } => (scores, *high, *medium),
    };
    let mut above: Vec<(&str, f64)> = Vec::new();
    for (source, score) in scores {
        if !(0.0..=1.0).contains(score) || *score < high.min(medium) {
            continue;
        }
        match above.iter_mut().find(|(known, _)| *known == source.trim()) {
            Some((_, best)) => *best = best.max(*score),
            None => above.push((source.trim(), *score)),
        }
    }
    above.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let Some(&(best, score)) = above.first() else { return Voice::NoMatch };
    let place = |source: &str| parties.iter().position(|party| party.source == source);
    let rivals: Vec<&str> =
        above.iter().take_while(|(_, other)| score - other < MARGIN).map(|(source, _)| *source).collect();
    if rivals.len() > 1 {
        return Voice::Ambiguous { speakers: rivals.into_iter().filter_map(place).collect() };
    }
    match place(best) {
        Some(speaker) => {
            let confidence = if score >= high { Confidence::High } else { Confidence::Medium };
            Voice::Matched { speaker, score, confidence }
        }
        None => Voice::NoMatch,
    }
}
