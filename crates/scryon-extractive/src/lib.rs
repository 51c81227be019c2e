//! Keyless analysis: a deterministic reading of a transcript without any model.
//!
//! It counts, matches and quotes; it never rephrases and never guesses. Every item cites the segments it was
//! found in, an owner is always a speaker of the transcript or nobody, and dates are resolved only where the
//! recording time is known. The document says of itself that it was made this way: `qualityWarnings` begins
//! with `extractive_engine`.

mod call_type;
mod evidence;
mod keywords;
mod lexicon;
mod lists;
mod mentions;
mod mood;
mod quality;
mod questions;
mod ranking;
mod summary;
mod tasks;
mod text;
mod tone;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use scryon_domain::analysis::{ANALYSIS_SCHEMA_VERSION, Analysis, CallType};
use scryon_domain::transcript::Transcript;

use evidence::AllEvidence;
use keywords::Keywords;
use lexicon::List;
use mentions::{Mentions, When};
use mood::Polarities;
use ranking::Ranking;
use tasks::Tasks;
use text::Document;

/// A statement with figures, dates or a decision says more than one without.
const FACT_BONUS: f64 = 1.25;
/// A question stands for the call less than its answer.
const QUESTION_FACTOR: f64 = 0.7;
/// What became a task is told as one.
const TASK_FACTOR: f64 = 0.6;
const COURTESY_FACTOR: f64 = 0.4;

/// What is known about a call beside its words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnalysisContext {
    /// When it was recorded; `tomorrow` has a date only with it. The day is the one in UTC.
    pub recorded_at: Option<DateTime<Utc>>,
    /// The title its owner gave it.
    pub title: Option<String>,
    /// The other party's name from the call log.
    pub contact_name: Option<String>,
}

/// The analysis of a transcript. The same transcript and context give the same document, byte for byte.
pub fn analyse(transcript: &Transcript, context: &AnalysisContext) -> Analysis {
    let document = Document::read(transcript);
    if document.tokens.is_empty() {
        return without_speech(&document);
    }
    let mentions = Mentions::find(&document, context);
    let tasks = tasks::find(&document, &mentions);
    let evidence = evidence::find(&document);
    let questions = questions::real_questions(&document, &tasks.units);
    let open_questions = questions::open_questions(&document, &questions);
    let keywords = Keywords::of(&document, &mentions);
    let ranking = Ranking::of(&document, &bonuses(&document, &mentions, &evidence, &questions, &tasks.units));
    let call_type = call_type::of(&document);
    let decisions = evidence::findings(&document, &evidence.decisions);
    let summary = summary::of(&summary::Material {
        document: &document,
        context,
        mentions: &mentions,
        evidence: &evidence,
        questions: &questions,
        keywords: &keywords,
        ranking: &ranking,
        call_type,
        counts: summary::Counts {
            action_items: tasks.action_items.len(),
            next_steps: tasks.next_steps.len(),
            decisions: decisions.len(),
            open_questions: open_questions.len(),
        },
    });
    let polarities = Polarities::of(&document);
    let Tasks { action_items, next_steps, commitments, units: _ } = tasks;
    Analysis {
        schema_version: ANALYSIS_SCHEMA_VERSION,
        call_type: Some(call_type),
        suggested_title: summary.suggested_title,
        one_line_summary: Some(summary.one_line),
        executive_summary: Some(summary.executive),
        executive_summary_bullets: summary.bullets,
        conversation_outcome: summary.outcome,
        sections: summary.sections,
        key_discussion_points: summary.points,
        action_items,
        next_steps,
        important_dates: lists::important_dates(&document, &mentions),
        decisions,
        commitments,
        open_questions,
        risks: evidence::findings(&document, &evidence.risks),
        opportunities: evidence::findings(&document, &evidence.opportunities),
        people_mentioned: lists::people(&document, &mentions),
        numbers_and_amounts: lists::amounts(&document, &mentions),
        sentiment: Some(mood::sentiment(&document, &polarities)),
        tone: tone::of(&document, &polarities, call_type),
        tags: tags(call_type, &keywords),
        quality_warnings: quality::warnings(&document, has_unresolved_dates(&mentions, context)),
        ..Analysis::default()
    }
}

/// Silence is a success with nothing to say.
fn without_speech(document: &Document<'_>) -> Analysis {
    Analysis {
        schema_version: ANALYSIS_SCHEMA_VERSION,
        call_type: Some(CallType::Unknown),
        one_line_summary: Some(summary::NO_SPEECH_SUMMARY.to_owned()),
        executive_summary: Some(summary::NO_SPEECH_SUMMARY.to_owned()),
        sentiment: Some(mood::sentiment(document, &Polarities::of(document))),
        quality_warnings: quality::warnings(document, false),
        ..Analysis::default()
    }
}

/// A factor for each unit: what it carries beside its words.
fn bonuses(
    document: &Document<'_>,
    mentions: &Mentions,
    evidence: &AllEvidence,
    questions: &[usize],
    tasks: &[usize],
) -> Vec<f64> {
    let mut bonuses: Vec<f64> = document
        .units
        .iter()
        .enumerate()
        .map(|(index, unit)| {
            let has_facts = !mentions.amounts_in(unit.span.clone()).is_empty()
                || !mentions.dates_in(unit.span.clone()).is_empty()
                || evidence.decisions.units.contains_key(&index)
                || evidence.resolutions.units.contains_key(&index)
                || evidence.risks.units.contains_key(&index);
            let is_courtesy = [List::Courtesy, List::Manners]
                .into_iter()
                .any(|list| document.has_hit(list, unit.span.clone()));
            if is_courtesy {
                COURTESY_FACTOR
            } else if has_facts {
                FACT_BONUS
            } else {
                1.0
            }
        })
        .collect();
    let factors = [(questions, QUESTION_FACTOR), (tasks, TASK_FACTOR)];
    for (units, factor) in factors {
        for unit in units.iter().collect::<BTreeSet<_>>() {
            if let Some(bonus) = bonuses.get_mut(*unit) {
                *bonus *= factor;
            }
        }
    }
    bonuses
}

/// The kind of call is the first thing somebody filters by.
fn tags(call_type: CallType, keywords: &Keywords) -> Vec<String> {
    let kind = match call_type {
        CallType::Unknown | CallType::Other => None,
        kind => Some(kind.as_str().to_owned()),
    };
    let words = keywords.tags().into_iter().filter(|tag| Some(tag) != kind.as_ref());
    kind.clone().into_iter().chain(words).collect()
}

fn has_unresolved_dates(mentions: &Mentions, context: &AnalysisContext) -> bool {
    context.recorded_at.is_none()
        && mentions.dates.iter().any(|mention| mention.date.is_none() && mention.when != When::Vague)
}
