use scryon_domain::analysis::{Analysis, Importance};

use super::fixtures::{Contact, User, call, recorded, support_call};
use crate::{AnalysisContext, analyse};

fn support() -> Analysis {
    analyse(&support_call(), &recorded())
}

/// Everything between quotation marks in the summary's parts.
fn quotes(analysis: &Analysis) -> Vec<String> {
    let mut texts: Vec<&str> = Vec::new();
    texts.extend(analysis.executive_summary.as_deref());
    texts.extend(analysis.conversation_outcome.as_deref());
    texts.extend(analysis.executive_summary_bullets.iter().flat_map(|b| &b.paragraphs).map(String::as_str));
    texts.extend(analysis.sections.iter().flat_map(|s| &s.items).map(|item| item.text.as_str()));
    texts.extend(analysis.key_discussion_points.iter().map(|point| point.text.as_str()));
    let quotes =
        texts.iter().flat_map(|text| text.split('“').skip(1)).filter_map(|text| text.split('”').next());
    quotes.map(str::to_owned).collect()
}

#[test]
fn each_statement_is_quoted_in_one_place_and_was_said() {
    let transcript = support_call();
    let said: Vec<&str> = transcript.segments.iter().map(|segment| segment.text.as_str()).collect();
    let quotes = quotes(&support());
    assert!(quotes.len() >= 8, "{quotes:?}");
    for quote in &quotes {
        assert!(said.iter().any(|text| text.contains(quote.as_str())), "{quote} was not said");
        assert_eq!(quotes.iter().filter(|other| *other == quote).count(), 1, "{quote} is repeated");
    }
}

#[test]
fn no_narrative_names_a_speaker_by_label() {
    let analysis = support();
    let mut texts = vec![analysis.one_line_summary.clone(), analysis.executive_summary.clone()];
    texts.push(analysis.suggested_title.clone());
    texts.extend(analysis.executive_summary_bullets.iter().map(|bullet| Some(bullet.header.clone())));
    for text in texts.into_iter().flatten() {
        assert!(!text.contains("Speaker"), "{text}");
    }
    assert!(analysis.key_discussion_points.iter().all(|point| point.speaker_id.is_none()));
}

#[test]
fn a_real_call_has_three_to_six_parts_in_order() {
    let analysis = support();
    let bullets = &analysis.executive_summary_bullets;
    assert!((3..=6).contains(&bullets.len()), "{bullets:?}");
    let starts: Vec<_> = bullets.iter().filter_map(|bullet| bullet.start_timestamp.clone()).collect();
    assert_eq!(starts.len(), bullets.len());
    assert!(starts.is_sorted(), "{starts:?}");
    assert_eq!(starts[0], "00:00");
    let mut headers: Vec<_> = bullets.iter().map(|bullet| &bullet.header).collect();
    headers.sort();
    headers.dedup();
    assert_eq!(headers.len(), bullets.len(), "headers tell parts apart");
}

#[test]
fn timestamps_of_long_calls_have_hours() {
    let mut transcript = support_call();
    for segment in &mut transcript.segments {
        segment.start_seconds += 3_700.0;
        segment.end_seconds += 3_700.0;
    }
    let analysis = analyse(&transcript, &recorded());
    assert_eq!(analysis.executive_summary_bullets[0].start_timestamp.as_deref(), Some("01:01:40"));
}

#[test]
fn there_is_always_a_key_point_for_older_clients() {
    let analysis = support();
    let items = || analysis.sections.iter().flat_map(|section| &section.items);
    assert!(items().next().is_some());
    assert!(items().any(|item| item.importance == Some(Importance::High)));
    assert!(items().all(|item| !item.source_segment_ids.is_empty()));
}

#[test]
fn the_outcome_is_the_last_decision_or_resolution() {
    assert_eq!(
        support().conversation_outcome.as_deref(),
        Some("Decided: “We agreed to skip the setup fee as well.”")
    );
    let resolved =
        call(&[(User, "We agreed to restart the router."), (Contact, "The router is back online.")]);
    let outcome = analyse(&resolved, &recorded()).conversation_outcome;
    assert_eq!(outcome.as_deref(), Some("Resolved: “The router is back online.”"));
    let nothing = call(&[(User, "The router is blue."), (Contact, "Yes, the router is blue.")]);
    assert_eq!(analyse(&nothing, &recorded()).conversation_outcome, None);
}

fn title(contact: Option<&str>, title: Option<&str>, text: &str) -> Option<String> {
    let context = AnalysisContext {
        contact_name: contact.map(str::to_owned),
        title: title.map(str::to_owned),
        ..recorded()
    };
    analyse(&call(&[(User, text)]), &context).suggested_title
}

#[test]
fn the_title_is_made_of_topics_and_the_contacts_name() {
    let text = "The antenna is new. The antenna works. My number is 5550104477 or a@example.com.";
    assert_eq!(title(Some("Maria Lopez"), None, text).as_deref(), Some("Antenna with Maria Lopez"));
    assert_eq!(title(None, None, text).as_deref(), Some("Antenna"));
}

#[test]
fn the_title_never_holds_a_number_or_an_address() {
    let text = "The antenna is new. The antenna works.";
    for contact in ["+49 170 5550134", "Contact ending 4711", "maria@example.com", "Maria 5550134", ""] {
        assert_eq!(title(Some(contact), None, text).as_deref(), Some("Antenna"), "{contact}");
    }
    for given in ["Call with 5550134", "maria@example.com", "A\u{7}B"] {
        assert_eq!(title(None, Some(given), "Well, yes."), None, "{given}");
    }
    assert_eq!(title(None, Some("Catching up"), "Well, yes.").as_deref(), Some("Catching up"));
}

#[test]
fn silence_is_a_valid_document() {
    for lines in [&[][..], &[(User, "")][..], &[(User, " ... "), (Contact, "?!")][..]] {
        let analysis = analyse(&call(lines), &recorded());
        assert_eq!(analysis.quality_warnings, ["extractive_engine", "no_speech"]);
        assert_eq!(analysis.one_line_summary.as_deref(), Some("No speech was recognised in this recording."));
        assert_eq!((analysis.executive_summary_bullets.len(), analysis.sections.len()), (0, 0));
        assert_eq!((analysis.action_items.len(), analysis.tags.len()), (0, 0));
        assert_eq!(analysis.tone, None);
    }
}

#[test]
fn the_analysis_is_honest_about_itself() {
    let short = analyse(&call(&[(User, "Hello."), (Contact, "Wrong number.")]), &recorded());
    assert_eq!(short.quality_warnings, ["extractive_engine", "very_short_call"]);
    assert_eq!(support().quality_warnings, ["extractive_engine"]);
    let draft = analyse(&super::fixtures::draft_support_call(), &recorded());
    assert_eq!(draft.quality_warnings, ["extractive_engine", "draft_quality_transcript"]);
}
