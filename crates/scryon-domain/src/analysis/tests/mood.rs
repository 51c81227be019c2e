use serde_json::json;

use super::{full_document, read};
use crate::analysis::{Energy, Formality, Pace, Polarity, SentimentSummary};

#[test]
fn the_row_holds_what_trend_queries_count() {
    assert_eq!(
        SentimentSummary::of(&read(full_document())),
        SentimentSummary {
            sentiment_overall: Some(Polarity::Mixed),
            user_sentiment: Some(Polarity::Neutral),
            contact_sentiment: Some(Polarity::Negative),
            tone_overall: Some("professional".to_owned()),
            tone_formality: Some(Formality::SemiFormal),
            tone_energy: Some(Energy::Medium),
            tone_pace: Some(Pace::Normal),
        }
    );
}

#[test]
fn what_a_document_does_not_say_stays_out_of_the_trend() {
    assert_eq!(SentimentSummary::of(&read(json!({}))), SentimentSummary::default());
    let flat = read(json!({"schemaVersion": 1, "sentiment": {"overall": "positive", "reason": "Cheerful."}}));
    let expected =
        SentimentSummary { sentiment_overall: Some(Polarity::Positive), ..SentimentSummary::default() };
    assert_eq!(SentimentSummary::of(&flat), expected);
}
