//! The voice match: which of the speakers is the owner of the voice profile.

use super::super::VoiceMatch;
use super::Party;
use crate::transcript::Confidence;

/// What the scores amount to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Voice {
    Disabled,
    NoProfile,
    Unavailable,
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
            Self::Unavailable => "UNAVAILABLE",
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

/// A score at or above the medium threshold wins where it is the only one: of two voices that both pass for the
/// user's neither is taken. A voice that matched but says nothing in the transcript still competes.
pub(super) fn judge(voice_match: &VoiceMatch, parties: &[Party<'_>]) -> Voice {
    let (scores, high, medium) = match voice_match {
        VoiceMatch::Disabled => return Voice::Disabled,
        VoiceMatch::NoProfile => return Voice::NoProfile,
        VoiceMatch::Unavailable => return Voice::Unavailable,
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
    let place = |source: &str| parties.iter().position(|party| party.source == source);
    let (best, score) = match above[..] {
        [] => return Voice::NoMatch,
        [only] => only,
        _ => {
            let mut speakers: Vec<usize> =
                above.into_iter().filter_map(|(source, _)| place(source)).collect();
            speakers.sort_unstable();
            return Voice::Ambiguous { speakers };
        }
    };
    match place(best) {
        Some(speaker) => {
            let confidence = if score >= high { Confidence::High } else { Confidence::Medium };
            Voice::Matched { speaker, score, confidence }
        }
        None => Voice::NoMatch,
    }
}
