use scryon_domain::analysis::{CallType, Channel, ProviderHint};

use super::fixtures::{User, call};
use crate::lexicon::{GIVEN_NAMES, List, MONTHS, NAMES_THAT_ARE_WORDS, NUMBER_WORDS, VERBS, all_tables};
use crate::text::Document;

/// A phrase the tokeniser would never produce can never be found.
#[test]
fn every_phrase_is_written_as_the_tokeniser_writes() {
    for (list, label, phrases) in all_tables() {
        for phrase in *phrases {
            let transcript = call(&[(User, phrase)]);
            let document = Document::read(&transcript);
            let words: Vec<_> = (0..document.tokens.len()).map(|position| document.word(position)).collect();
            assert_eq!(words.join(" "), *phrase, "{list:?} {label}");
            assert!(document.has_hit(*list, 0..1), "{list:?}: {phrase}");
        }
    }
    for verb in VERBS {
        assert_eq!(verb.words, verb.words.to_lowercase());
        assert!(!verb.words.contains('\''), "{}", verb.words);
    }
}

#[test]
fn no_table_holds_an_entry_twice() {
    for (list, label, phrases) in all_tables() {
        let mut sorted = phrases.to_vec();
        sorted.sort_unstable();
        for pair in sorted.windows(2) {
            assert_ne!(pair[0], pair[1], "{list:?} {label}");
        }
    }
    let lists =
        [GIVEN_NAMES.to_vec(), NAMES_THAT_ARE_WORDS.to_vec(), VERBS.iter().map(|verb| verb.words).collect()];
    for mut list in lists {
        list.sort_unstable();
        for pair in list.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
    }
}

#[test]
fn labels_are_words_of_the_document() {
    for (list, label, _) in all_tables() {
        match list {
            List::CallType => assert!(CallType::parse(label).is_some(), "{label}"),
            List::Provider => {
                assert!(ProviderHint::parse(label).is_some() || Channel::parse(label).is_some(), "{label}");
            }
            List::Feeling => assert!(!label.is_empty()),
            _ => assert_eq!(*label, "", "{list:?}"),
        }
    }
}

#[test]
fn a_name_is_no_other_word_of_the_tables() {
    for name in GIVEN_NAMES {
        let is_word = crate::lexicon::flags(name);
        assert!(!is_word.intersects(crate::lexicon::Flags::STOP | crate::lexicon::Flags::NUMBER), "{name}");
        assert!(MONTHS.iter().all(|(month, _)| month != name), "{name}");
        assert!(NUMBER_WORDS.iter().all(|(number, _)| number != name), "{name}");
        assert!(!NAMES_THAT_ARE_WORDS.contains(name), "{name}");
    }
}
