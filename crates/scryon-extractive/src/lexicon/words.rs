//! Single words and what they are.

use super::Flags;

pub(super) const FLAGGED: &[(&[&str], Flags)] = &[
    (STOP, Flags::STOP),
    (FILLERS, Flags::FILLER),
    (&["not", "never", "no", "nothing", "none", "neither", "nor", "without", "hardly"], Flags::NEGATION),
    (
        &[
            "that", "which", "what", "if", "when", "where", "who", "because", "whether", "how", "while", "until",
            "unless", "the", "a", "my", "your", "to",
        ],
        Flags::SUBORDINATOR,
    ),
    (
        &[
            "so", "okay", "but", "and", "then", "well", "also", "because", "yeah", "yes", "anyway", "now", "alright",
            "thanks", "actually",
        ],
        Flags::CONNECTIVE,
    ),
    (
        &[
            "but", "because", "so", "okay", "alright", "thanks", "thank", "yeah", "yes", "if", "unless", "while",
            "sorry", "please", "whether", "anyway", "bye",
        ],
        Flags::CLAUSE_BREAK,
    ),
    (
        &["what", "when", "where", "who", "why", "how", "which", "whose"],
        Flags::INTERROGATIVE,
    ),
    (
        &[
            "is", "are", "was", "were", "do", "does", "did", "can", "could", "will", "would", "should", "shall",
            "have", "has", "had", "may", "am",
        ],
        Flags::AUXILIARY,
    ),
    (
        &[
            "i", "you", "we", "he", "she", "it", "they", "that", "this", "there", "these", "those", "someone",
            "anyone", "everyone",
        ],
        Flags::PRONOUN,
    ),
    (GENERIC, Flags::GENERIC),
    (
        &["yesterday", "was", "were", "ago", "last", "since", "did", "had", "happened", "received", "charged", "paid"],
        Flags::PAST,
    ),
];

const FILLERS: &[&str] = &["um", "uh", "erm", "hmm", "mhm", "ah", "oh", "eh", "huh", "mm", "uhm", "er"];

const STOP: &[&str] = &[
    "a", "about", "above", "after", "again", "all", "already", "alright", "also", "although", "always", "am", "an",
    "and", "another", "any", "anybody", "anyone", "anything", "anyway", "are", "around", "as", "at", "away", "back",
    "be", "because", "been", "before", "being", "below", "best", "better", "between", "both", "but", "by", "bye",
    "came", "can", "come", "could", "did", "do", "does", "doing", "done", "down", "during", "each", "either", "else",
    "enough", "even", "ever", "every", "everybody", "everyone", "everything", "exactly", "few", "fine", "first",
    "for", "from", "further", "gave", "get", "gets", "getting", "give", "go", "goes", "going", "gone", "good",
    "goodbye", "got", "great", "had", "has", "have", "having", "he", "hello", "her", "here", "hers", "hey", "hi",
    "him", "his", "how", "however", "i", "if", "in", "indeed", "into", "is", "it", "its", "itself", "just", "keep",
    "kind", "knew", "know", "known", "last", "later", "least", "less", "let", "like", "little", "long", "look",
    "looking", "looks", "lot", "made", "make", "makes", "making", "many", "may", "maybe", "me", "mean", "means",
    "might", "mine", "more", "most", "much", "must", "my", "myself", "need", "needs", "never", "new", "next", "no",
    "nobody", "none", "nor", "not", "nothing", "now", "of", "off", "often", "okay", "old", "on", "once", "one",
    "only", "onto", "or", "other", "others", "our", "ours", "out", "over", "own", "perhaps", "please", "pretty",
    "probably", "put", "quite", "rather", "real", "really", "right", "said", "same", "saw", "say", "saying", "says",
    "see", "seem", "seems", "seen", "shall", "she", "should", "since", "so", "some", "somebody", "someone",
    "something", "sometimes", "somewhere", "soon", "sorry", "sort", "still", "such", "sure", "take", "taken", "takes",
    "taking", "talk", "talking", "tell", "than", "thank", "thanks", "that", "the", "their", "theirs", "them",
    "themselves", "then", "there", "these", "they", "thing", "things", "think", "thinking", "this", "those",
    "though", "thought", "through", "till", "to", "today", "together", "told", "tomorrow", "tonight", "too", "took",
    "toward", "tried", "try", "trying", "under", "until", "up", "upon", "us", "use", "used", "using", "usually",
    "very", "want", "wanted", "wants", "was", "way", "we", "welcome", "well", "went", "were", "what", "whatever",
    "when", "where", "whether", "which", "while", "who", "whole", "whom", "whose", "why", "will", "with", "within",
    "without", "wonder", "wondering", "would", "yeah", "yep", "yes", "yesterday", "yet", "you", "your", "yours",
    "yourself",
];

/// Frequent in any call and therefore no tag of this one.
const GENERIC: &[&str] = &[
    "able", "afternoon", "answer", "anymore", "bit", "calling", "call", "calls", "cause", "check", "couple", "course",
    "day", "days", "email", "evening", "fact", "feel", "felt", "find", "found", "friday", "full", "guess", "guy",
    "guys", "half", "happen", "happened", "happens", "hear", "heard", "help", "hold", "hope", "hour", "hours", "idea",
    "kinda", "leave", "left", "line", "listen", "live", "matter", "minute", "minutes", "moment", "monday", "month",
    "months", "morning", "move", "name", "night", "noon", "number", "part", "people", "person", "phone", "place",
    "point", "problem", "question", "questions", "quick", "ready", "reason", "run", "saturday", "second", "seconds",
    "send", "set", "side", "speak", "speaking", "start", "started", "stuff", "sunday", "super", "supposed", "test",
    "thursday", "time", "times", "true", "tuesday", "turn", "understand", "wait", "watch", "wednesday", "week",
    "weekend", "weeks", "won", "word", "words", "work", "works", "working", "worry", "write", "wrong", "year", "years",
    "yours", "absolutely", "actually", "appreciate", "basically", "certainly", "definitely", "different", "easy",
    "especially", "happy", "honestly", "important", "literally", "mister", "nice", "obviously", "perfect",
    "possible", "sounds", "totally", "bring", "called", "ask", "asked", "asking", "happening", "sir", "madam", "ahead",
    "fair", "mind", "glad", "hang", "sent", "sending", "whenever", "wherever", "end", "ones", "type", "case",
];

/// What plain numbers count in calls.
pub(crate) const COUNTED_THINGS: &[&str] = &[
    "accounts", "apartments", "boxes", "branches", "candidates", "cases", "clients", "computers", "contracts",
    "copies", "customers", "days", "degrees", "desks", "developers", "devices", "doses", "employees", "engineers",
    "gigabytes", "guests", "hours", "invoices", "items", "kilometers", "kilos", "laptops", "licenses", "machines",
    "meetings", "megabytes", "meters", "miles", "milligrams", "minutes", "months", "offices", "orders", "packages",
    "pages", "pallets", "people", "phones", "pieces", "points", "pounds", "printers", "projects", "rooms", "screens",
    "seats", "servers", "sessions", "shares", "sites", "stores", "students", "systems", "tables", "teams", "tickets",
    "tons", "transactions", "units", "users", "vehicles", "visits", "weeks", "workers", "years",
];

/// Currency words and signs with their ISO code. `pounds` is weight as often as money and is not here.
pub(crate) const CURRENCIES: &[(&str, &str)] = &[
    ("$", "USD"),
    ("dollar", "USD"),
    ("dollars", "USD"),
    ("bucks", "USD"),
    ("usd", "USD"),
    ("€", "EUR"),
    ("euro", "EUR"),
    ("euros", "EUR"),
    ("eur", "EUR"),
    ("£", "GBP"),
    ("gbp", "GBP"),
    ("quid", "GBP"),
    ("sterling", "GBP"),
    ("₹", "INR"),
    ("rupee", "INR"),
    ("rupees", "INR"),
    ("inr", "INR"),
    ("¥", "JPY"),
    ("yen", "JPY"),
    ("francs", "CHF"),
    ("chf", "CHF"),
];

/// Last parts of addresses as people say them.
pub(crate) const TOP_LEVEL_DOMAINS: &[&str] = &[
    "ai", "app", "at", "au", "biz", "ca", "ch", "co", "com", "de", "dev", "edu", "es", "eu", "fr", "gov", "in", "info",
    "io", "it", "jp", "me", "net", "nl", "online", "org", "se", "shop", "tech", "uk", "us",
];
