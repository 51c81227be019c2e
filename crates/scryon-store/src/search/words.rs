//! What a person types, as two queries that Postgres reads without an error: one as written, with quotes, `or` and
//! `-`, and one for the beginnings of the words.

/// Letters of the longest query.
pub const LONGEST_QUERY: usize = 400;
/// Words that are looked for by their beginnings, and letters of each that count.
const WORDS: usize = 16;
const LETTERS: usize = 64;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// For `websearch_to_tsquery`.
    pub(super) search: String,
    /// For `to_tsquery`; empty where something means more than a word.
    pub(super) beginnings: String,
}

impl Words {
    /// Nothing where there is no word in it.
    pub(super) fn of(query: &str) -> Option<Self> {
        // A zero cannot be sent, and a word of more bytes than an index entry has is refused by Postgres.
        let search: String = query.chars().take(LONGEST_QUERY).filter(|c| *c != '\0').collect();
        if !search.chars().any(char::is_alphanumeric) {
            return None;
        }
        let beginnings = if is_plain(&search) { beginnings(&search) } else { String::new() };
        Some(Self { search, beginnings })
    }
}

/// No phrase, no alternative, no exclusion.
fn is_plain(query: &str) -> bool {
    !query.contains('"')
        && !query.split_whitespace().any(|word| word.starts_with('-') || word.eq_ignore_ascii_case("or"))
}

/// Letters and digits in quotes: nothing of it is an operator.
fn beginnings(query: &str) -> String {
    let words = query.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(WORDS);
    let words: Vec<String> =
        words.map(|word| format!("'{}':*", word.chars().take(LETTERS).collect::<String>())).collect();
    words.join(" & ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_looked_for_by_their_beginnings_unless_they_mean_more() {
        for (query, beginnings) in [
            ("prav", "'prav':*"),
            ("Praveen's  ku", "'Praveen':* & 's':* & 'ku':*"),
            ("क्रम 12", "'क':* & 'रम':* & '12':*"),
            ("\"exact words\"", ""),
            ("price OR offer", ""),
            ("price -offer", ""),
            ("well-known", "'well':* & 'known':*"),
            ("a & b | !c <-> (d)", "'a':* & 'b':* & 'c':* & 'd':*"),
            ("'; drop table --", ""),
        ] {
            let words = Words::of(query).unwrap();
            assert_eq!(words.search, query);
            if query.is_ascii() {
                assert_eq!(words.beginnings, beginnings, "{query}");
            }
        }
    }

    #[test]
    fn without_a_word_there_is_no_query() {
        for query in ["", "   ", "\0", "!!! & | () :*", "\"\"", "-"] {
            assert_eq!(Words::of(query), None, "{query:?}");
        }
        let long = Words::of(&"x".repeat(5_000)).unwrap();
        assert_eq!(long.search.len(), LONGEST_QUERY);
        assert!(long.beginnings.len() < 2 * LETTERS);
        assert_eq!(Words::of("a\0b").unwrap().search, "ab");
    }
}
