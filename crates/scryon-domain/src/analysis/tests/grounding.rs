use serde_json::{Value, json};

use super::{document_with, full_document, read, transcript};
use crate::analysis::{Dropped, GroundingProblem, check_grounding, drop_ungrounded};

/// Every place that can cite: found by walking the document, so that a new list cannot be forgotten.
fn citing_pointers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = format!("{path}/{key}");
                if key == "sourceSegmentIds" {
                    found.push(path);
                } else {
                    citing_pointers(value, &path, found);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                citing_pointers(item, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_document_that_cites_this_call_has_no_problem_and_loses_nothing() {
    let mut analysis = read(full_document());
    assert_eq!(check_grounding(&analysis, &transcript()), []);
    assert!(drop_ungrounded(&mut analysis, &transcript()).is_nothing());
    assert_eq!(analysis, read(full_document()));
}

#[test]
fn an_unknown_segment_is_found_and_dropped_wherever_it_is_cited() {
    let mut pointers = Vec::new();
    let mut document = full_document();
    document["mood"] = json!({"peaks": [{"sourceSegmentIds": []}]});
    document["risks"][0]["evidence"] = json!({"sourceSegmentIds": []});
    citing_pointers(&document, "", &mut pointers);
    assert!(pointers.len() >= 17, "{pointers:?}");
    for pointer in pointers {
        let mut document = document.clone();
        *document.pointer_mut(&pointer).unwrap() = json!(["seg_0001", "seg_0404", "seg_0003"]);
        let mut analysis = read(document.clone());
        let problems = check_grounding(&analysis, &transcript());
        let [GroundingProblem::UnknownSegment { path, id }] = problems.as_slice() else {
            panic!("{pointer}: {problems:?}")
        };
        assert_eq!(id, "seg_0404");
        assert!(!path.is_empty() && !problems[0].to_string().contains("0404"), "{}", problems[0]);
        let dropped = drop_ungrounded(&mut analysis, &transcript());
        assert_eq!(dropped, Dropped { segment_ids: 1, timestamps: 0 }, "{pointer}");
        *document.pointer_mut(&pointer).unwrap() = json!(["seg_0001", "seg_0003"]);
        assert_eq!(analysis, read(document), "{pointer}");
        assert_eq!(check_grounding(&analysis, &transcript()), []);
    }
}

#[test]
fn timestamps_must_lie_inside_the_call() {
    let at = "/executiveSummaryBullets/0/startTimestamp";
    // The call lasts 62.4 s; timestamps are whole seconds, so 01:03 is its last one.
    for (timestamp, inside) in [
        ("00:00", true),
        ("01:02", true),
        ("01:03", true),
        ("00:01:03", true),
        ("01:04", false),
        ("01:00:00", false),
    ] {
        let analysis = read(document_with(at, Some(json!(timestamp))));
        let problems = check_grounding(&analysis, &transcript());
        assert_eq!(problems.is_empty(), inside, "{timestamp}: {problems:?}");
        let is_outside = matches!(problems.first(), Some(GroundingProblem::TimestampOutsideCall { .. }));
        assert_eq!(is_outside, !inside, "{timestamp}");
    }
}

#[test]
fn unreadable_timestamps_are_problems_and_are_dropped() {
    let at = "/executiveSummaryBullets/0/startTimestamp";
    for timestamp in
        ["soon", "1", "00:60", "00:60:00", ":", "-1:00", "+1:00", "0:1:2:3", "99999999999999999999:00"]
    {
        let mut analysis = read(document_with(at, Some(json!(timestamp))));
        let problems = check_grounding(&analysis, &transcript());
        assert!(
            matches!(problems.as_slice(), [GroundingProblem::UnreadableTimestamp { .. }]),
            "{timestamp}: {problems:?}"
        );
        assert_eq!(drop_ungrounded(&mut analysis, &transcript()), Dropped { segment_ids: 0, timestamps: 1 });
        assert_eq!(analysis, read(document_with(at, None)), "{timestamp}");
    }
}

#[test]
fn speech_beyond_the_announced_duration_belongs_to_the_call() {
    let mut transcript = transcript();
    transcript.duration_seconds = f64::NAN;
    transcript.segments[2].end_seconds = 120.0;
    transcript.segments[1].end_seconds = f64::INFINITY;
    let at = |timestamp: &str| {
        read(document_with("/executiveSummaryBullets/0/startTimestamp", Some(json!(timestamp))))
    };
    assert_eq!(check_grounding(&at("02:00"), &transcript), []);
    assert_eq!(check_grounding(&at("02:01"), &transcript).len(), 1);
}

#[test]
fn what_is_left_of_a_statement_stays() {
    let mut analysis = read(document_with("/risks/0/sourceSegmentIds", Some(json!(["seg_0404"]))));
    drop_ungrounded(&mut analysis, &transcript());
    assert_eq!(analysis.risks[0].text, "The warranty may be over.");
    assert!(analysis.risks[0].source_segment_ids.is_empty());
}
