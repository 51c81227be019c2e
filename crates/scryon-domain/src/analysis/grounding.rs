//! Whether a document talks about this call at all. Every citation must lead somewhere: an id to a segment,
//! a timestamp into the call.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::document::Analysis;
use crate::transcript::Transcript;

const CITATION_KEY: &str = "sourceSegmentIds";

/// A citation that leads nowhere. The text names places of the document only, never what they say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroundingProblem {
    #[error("{path} cites a segment that the transcript does not have")]
    UnknownSegment { path: String, id: String },
    #[error("{path} is not a timestamp of the form MM:SS or HH:MM:SS")]
    UnreadableTimestamp { path: String, timestamp: String },
    #[error("{path} lies outside the call")]
    TimestampOutsideCall { path: String, timestamp: String },
}

/// How much [`drop_ungrounded`] took out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    pub segment_ids: usize,
    pub timestamps: usize,
}

impl Dropped {
    /// True when every citation held.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Every citation of the document that does not hold.
pub fn check_grounding(analysis: &Analysis, transcript: &Transcript) -> Vec<GroundingProblem> {
    // Checking runs on the same walk as dropping, on a copy, so that no place can be known to one only.
    walk(&mut analysis.clone(), transcript)
}

/// Removes what [`check_grounding`] complains of: unknown ids, and timestamps that cannot be true. What is
/// left of the statement stays; a reader sees that it cites nothing.
pub fn drop_ungrounded(analysis: &mut Analysis, transcript: &Transcript) -> Dropped {
    let mut dropped = Dropped::default();
    for problem in walk(analysis, transcript) {
        match problem {
            GroundingProblem::UnknownSegment { .. } => dropped.segment_ids += 1,
            GroundingProblem::UnreadableTimestamp { .. } | GroundingProblem::TimestampOutsideCall { .. } => {
                dropped.timestamps += 1;
            }
        }
    }
    dropped
}

fn walk(analysis: &mut Analysis, transcript: &Transcript) -> Vec<GroundingProblem> {
    let known: HashSet<&str> = transcript.segments.iter().map(|segment| segment.id.as_str()).collect();
    let mut problems = Vec::new();
    check_timestamps(analysis, call_seconds(transcript), &mut problems);
    for (path, ids) in citations(analysis) {
        ids.retain(|id| {
            let exists = known.contains(id.as_str());
            if !exists {
                problems.push(GroundingProblem::UnknownSegment { path: path.clone(), id: id.clone() });
            }
            exists
        });
    }
    for extra in unknown_keys(analysis) {
        for (key, value) in extra.iter_mut() {
            check_value(key, key, value, &known, &mut problems);
        }
    }
    problems
}

fn check_timestamps(analysis: &mut Analysis, call_seconds: u64, problems: &mut Vec<GroundingProblem>) {
    for (index, bullet) in analysis.executive_summary_bullets.iter_mut().enumerate() {
        let Some(timestamp) = bullet.start_timestamp.take() else { continue };
        let path = format!("executiveSummaryBullets[{index}].startTimestamp");
        match seconds_of(&timestamp) {
            None => problems.push(GroundingProblem::UnreadableTimestamp { path, timestamp }),
            Some(seconds) if seconds > call_seconds => {
                problems.push(GroundingProblem::TimestampOutsideCall { path, timestamp });
            }
            Some(_inside) => bullet.start_timestamp = Some(timestamp),
        }
    }
}

/// Length of the call in whole seconds, rounded up as timestamps are. Speech may end after the announced
/// duration, and both count.
fn call_seconds(transcript: &Transcript) -> u64 {
    let ends = transcript.segments.iter().map(|segment| segment.end_seconds);
    let seconds = ends.chain([transcript.duration_seconds]).filter(|end| end.is_finite()).fold(0.0, f64::max);
    // Saturates, and is not negative: the fold starts at zero.
    seconds.ceil() as u64
}

/// Seconds of `MM:SS` or `HH:MM:SS`. Minutes above 59 are understood as well; some write `75:10`.
fn seconds_of(timestamp: &str) -> Option<u64> {
    let parts: Vec<u64> = timestamp
        .trim()
        .split(':')
        .map(|part| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten())
        .collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match parts.as_slice() {
        [minutes, seconds] => (0, *minutes, *seconds),
        [hours, minutes, seconds] if *minutes < 60 => (*hours, *minutes, *seconds),
        _ => return None,
    };
    if seconds >= 60 {
        return None;
    }
    hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)
}

/// Every list of cited ids with its place.
fn citations(analysis: &mut Analysis) -> Vec<(String, &mut Vec<String>)> {
    let mut found = Vec::new();
    macro_rules! cite {
        ($list:ident, $name:literal) => {
            for (index, item) in analysis.$list.iter_mut().enumerate() {
                found.push((format!(concat!($name, "[{}]"), index), &mut item.source_segment_ids));
            }
        };
    }
    for (section_index, section) in analysis.sections.iter_mut().enumerate() {
        for (index, item) in section.items.iter_mut().enumerate() {
            found.push((format!("sections[{section_index}].items[{index}]"), &mut item.source_segment_ids));
        }
    }
    cite!(key_discussion_points, "keyDiscussionPoints");
    cite!(action_items, "actionItems");
    cite!(follow_ups, "followUps");
    cite!(next_steps, "nextSteps");
    cite!(important_dates, "importantDates");
    cite!(decisions, "decisions");
    cite!(commitments, "commitments");
    cite!(open_questions, "openQuestions");
    cite!(risks, "risks");
    cite!(opportunities, "opportunities");
    cite!(people_mentioned, "peopleMentioned");
    cite!(numbers_and_amounts, "numbersAndAmounts");
    if let Some(sentiment) = &mut analysis.sentiment {
        for (index, moment) in sentiment.progression.iter_mut().enumerate() {
            found.push((format!("sentiment.progression[{index}]"), &mut moment.source_segment_ids));
        }
    }
    found
}

/// The passed-through keys, which may cite as well.
fn unknown_keys(analysis: &mut Analysis) -> Vec<&mut Map<String, Value>> {
    let mut maps = vec![&mut analysis.extra];
    let findings = [
        &mut analysis.decisions,
        &mut analysis.commitments,
        &mut analysis.open_questions,
        &mut analysis.risks,
        &mut analysis.opportunities,
    ];
    maps.extend(findings.into_iter().flatten().map(|finding| &mut finding.extra));
    maps.extend(analysis.follow_ups.iter_mut().map(|item| &mut item.extra));
    maps.extend(analysis.important_dates.iter_mut().map(|item| &mut item.extra));
    maps.extend(analysis.people_mentioned.iter_mut().map(|item| &mut item.extra));
    maps.extend(analysis.numbers_and_amounts.iter_mut().map(|item| &mut item.extra));
    maps
}

/// JSON nests at most 128 deep by the time it was parsed, so the recursion is bounded.
fn check_value(
    path: &str,
    key: &str,
    value: &mut Value,
    known: &HashSet<&str>,
    problems: &mut Vec<GroundingProblem>,
) {
    match value {
        Value::Array(items) if key == CITATION_KEY => items.retain(|item| {
            let id = item.as_str().unwrap_or_default();
            let exists = known.contains(id);
            if !exists {
                let (path, id) = (path.to_owned(), id.to_owned());
                problems.push(GroundingProblem::UnknownSegment { path, id });
            }
            exists
        }),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                check_value(&format!("{path}[{index}]"), "", item, known, problems);
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields.iter_mut() {
                check_value(&format!("{path}.{key}"), key, item, known, problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
