//! Words of feeling and register.

use super::{List, Table};

/// Words the sentiment lexicon scores but which are only manners on the phone: left out before scoring.
pub(crate) const NEUTRAL_WORDS: &[&str] = &[
    "please", "okay", "ok", "yes", "yeah", "yep", "sure", "no", "well", "like", "help", "helps", "hello", "hi", "hey",
    "share", "want", "dear", "number", "certain", "certainly", "definitely", "matter", "matters", "alright", "right",
    "fine", "sir", "agree", "agreed", "interest", "interested", "free", "credit", "pay", "paid", "support", "clear",
    "clearly", "save", "admit", "hand", "drop", "cut", "share", "shares", "shared", "security", "secure", "number",
    "ready", "true", "truly", "sincerely", "kind", "questions", "question", "reach", "legal", "value", "the", "of", "a",
    "values", "accept", "accepted", "demand", "demands", "debt", "tank", "fire", "for", "to",
];

pub(super) const PHRASES: &[Table] = &[
    (
        List::Feeling,
        "appreciative",
        &["thank you so much", "thanks so much", "thanks a lot", "appreciate", "grateful", "thank you very much"],
    ),
    (
        List::Feeling,
        "frustrated",
        &["frustrated", "frustrating", "annoyed", "annoying", "fed up", "ridiculous", "sick of", "tired of"],
    ),
    (List::Feeling, "concerned", &["worried", "concerned", "afraid that", "nervous", "anxious"]),
    (List::Feeling, "relieved", &["relieved", "what a relief", "such a relief", "thank god", "thank goodness"]),
    (List::Feeling, "apologetic", &["apologize", "apologise", "apologies", "i am so sorry", "really sorry"]),
    (
        List::Feeling,
        "enthusiastic",
        &["excited", "looking forward", "can not wait to", "fantastic", "awesome", "amazing", "love it", "love that"],
    ),
    (List::Feeling, "confused", &["confused", "confusing", "i do not understand", "do not get it"]),
    (List::Feeling, "angry", &["angry", "furious", "outrageous", "unacceptable", "disgusted"]),
    (List::Feeling, "pleased", &["pleased", "delighted", "glad", "very happy", "so happy", "really happy"]),
    (List::Feeling, "disappointed", &["disappointed", "disappointing", "let down", "expected better"]),
    (
        List::Manners,
        "",
        &[
            "no problem", "no problems", "no worries", "not a problem", "problem solved", "no issue", "no issues",
            "is resolved", "any problem", "any problems", "any issues", "good morning", "good afternoon", "good evening",
            "good day", "good bye", "have a good", "have a nice", "have a great", "nice day", "great day", "all good",
            "thank you for calling", "thanks for calling", "problem is", "question is", "no doubt",
        ],
    ),
    (
        List::Formal,
        "",
        &[
            "sir", "madam", "may i", "kindly", "regarding", "pleasure", "would you", "could you", "appreciate",
            "assist", "apologize", "apologise", "certainly", "furthermore", "therefore", "on behalf of", "at your",
            "inform you", "i would like to", "mister", "good morning", "good afternoon", "good evening", "pleased to",
        ],
    ),
    (
        List::Informal,
        "",
        &[
            "hey", "yeah", "yep", "nope", "cool", "dude", "guys", "buddy", "bro", "awesome", "kinda", "sorta", "stuff",
            "no worries", "cheers", "what is up", "see ya", "you know", "oh my god", "man", "crap", "damn", "super",
            "totally", "gosh",
        ],
    ),
    (
        List::Intensifier,
        "",
        &[
            "really", "very", "so much", "totally", "absolutely", "extremely", "definitely", "amazing", "fantastic",
            "great", "excellent", "wow", "urgent", "immediately", "right now", "terrible", "awful", "love", "hate",
            "incredible", "exactly", "seriously",
        ],
    ),
    (
        List::Anger,
        "",
        &[
            "ridiculous", "unacceptable", "furious", "angry", "fed up", "sick of", "outrageous", "speak to your manager",
            "speak to a manager", "speak to your supervisor", "speak to a supervisor", "worst", "never again",
            "waste of time", "a joke", "liar", "sue you", "lawyer",
        ],
    ),
    (
        List::Care,
        "",
        &[
            "i understand", "i am sorry", "sorry to hear", "do not worry", "no problem", "happy to help", "glad to help",
            "let me help", "i can help", "take care", "i see how", "apologize", "apologise", "we will get this",
            "we will sort", "of course",
        ],
    ),
];
