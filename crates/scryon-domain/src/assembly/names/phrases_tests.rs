use super::super::PartyFacts;
use super::forms::{Names, tokenize};
use super::phrases::{Use, answers_the_phone, classify};

/// How the first name in the text is used, for a contact of this name.
fn used(contact: &str, text: &str) -> Use {
    let facts = PartyFacts {
        user_display_name: Some("Praveen".to_owned()),
        contact_name: Some(contact.to_owned()),
        ..PartyFacts::default()
    };
    let tokens = tokenize(text);
    let hits = Names::new(&facts).find(&tokens);
    let last = hits.last().expect("the text holds a name");
    classify(&tokens, last, &hits)
}

fn expect(wanted: Use, contact: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(used(contact, text), wanted, "{text}");
    }
}

#[test]
fn greetings() {
    expect(
        Use::Greeting,
        "Ravi",
        &[
            "hi Ravi",
            "Hello, Ravi.",
            "hey there ravi how are you",
            "Good morning Ravi!",
            "good evening dear Mr. Ravi",
            "yes hello ravi",
            "Namaste Ravi ji",
            "Hi Ravi, is everything okay?",
            "Hello? Ravi?",
            "hello is this ravi",
            "Hi, is that Ravi?",
            "okay so hi again ravi nice to hear you",
            "Hi Ravi, here is what I found",
        ],
    );
    expect(Use::Greeting, "Will", &["Hi Will, how are you", "hello will"]);
}

#[test]
fn introductions() {
    expect(
        Use::Introduction,
        "Ravi",
        &[
            "this is Ravi",
            "Hi, this is Ravi from the bank",
            "hello good morning this is ravi speaking",
            "yes this is ravi",
            "Hi Praveen this is Ravi",
            "How are you this is ravi",
            "Ravi speaking",
            "Hello, Ravi speaking.",
            "hi ravi here",
            "Ravi here, how are you?",
            "Ravi calling from the bank.",
            "Hello, Ravi calling from the bank.",
            "okay ravi calling from the bank",
            "Ravi speaking. I wanted to ask something",
            "My name is Ravi",
            "so yes my name is ravi and I wanted to ask",
            "my name is, um, Ravi",
            "My name's Ravi.",
            "I'm Ravi",
            "hello I am ravi from accounts",
            "it's Ravi",
            "Hi, it's Ravi again",
            "Myself Ravi",
            "ravi this side",
            "hello ravi bol raha hoon",
            "mera naam ravi hai",
            "this is ravi what's up",
            "This is Ravi, right on time.",
            "This is Ravi. Hello?",
        ],
    );
    expect(
        Use::Introduction,
        "Grace",
        &["my name is grace", "this is Grace from the bank", "Grace speaking", "hi grace here"],
    );
}

#[test]
fn names_that_may_be_the_speakers_own_prove_nothing() {
    expect(
        Use::Own,
        "Ravi",
        &[
            // Not certain to be an introduction.
            "I think this is Ravi",
            "he said my name is ravi",
            "this is Ravi?",
            "This is Ravi, right?",
            "is that Ravi speaking?",
            "Ravi speaking?",
            "is ravi here",
            "This is Ravi Sharma's office",
            "this is ravi who I told you about",
            "it's Ravi's brother it's ravi who called",
            "hi ravi calling from the bank",
            "hi ravi from accounts",
            "hello ravi here is the invoice",
            "and this is Ravi",
            "Oh, this is Ravi!",
            "so this is ravi",
            "He said, this is Ravi.",
            "he said hi Ravi",
            "tell him Ravi called",
            // Origins.
            "I am calling from Ravi",
            "thank you for calling the Ravi",
            "welcome to Ravi",
            "I'm with Ravi",
            "on behalf of Ravi",
            "you can call me Ravi",
            // A bare answer.
            "Ravi",
            "Ravi.",
            "Yes, Ravi.",
            "Hello. Ravi.",
            // Other languages.
            "main ravi bol raha tha",
            "je suis Ravi",
            "hier ist Ravi",
            "me llamo Ravi",
        ],
    );
    expect(Use::Own, "Grace", &["this is grace", "I am grace itself", "say hello grace"]);
}

#[test]
fn mentions() {
    expect(
        Use::Mention,
        "Ravi",
        &[
            "Ravi?",
            "okay Ravi, thanks",
            "thanks Ravi.",
            "can I speak with Ravi please",
            "is Ravi there",
            "I told Ravi about it",
            "say hi to Ravi",
            "hey Ravi told me everything",
            "hi everyone and then Ravi came",
            "bye Ravi",
            "this morning Ravi brought it",
            "morning Ravi",
            "what a good friend Ravi is",
        ],
    );
}

#[test]
fn an_everyday_word_is_a_name_only_where_people_are_addressed() {
    expect(Use::Nothing, "Will", &["will you call", "I will", "hi will you be there", "we will see"]);
}

#[test]
fn answering_phrases() {
    for text in [
        "Thank you for calling Acme, how can I help you?",
        "thanks for calling",
        "How may I assist you today",
        "hello who is this",
        "Hello? Who's this?",
        "yes, who is calling please",
        "You have reached the office of",
        "sorry who is on the line",
    ] {
        assert!(answers_the_phone(&tokenize(text)), "{text}");
    }
    for text in [
        "thank you for the call",
        "who is this guy",
        "who am I speaking with",
        "I wonder who is calling him all day",
        "how can I reach you",
        "who is speaking tomorrow",
        "hello",
        "calling, thank you for",
        "how. can I help",
        "",
    ] {
        assert!(!answers_the_phone(&tokenize(text)), "{text}");
    }
}
