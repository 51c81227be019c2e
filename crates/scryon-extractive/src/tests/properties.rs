//! What must hold for every transcript, however broken or hostile.

use std::sync::LazyLock;

use chrono::DateTime;
use proptest::prelude::*;
use scryon_domain::analysis::{ANALYSIS_SCHEMA, Analysis, action_items, check_grounding};
use scryon_domain::transcript::Transcript;
use serde_json::Value;

use super::fixtures::{Contact, Third, User, segment, speaker, transcript};
use crate::{AnalysisContext, analyse};

/// Words the rules listen for, so that random texts reach deep into them.
const WORDS: &str = "i'll i will we can you could please send call me back email text the invoice contract router \
    to maria at example dot com maria.lopez@example.com by friday tomorrow next week in three days on march fifteenth \
    twenty twenty six 2026-05-20 3 pm half past nine noon $99 ten percent five hundred dollars +49 170 5550134 my \
    number is double five oh one what is how much we agreed let's go with not no never urgent sorry unfortunately \
    schedule a zoom meeting with priya for thirty minutes remind Mr. Lopez Will May if because and but so okay um. \
    worried broken great terrible happy angry upgrade we still need to decide i don't know you to or";

static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(ANALYSIS_SCHEMA).expect("a schema in JSON");
    jsonschema::draft202012::new(&schema).expect("a valid schema")
});

fn text() -> impl Strategy<Value = String> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let word = prop_oneof![
        12 => prop::sample::select(words).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
        1 => "[.,!?;:…—\u{2019}'\"@/$%+-]{1,3}",
        1 => Just("\u{0}\u{200d}\u{301}\u{202e}".to_owned()),
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
}

fn seconds() -> impl Strategy<Value = f64> {
    prop_oneof![8 => 0.0..4000.0_f64, 1 => any::<f64>(), 1 => Just(f64::NAN)]
}

prop_compose! {
    fn transcripts()(
        speakers in 0..4_usize,
        lines in prop::collection::vec((0..4_usize, text(), seconds(), seconds()), 0..12),
        duration in seconds(),
        is_single in prop::bool::weighted(0.1),
        is_draft in any::<bool>(),
        language in prop::option::of(prop::sample::select(vec!["en", "de", ""])),
    ) -> Transcript {
        let all: Vec<_> = (1..=4).map(|n| speaker(n, [User, Contact, Third, Third][n - 1])).collect();
        let segments =
            lines.iter().enumerate().map(|(index, (who, text, start, end))| segment(index, &all[*who], text, (*start, *end)));
        let segments = segments.collect();
        // Segments may name speakers that the list does not have.
        let mut transcript = transcript(all[..speakers].to_vec(), segments);
        transcript.duration_seconds = duration;
        transcript.language = language.map(str::to_owned);
        let codes = [("single_speaker_fallback", is_single), ("draft_quality_engine", is_draft)];
        transcript.pipeline.quality_warnings =
            codes.iter().filter(|(_, applies)| *applies).map(|(code, _)| (*code).to_owned()).collect();
        transcript
    }
}

prop_compose! {
    fn contexts()(
        seconds in prop::option::of(prop_oneof![4 => 0..4_000_000_000_i64, 1 => any::<i64>()]),
        title in prop::option::of("\\PC{0,30}"),
        contact_name in prop::option::of(prop_oneof![
            Just("Maria Lopez".to_owned()), Just("+49 170 5550134".to_owned()), "\\PC{0,30}"
        ]),
    ) -> AnalysisContext {
        AnalysisContext { recorded_at: seconds.and_then(|s| DateTime::from_timestamp(s, 0)), title, contact_name }
    }
}

/// Lists whose every item must say where it comes from.
fn all_citations(analysis: &Analysis) -> Vec<&Vec<String>> {
    let mut lists: Vec<&Vec<String>> = Vec::new();
    lists.extend(analysis.sections.iter().flat_map(|s| &s.items).map(|item| &item.source_segment_ids));
    lists.extend(analysis.key_discussion_points.iter().map(|item| &item.source_segment_ids));
    lists.extend(analysis.action_items.iter().map(|item| &item.source_segment_ids));
    lists.extend(analysis.next_steps.iter().map(|item| &item.source_segment_ids));
    lists.extend(analysis.important_dates.iter().map(|item| &item.source_segment_ids));
    let findings = [
        &analysis.decisions,
        &analysis.commitments,
        &analysis.open_questions,
        &analysis.risks,
        &analysis.opportunities,
    ];
    lists.extend(findings.into_iter().flatten().map(|item| &item.source_segment_ids));
    lists.extend(analysis.people_mentioned.iter().map(|item| &item.source_segment_ids));
    lists.extend(analysis.numbers_and_amounts.iter().map(|item| &item.source_segment_ids));
    lists
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_analysis_is_grounded_and_valid(transcript in transcripts(), context in contexts()) {
        let analysis = analyse(&transcript, &context);
        prop_assert_eq!(check_grounding(&analysis, &transcript), vec![]);
        for ids in all_citations(&analysis) {
            prop_assert!(!ids.is_empty(), "an item cites nothing");
        }
        prop_assert!(analysis.executive_summary_bullets.iter().all(|bullet| bullet.start_timestamp.is_some()));
        let document = serde_json::to_value(&analysis).expect("a writable document");
        if let Err(error) = VALIDATOR.validate(&document) {
            return Err(TestCaseError::fail(format!("{error} at {}", error.instance_path())));
        }
        let again: Analysis = serde_json::from_value(document).expect("a readable document");
        prop_assert_eq!(again, analysis);
    }

    #[test]
    fn the_same_input_gives_the_same_bytes(transcript in transcripts(), context in contexts()) {
        let bytes = || serde_json::to_vec(&analyse(&transcript, &context)).expect("a writable document");
        prop_assert_eq!(bytes(), bytes());
    }

    #[test]
    fn an_owner_is_a_speaker_or_nobody(transcript in transcripts(), context in contexts()) {
        let analysis = analyse(&transcript, &context);
        for item in &analysis.action_items {
            let fields = (&item.owner_speaker_label, &item.owner_speaker, &item.owner_role);
            match &item.owner_speaker_id {
                None => prop_assert_eq!(fields, (&None, &None, &None)),
                Some(id) => {
                    let speaker = transcript.speakers.iter().find(|speaker| speaker.speaker_id == *id);
                    let speaker = speaker.expect("an owner the transcript knows");
                    let label = Some(speaker.label.clone());
                    prop_assert_eq!(fields, (&label, &label, &Some(speaker.role)));
                }
            }
        }
        let is_merged = transcript.pipeline.quality_warnings.iter().any(|code| code == "single_speaker_fallback");
        prop_assert!(!is_merged || analysis.action_items.iter().all(|item| item.owner_speaker_id.is_none()));
        for row in action_items(&analysis, &transcript) {
            prop_assert!(!row.title.trim().is_empty() && !row.source_segment_ids.is_empty());
        }
    }

    #[test]
    fn a_title_holds_no_number_and_no_address(transcript in transcripts(), context in contexts()) {
        let title = analyse(&transcript, &context).suggested_title.unwrap_or_default();
        prop_assert!(!title.contains('@') && !title.chars().any(|c| c.is_ascii_digit()), "{}", title);
    }

    #[test]
    fn addresses_are_never_made_up(transcript in transcripts(), context in contexts()) {
        let said: String = transcript.segments.iter().map(|segment| segment.text.to_lowercase() + " ").collect();
        for item in analyse(&transcript, &context).action_items {
            let metadata = item.intent_metadata.unwrap_or_default();
            let emails = metadata.attendees.iter().filter_map(|attendee| attendee.email.clone());
            for email in emails.chain(metadata.to_email) {
                let spoken = email.replace('@', " at ").replace('.', " dot ");
                prop_assert!(said.contains(&email) || said.contains(&spoken), "{} was not said", email);
            }
        }
    }
}
