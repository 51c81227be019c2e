use crate::analysis::{ActionIntent, CallType, Formality, Polarity, Priority};

#[test]
fn a_word_is_read_whatever_its_case_and_separators() {
    for text in ["semi-formal", "Semi-Formal", " SEMI_FORMAL ", "semi  formal"] {
        assert_eq!(Formality::parse(text), Some(Formality::SemiFormal), "{text:?}");
    }
    for text in ["", "semiformal", "semi", "semi-formal!"] {
        assert_eq!(Formality::parse(text), None, "{text:?}");
    }
}

#[test]
fn every_word_is_written_as_it_is_read() {
    for word in CallType::ALL {
        assert_eq!(CallType::parse(word.as_str()), Some(*word));
        assert_eq!(serde_json::to_value(word).unwrap(), word.to_string());
    }
    for word in ActionIntent::ALL {
        assert_eq!(ActionIntent::parse(word.as_str()), Some(*word));
    }
    for word in Polarity::ALL {
        assert_eq!(Polarity::parse(word.as_str()), Some(*word));
    }
}

#[test]
fn priorities_of_rows_are_upper_case() {
    let words: Vec<_> = Priority::ALL.iter().map(|priority| priority.as_upper()).collect();
    assert_eq!(words, ["LOW", "MEDIUM", "HIGH"]);
    for priority in Priority::ALL {
        assert_eq!(priority.as_upper().to_lowercase(), priority.as_str());
    }
}
