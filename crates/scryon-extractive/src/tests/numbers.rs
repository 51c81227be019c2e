use scryon_domain::analysis::AmountKind::{self, Money, Number, Percent};

use super::fixtures::{User, call};
use super::said;
use crate::mentions::number_at;
use crate::text::Document;

/// Value and number of words of the number a text begins with.
fn number(text: &str) -> Option<(f64, usize)> {
    let transcript = call(&[(User, text)]);
    let document = Document::read(&transcript);
    number_at(&document, 0, document.tokens.len()).map(|number| (number.value, number.end))
}

#[test]
fn numbers_in_digits_and_words_have_one_value() {
    let cases = [
        ("zero", 0.0, 1),
        ("seven", 7.0, 1),
        ("nineteen", 19.0, 1),
        ("twenty", 20.0, 1),
        ("twenty one", 21.0, 2),
        ("twenty-one", 21.0, 2),
        ("a hundred", 100.0, 2),
        ("three hundred and twenty", 320.0, 4),
        ("three hundred twenty five", 325.0, 4),
        ("two thousand five hundred", 2_500.0, 4),
        ("two thousand and six", 2_006.0, 4),
        ("a million", 1_000_000.0, 2),
        ("one million two hundred thousand", 1_200_000.0, 5),
        ("three point five", 3.5, 3),
        ("three point two five", 3.25, 4),
        ("5 thousand", 5_000.0, 2),
        ("2.5 million", 2_500_000.0, 2),
        ("1,200.50", 1_200.5, 1),
        ("20k", 20_000.0, 1),
        ("15th", 15.0, 1),
        ("$99/seat", 99.0, 1),
        // Two numbers one after the other are two numbers.
        ("twenty twenty", 20.0, 1),
        ("two three four", 2.0, 1),
        ("five thousand six million", 5_000.0, 2),
        ("one hundred hundred", 100.0, 2),
    ];
    for (text, value, words) in cases {
        assert_eq!(number(text), Some((value, words)), "{text}");
    }
}

#[test]
fn what_is_no_number_has_no_value() {
    for text in [
        "",
        "a",
        "a dog",
        "and",
        "point five",
        "2026-03-15",
        "3:30",
        "555-0134",
        "w2x",
        "$",
        "1.2.3",
        "hundred",
    ] {
        assert_eq!(number(text), None, "{text}");
    }
}

/// Text, kind, value and unit of every amount in a statement.
fn amounts(text: &str) -> Vec<(String, AmountKind, f64, Option<String>)> {
    let amounts = said(text).numbers_and_amounts.into_iter();
    amounts.map(|a| (a.text, a.kind.expect("a kind"), a.value.expect("a value"), a.unit)).collect()
}

#[test]
fn money_percentages_and_counted_things_are_listed() {
    let cases = [
        ("It costs $99/seat.", "$99/seat", Money, 99.0, "USD"),
        ("It costs €1,200 plus tax.", "€1,200", Money, 1_200.0, "EUR"),
        ("that is ninety nine dollars per month", "ninety nine dollars", Money, 99.0, "USD"),
        ("it was twelve dollars and fifty cents", "twelve dollars and fifty cents", Money, 12.5, "USD"),
        ("about two thousand euros", "two thousand euros", Money, 2_000.0, "EUR"),
        ("a discount of 10%", "10%", Percent, 10.0, "%"),
        ("a discount of ten percent", "ten percent", Percent, 10.0, "%"),
        ("a discount of ten per cent", "ten per cent", Percent, 10.0, "%"),
        ("we have forty users", "forty users", Number, 40.0, "users"),
    ];
    for (statement, text, kind, value, unit) in cases {
        assert_eq!(
            amounts(statement),
            [(text.to_owned(), kind, value, Some(unit.to_owned()))],
            "{statement}"
        );
    }
    assert_eq!(amounts("The order is 48213."), [("48213".to_owned(), Number, 48_213.0, None)]);
}

#[test]
fn numbers_that_say_nothing_and_parts_of_dates_and_times_are_not_amounts() {
    for statement in [
        "I have one question and two ideas.",
        "Let's meet on March 15, 2026 at 3 pm.",
        "in three days",
        "It was in 2019.",
        "the first and second version",
        "call me at five five five oh one three four",
    ] {
        assert_eq!(amounts(statement), [], "{statement}");
    }
}

#[test]
fn an_amount_named_twice_is_listed_once_with_both_places() {
    use super::fixtures::{Contact, recorded};
    let lines = [(User, "It costs 99 dollars."), (Contact, "So $99?"), (User, "Ninety nine dollars, yes.")];
    let analysis = crate::analyse(&call(&lines), &recorded());
    let [amount] = analysis.numbers_and_amounts.as_slice() else { panic!("one amount") };
    assert_eq!(amount.source_segment_ids, ["seg_0001", "seg_0002", "seg_0003"]);
}
