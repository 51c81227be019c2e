use super::fixtures::{Contact, User, call, recorded};
use crate::mentions::Mentions;
use crate::text::Document;

fn mentions(text: &str) -> Mentions {
    let transcript = call(&[(Contact, text), (User, "Right.")]);
    let document = Document::read(&transcript);
    Mentions::find(&document, &recorded())
}

fn emails(text: &str) -> Vec<String> {
    mentions(text).emails.into_iter().map(|contact| contact.text).collect()
}

fn phones(text: &str) -> Vec<String> {
    mentions(text).phones.into_iter().map(|contact| contact.text).collect()
}

#[test]
fn addresses_are_found_written_and_spoken() {
    let cases = [
        ("Send it to Maria.Lopez@Example.com.", "maria.lopez@example.com"),
        ("my email is j_doe+calls@mail.example.co.uk, thanks", "j_doe+calls@mail.example.co.uk"),
        ("send it to maria at example dot com please", "maria@example.com"),
        ("email maria dot lopez at example dot com", "maria.lopez@example.com"),
        (
            "my address is maria underscore lopez at mail dot example dot co dot uk",
            "maria_lopez@mail.example.co.uk",
        ),
        ("it is info at example dot org", "info@example.org"),
    ];
    for (statement, address) in cases {
        assert_eq!(emails(statement), [address], "{statement}");
    }
}

#[test]
fn half_an_address_is_none() {
    for statement in [
        // Whether `tom` belongs to it nobody knows, and baker@example.com is somebody else.
        "email it to tom baker at example dot com",
        "meet me at example dot com",
        "at home",
        "maria at example",
        "maria at example dot banana",
        "maria at dot com",
        "at example dot com",
        "a@b",
        "@handle",
        "two@@signs.com",
        "x@y..com@z",
        "dot at dot dot",
    ] {
        assert_eq!(emails(statement), Vec::<String>::new(), "{statement}");
    }
    // The tokeniser reads 48 characters of a word; these end in `@example.com`, and the address does not.
    let long = format!("{}@example.company", "a".repeat(36));
    assert_eq!(emails(&long), Vec::<String>::new(), "the end of it is cut off");
    let short = format!("{}@example.com", "a".repeat(35));
    assert_eq!(emails(&short), [short]);
}

#[test]
fn telephone_numbers_are_found_written_and_spoken() {
    let cases = [
        ("my number is five five five oh one three four", "5550134"),
        ("call me at 555-010-4477", "5550104477"),
        ("you can reach me at +49 170 5550134", "+491705550134"),
        ("my cell is (555) 010 4477", "5550104477"),
        ("my phone number is double five five oh one triple four", "55501444"),
    ];
    for (statement, number) in cases {
        assert_eq!(phones(statement), [number], "{statement}");
    }
}

#[test]
fn other_long_numbers_are_not_telephone_numbers() {
    for statement in [
        "the order number is 48213377",
        "ticket five five five oh one three four",
        "we sold 12345678 of them",
        "call me at five five five",
        "on 2026-05-20",
        "my number is 12345678901234567890",
    ] {
        assert_eq!(phones(statement), Vec::<String>::new(), "{statement}");
    }
}
