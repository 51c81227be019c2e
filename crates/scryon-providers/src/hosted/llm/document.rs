//! From a model's text to a document of schemaVersion 3.

use scryon_domain::analysis::ANALYSIS_SCHEMA_VERSION;
use scryon_domain::transcript::{Speaker, Transcript};
use serde_json::{Map, Value, json};

use super::schema::drop_absent;
use crate::schema::{analysis_problems, first_problem};

/// Segments in the middle of the call were not shown to the model.
const TRUNCATED: &str = "transcript_truncated";
/// What assembly says of a transcript, and what it means for its analysis.
const CARRIED_OVER: &[(&str, &str)] = &[
    ("draft_quality_engine", "draft_quality_transcript"),
    ("single_speaker_fallback", "single_speaker_fallback"),
];

/// Parts were left out that break the schema.
const PARTS_DROPPED: &str = "analysis_parts_dropped";
/// Most parts that are left out of an answer; one with more is no answer.
const MOST_DROPPED: usize = 50;

/// The document, or what is wrong with it.
pub(super) fn document(text: &str, transcript: &Transcript, truncated: bool) -> Result<Value, Vec<String>> {
    let document = whole(text, transcript, truncated)?;
    let problems = analysis_problems(&document);
    if problems.is_empty() { Ok(document) } else { Err(problems) }
}

/// The document without the parts that break the schema: a due date that is no date costs its task the date, not
/// the call its analysis. For an answer that was asked for twice already.
pub(super) fn mended(text: &str, transcript: &Transcript, truncated: bool) -> Result<Value, Vec<String>> {
    let mut document = whole(text, transcript, truncated)?;
    for dropped in 0..MOST_DROPPED {
        let Some(path) = first_problem(&document) else {
            if let (true, Some(warnings)) = (dropped > 0, document["qualityWarnings"].as_array_mut()) {
                warnings.push(PARTS_DROPPED.into());
            }
            return Ok(document);
        };
        if !leave_out(&mut document, &path) {
            break;
        }
    }
    Err(analysis_problems(&document))
}

/// Leaves out what a pointer leads to: null in its place where that helps, else without the property, else without
/// the item of a list that has it. False where none of it mends this place.
fn leave_out(document: &mut Value, path: &str) -> bool {
    let mends = |document: &Value| first_problem(document).is_none_or(|next| next != path);
    let before = document.clone();
    if let Some(place) = document.pointer_mut(path)
        && !place.is_null()
    {
        *place = Value::Null;
        if mends(document) {
            return true;
        }
    }
    let mut path = path;
    while let Some((parent, key)) = path.rsplit_once('/') {
        document.clone_from(&before);
        let removed = match document.pointer_mut(parent) {
            Some(Value::Object(fields)) => fields.remove(key).is_some(),
            Some(Value::Array(items)) => key
                .parse()
                .ok()
                .filter(|index: &usize| *index < items.len())
                .map(|i| items.remove(i))
                .is_some(),
            _ => false,
        };
        // What stood behind a removed item has moved into its place: there, another problem is another one.
        if removed && (mends(document) || document.pointer(parent).is_some_and(Value::is_array)) {
            return true;
        }
        path = parent;
    }
    document.clone_from(&before);
    false
}

/// The document of an answer as it is, with what the model is not asked for.
fn whole(text: &str, transcript: &Transcript, truncated: bool) -> Result<Value, Vec<String>> {
    let Some(Value::Object(fields)) = parse(text) else {
        return Err(vec!["it is not one JSON object".to_owned()]);
    };
    let mut document = Value::Object(fields);
    drop_absent(&mut document);
    if let Value::Object(fields) = &mut document {
        fields.insert("schemaVersion".to_owned(), ANALYSIS_SCHEMA_VERSION.into());
        fields.insert("qualityWarnings".to_owned(), warnings(transcript, truncated));
        each(fields, "actionItems", |item, _| own(item, transcript));
        each(fields, "nextSteps", |step, _| label(step, transcript));
        each(fields, "sections", |section, index| {
            section.insert("id".to_owned(), format!("sec_{:03}", index + 1).into());
        });
    }
    Ok(document)
}

/// The document of a call in which nobody spoke: there is nothing to ask a model.
pub(super) fn without_speech() -> Value {
    const NOTHING: &str = "Nothing was said.";
    json!({
        "schemaVersion": ANALYSIS_SCHEMA_VERSION,
        "callType": "unknown",
        "oneLineSummary": NOTHING,
        "executiveSummary": NOTHING,
        "executiveSummaryBullets": [],
        "actionItems": [],
        "nextSteps": [],
        "sentiment": {"overall": "unclear", "score": null},
        "tags": [],
        "qualityWarnings": ["no_speech"]
    })
}

/// The text as JSON, with or without a Markdown fence or words around it.
fn parse(text: &str) -> Option<Value> {
    let text = text.trim();
    let inside = || text.get(text.find('{')?..=text.rfind('}')?);
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(inside()?).ok())
}

fn warnings(transcript: &Transcript, truncated: bool) -> Value {
    let carried = CARRIED_OVER
        .iter()
        .filter(|(code, _)| transcript.pipeline.quality_warnings.iter().any(|other| other == code))
        .map(|(_, code)| *code);
    truncated.then_some(TRUNCATED).into_iter().chain(carried).collect()
}

fn each(fields: &mut Map<String, Value>, list: &str, change: impl Fn(&mut Map<String, Value>, usize)) {
    let items = fields.get_mut(list).and_then(Value::as_array_mut);
    for (index, item) in items.into_iter().flatten().enumerate() {
        if let Value::Object(item) = item {
            change(item, index);
        }
    }
}

fn speaker<'a>(id: Option<&Value>, transcript: &'a Transcript) -> Option<&'a Speaker> {
    let id = id?.as_str()?.trim();
    transcript.speakers.iter().find(|speaker| speaker.speaker_id == id)
}

/// The owner of a task as the transcript has them. The model knows ids only; one that is not in the
/// transcript is nobody.
fn own(item: &mut Map<String, Value>, transcript: &Transcript) {
    let owner = speaker(item.get("ownerSpeakerId"), transcript);
    let texts = [
        ("ownerSpeakerId", owner.map(|o| o.speaker_id.clone())),
        ("ownerSpeaker", owner.map(|o| o.label.clone())),
        ("ownerSpeakerLabel", owner.map(|o| o.label.clone())),
        ("ownerDisplayName", owner.and_then(|o| o.display_name.clone())),
    ];
    for (key, text) in texts {
        item.insert(key.to_owned(), text.map_or(Value::Null, Value::String));
    }
    item.insert("ownerRole".to_owned(), owner.map_or(Value::Null, |o| json!(o.role)));
}

/// The label of the speaker whose id the model wrote.
fn label(step: &mut Map<String, Value>, transcript: &Transcript) {
    let owner = speaker(step.get("ownerSpeaker"), transcript);
    step.insert("ownerSpeaker".to_owned(), owner.map_or(Value::Null, |o| o.label.clone().into()));
}

#[cfg(test)]
mod tests {
    use scryon_domain::analysis::Analysis;

    use super::*;
    use crate::hosted::testing::{model_document, transcript};

    #[test]
    fn an_answer_becomes_a_document() {
        let call = transcript(&["hello", "I will send it on Friday"]);
        let found = document(&model_document().to_string(), &call, false).unwrap();
        assert_eq!(found["schemaVersion"], 3);
        assert_eq!(found["qualityWarnings"], json!([]));
        let task = &found["actionItems"][0];
        assert_eq!(task["ownerSpeakerId"], "spk_2");
        assert_eq!(task["ownerSpeaker"], "Label 2");
        assert_eq!(task["ownerSpeakerLabel"], "Label 2");
        assert_eq!(task["ownerRole"], "CONTACT");
        assert_eq!(task["dueDate"], Value::Null);
        assert_eq!(found["nextSteps"][0]["ownerSpeaker"], "Label 1");
        assert_eq!(found["sections"][0]["id"], "sec_001");
        assert!(found["executiveSummaryBullets"][0].get("startTimestamp").is_none());
        let analysis: Analysis = serde_json::from_value(found).unwrap();
        assert_eq!(analysis.action_items.len(), 1);
    }

    #[test]
    fn fences_and_words_around_it_are_stripped() {
        let call = transcript(&["hello", "hi"]);
        let plain = model_document().to_string();
        for text in [
            format!("```json\n{plain}\n```"),
            format!("```\n{plain}```"),
            format!("Here it is:\n{plain}\nDone."),
            format!("\n {plain} \n"),
        ] {
            assert!(document(&text, &call, false).is_ok(), "{text}");
        }
        for text in ["", "```json```", "no", "[1]", "{\"a\":", "}{"] {
            assert_eq!(document(text, &call, false).unwrap_err(), ["it is not one JSON object"], "{text}");
        }
    }

    #[test]
    fn what_breaks_the_schema_is_told_without_its_words() {
        let call = transcript(&["hello"]);
        let mut answer = model_document();
        answer["actionItems"][0]["dueDate"] = json!("planted");
        answer["callType"] = json!("planted");
        let problems = document(&answer.to_string(), &call, false).unwrap_err();
        assert!(problems.iter().any(|p| p.starts_with("/actionItems/0/dueDate")), "{problems:?}");
        assert!(problems.iter().any(|p| p.starts_with("/callType")), "{problems:?}");
        assert!(!problems.iter().any(|p| p.contains("planted")), "{problems:?}");
    }

    #[test]
    fn an_owner_the_call_does_not_have_is_nobody() {
        let mut answer = model_document();
        answer["actionItems"][0]["ownerSpeakerId"] = json!("Peter");
        answer["nextSteps"][0]["ownerSpeaker"] = json!("spk_9");
        let found = document(&answer.to_string(), &transcript(&["hello"]), false).unwrap();
        assert_eq!(found["actionItems"][0]["ownerSpeakerId"], Value::Null);
        assert_eq!(found["actionItems"][0]["ownerRole"], Value::Null);
        assert_eq!(found["nextSteps"][0]["ownerSpeaker"], Value::Null);
    }

    #[test]
    fn warnings_are_ours_and_not_the_models() {
        let mut call = transcript(&["hello"]);
        call.pipeline.quality_warnings = vec!["draft_quality_engine".to_owned(), "no_word_times".to_owned()];
        let mut answer = model_document();
        answer["qualityWarnings"] = json!(["made up"]);
        answer["schemaVersion"] = json!(9);
        let found = document(&answer.to_string(), &call, true).unwrap();
        assert_eq!(found["qualityWarnings"], json!(["transcript_truncated", "draft_quality_transcript"]));
        assert_eq!(found["schemaVersion"], 3);
    }

    #[test]
    fn parts_that_break_the_schema_are_left_out_and_the_rest_serves() {
        let call = transcript(&["hello", "I will send it on Friday"]);
        let mut answer = model_document();
        answer["actionItems"][0]["dueDate"] = json!("next Friday");
        answer["executiveSummaryBullets"][0]["startTimestamp"] = json!("at the beginning");
        answer["decisions"] = json!([{"text": ""}, {"text": "", "sourceSegmentIds": []},
            {"text": "It is sent.", "sourceSegmentIds": []}]);
        answer["tone"] = json!("friendly");
        let text = answer.to_string();
        assert!(document(&text, &call, false).is_err());
        let found = mended(&text, &call, false).unwrap();
        assert_eq!(found["actionItems"][0]["title"], "Send the package");
        assert_eq!(found["actionItems"][0]["dueDate"], Value::Null);
        assert_eq!(found["executiveSummaryBullets"][0]["header"], "Package");
        assert_eq!(found["decisions"].as_array().unwrap().len(), 1);
        assert_eq!(found["qualityWarnings"], json!(["analysis_parts_dropped"]));
        assert!(analysis_problems(&found).is_empty());
        // Nothing is left out of what is right.
        let right = model_document().to_string();
        assert_eq!(mended(&right, &call, false), document(&right, &call, false));
        // What must be there cannot be left out, and too much cannot either.
        let mut answer = model_document();
        answer["executiveSummary"] = json!(7);
        assert!(mended(&answer.to_string(), &call, false).is_err());
        assert!(mended("no", &call, false).is_err());
    }

    #[test]
    fn silence_has_a_valid_document() {
        assert!(analysis_problems(&without_speech()).is_empty());
    }
}
