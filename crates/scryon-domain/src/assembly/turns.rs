//! Words to turns by largest overlap, as one sweep over both lists in order of start.

use super::time::Millis;
use crate::transcript::Confidence;

/// Longest stretch of a word that counts: engines let the last word before a pause run on through the silence,
/// into the turn of whoever answers.
pub(super) const WORD_CAP: Millis = 1000;

/// One stretch of one speaker; the speaker is an index into the caller's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: Millis,
    pub(super) end: Millis,
    pub(super) speaker: usize,
}

/// Whom a word was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) speaker: usize,
    /// HIGH: one speaker clearly. MEDIUM: shared with another speaker or with silence. LOW: no overlap, nearest
    /// turn in time.
    pub(super) confidence: Confidence,
}

/// Spans ready for questions. Spans of one speaker are disjoint here, those of different speakers may overlap.
#[derive(Debug)]
pub(super) struct Timeline {
    spans: Vec<Span>,
    /// `latest_end[i]`: which of the spans up to `i` ends last.
    latest_end: Vec<usize>,
}

impl Timeline {
    /// Sorts, and joins spans of one speaker that overlap or touch. Spans without length are dropped.
    pub(super) fn new(mut spans: Vec<Span>) -> Self {
        spans.retain(|span| span.end > span.start);
        spans.sort_by_key(|span| (span.speaker, span.start, span.end));
        let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match joined.last_mut() {
                Some(last) if last.speaker == span.speaker && span.start <= last.end => {
                    last.end = last.end.max(span.end);
                }
                _ => joined.push(span),
            }
        }
        joined.sort_by_key(|span| (span.start, span.end, span.speaker));
        let mut latest_end: Vec<usize> = Vec::with_capacity(joined.len());
        for (index, span) in joined.iter().enumerate() {
            let latest = match latest_end.last() {
                Some(&before) if joined[before].end >= span.end => before,
                _ => index,
            };
            latest_end.push(latest);
        }
        Self { spans: joined, latest_end }
    }

    /// True when there is nobody to give a word to.
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// One answer per word; `None` only when there are no spans. `words` are (start, end) in order of start.
    pub(super) fn assign(&self, words: &[(Millis, Millis)]) -> Vec<Option<Match>> {
        let mut answers = Vec::with_capacity(words.len());
        let mut upcoming = self.spans.iter().copied().peekable();
        let mut active: Vec<Span> = Vec::new();
        let mut shares: Vec<Share> = Vec::new();
        for &(start, end) in words {
            // A word without length still stands at a place: it counts as one millisecond.
            let end = end.clamp(start + 1, start + WORD_CAP);
            while let Some(span) = upcoming.next_if(|span| span.start < start + WORD_CAP) {
                active.push(span);
            }
            active.retain(|span| span.end > start);
            share_out(&active, start, end, &mut shares);
            answers.push(match best_share(&shares, end - start) {
                Some(found) => Some(found),
                None => self.nearest(start, end),
            });
        }
        answers
    }

    /// The nearest span in time of a word that overlaps none; the earlier one when both are equally far.
    fn nearest(&self, start: Millis, end: Millis) -> Option<Match> {
        let following = self.spans.partition_point(|span| span.start < end);
        let before = following.checked_sub(1).map(|last| self.spans[self.latest_end[last]]);
        let after = self.spans.get(following).copied();
        let chosen = match (before, after) {
            (Some(before), Some(after)) if after.start - end < start - before.end => after,
            (Some(before), _) => before,
            (None, after) => after?,
        };
        Some(Match { speaker: chosen.speaker, confidence: Confidence::Low })
    }
}

/// How much of a word falls into the turns of one speaker.
#[derive(Debug, Clone, Copy)]
struct Share {
    speaker: usize,
    overlap: Millis,
    /// Start of the first turn involved, for ties.
    since: Millis,
}

fn share_out(active: &[Span], start: Millis, end: Millis, shares: &mut Vec<Share>) {
    shares.clear();
    for span in active {
        let overlap = span.end.min(end) - span.start.max(start);
        if overlap <= 0 {
            continue;
        }
        match shares.iter_mut().find(|share| share.speaker == span.speaker) {
            Some(share) => share.overlap += overlap,
            None => shares.push(Share { speaker: span.speaker, overlap, since: span.start }),
        }
    }
}

/// Largest overlap; of equal ones the speaker whose turn began first, for he had the floor.
fn best_share(shares: &[Share], length: Millis) -> Option<Match> {
    let rank = |share: &&Share| (share.overlap, -share.since, usize::MAX - share.speaker);
    let best = shares.iter().max_by_key(rank)?;
    let rival = shares
        .iter()
        .filter(|share| share.speaker != best.speaker)
        .map(|share| share.overlap)
        .max()
        .unwrap_or(0);
    let clear = best.overlap * 5 >= length * 3 && best.overlap >= rival * 2;
    let confidence = if clear { Confidence::High } else { Confidence::Medium };
    Some(Match { speaker: best.speaker, confidence })
}
