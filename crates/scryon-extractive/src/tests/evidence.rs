use scryon_domain::analysis::{Analysis, Finding, Importance};

use super::said;

fn texts(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.text.as_str()).collect()
}

fn fires(statement: &str, list: fn(&Analysis) -> &Vec<Finding>, is_found: bool) {
    let analysis = said(statement);
    let expected = format!("“{statement}”");
    let wanted: Vec<&str> = if is_found { vec![&expected] } else { vec![] };
    assert_eq!(texts(list(&analysis)), wanted, "{statement}");
    for finding in list(&analysis) {
        assert_eq!(finding.source_segment_ids, ["seg_0001"]);
        assert_eq!(finding.speaker_id.as_deref(), Some("spk_1"));
    }
}

#[test]
fn decisions_are_stated_and_not_asked_or_denied() {
    for statement in [
        "We agreed to skip the setup fee.",
        "we decided on the blue version of it",
        "Let's go with the annual plan.",
        "I'll take it with the extended warranty, so we have a deal.",
        "The budget has been approved by the board.",
    ] {
        fires(statement, |analysis| &analysis.decisions, true);
    }
    for statement in [
        "Have we agreed to skip the setup fee?",
        "We haven't decided on the blue version.",
        "The agreement has three pages.",
        "We agreed.",
    ] {
        fires(statement, |analysis| &analysis.decisions, false);
    }
}

#[test]
fn risks_are_said_and_not_denied() {
    for statement in [
        "The delivery is delayed again.",
        "I'm worried about the migration.",
        "It stopped working on Monday.",
        "The price is too expensive for our team.",
        "The server is not working.",
    ] {
        fires(statement, |analysis| &analysis.risks, true);
    }
    for statement in [
        "There is no risk for the customer.",
        "I'm not worried about the migration.",
        "The server works.",
        "No problem at all.",
    ] {
        fires(statement, |analysis| &analysis.risks, false);
    }
}

#[test]
fn opportunities_are_said_and_not_denied() {
    for statement in ["We are interested in the premium plan.", "We need twenty more seats next year."] {
        fires(statement, |analysis| &analysis.opportunities, true);
    }
    for statement in ["We are not interested in the premium plan.", "The seats are blue."] {
        fires(statement, |analysis| &analysis.opportunities, false);
    }
}

#[test]
fn more_phrases_make_a_finding_more_important_and_overlapping_ones_do_not() {
    let importance = |statement: &str| said(statement).risks[0].importance;
    assert_eq!(importance("The router is broken."), Some(Importance::Medium));
    assert_eq!(importance("The router is broken and the delivery is delayed."), Some(Importance::High));
    let decision = &said("We agreed to skip the setup fee.").decisions[0];
    assert_eq!(decision.importance, Some(Importance::Medium), "`we agreed` holds `agreed to`");
}
