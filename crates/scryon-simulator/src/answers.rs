//! Answers derived from the request, so that a test sees the right call's words.

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::json;

const SEGMENTS: usize = 60;

/// Sixty segments of two speakers. The first word of the first is a word made from the input's hash.
pub(crate) fn segments(input: &[u8]) -> String {
    static REST: LazyLock<String> = LazyLock::new(|| {
        let mut rest = String::new();
        for n in 1..SEGMENTS {
            let (start, end) = (n as f64 * 2.0, n as f64 * 2.0 + 1.9);
            let _infallible = write!(
                rest,
                ",{{\"id\":{n},\"start\":{start:.1},\"end\":{end:.1},\"text\":\"this is segment number {n} of the call\",\"speaker\":\"SPEAKER_0{}\"}}",
                n % 2
            );
        }
        rest
    });
    let duration = SEGMENTS as f64 * 2.0;
    format!(
        "{{\"text\":\"x\",\"duration\":{duration:.1},\"segments\":[{{\"id\":0,\"start\":0.0,\"end\":1.9,\"text\":\"{} is the word of this call\",\"speaker\":\"SPEAKER_00\"}}{}]}}",
        word_of(input),
        *REST
    )
}

/// A word for an input: letters only, the same for the same input.
pub(crate) fn word_of(input: &[u8]) -> String {
    let letters = input.iter().take(8).map(|b| char::from(b'a' + b % 26));
    let word: String = letters.collect();
    if word.is_empty() { "nothing".to_owned() } else { word }
}

/// A document of schemaVersion 3 with three action items.
pub(crate) fn analysis(_input: &[u8]) -> String {
    static ANSWER: LazyLock<String> = LazyLock::new(|| {
        let item = |n: usize, title: &str| {
            json!({
                "title": title, "description": "Found by the fake provider.", "ownerSpeaker": null,
                "ownerSpeakerId": format!("spk_{}", n % 2 + 1), "ownerSpeakerLabel": null, "ownerDisplayName": null,
                "ownerRole": null, "dueDate": null, "priority": "medium",
                "sourceSegmentIds": [format!("seg_{:04}", n + 1)], "intent": "task", "intentMetadata": {"title": title},
            })
        };
        let document = json!({
            "schemaVersion": 3,
            "callType": "support",
            "suggestedTitle": "A call of the fake provider",
            "oneLineSummary": "Sixty numbered segments were read out.",
            "executiveSummary": "Two speakers read sixty numbered segments to each other.",
            "executiveSummaryBullets": [
                {"header": "Reading", "startTimestamp": "00:00", "paragraphs": ["The segments were read in order."]}],
            "conversationOutcome": "All segments were read.",
            "sections": [], "keyDiscussionPoints": [],
            "actionItems": [item(0, "Check the first segment"), item(1, "Check the second segment"), item(2, "Check the third segment")],
            "followUps": [], "nextSteps": [], "importantDates": [], "decisions": [], "commitments": [], "openQuestions": [],
            "risks": [], "opportunities": [], "peopleMentioned": [], "numbersAndAmounts": [],
            "sentiment": {"overall": "neutral", "score": 0.0, "reason": "Numbers have no mood.", "progression": [], "emotionalSignals": []},
            "tone": {"overall": "informational", "descriptors": ["even"], "formality": "formal", "energy": "low", "pace": "normal"},
            "tags": ["segments"], "qualityWarnings": [],
        });
        json!({"analysis": document, "segments": []}).to_string()
    });
    ANSWER.clone()
}
