//! The closed word lists of the document. Writing is exact; reading forgives case, spaces and underscores,
//! because a language model's `Semi Formal` is no reason to buy a second answer.

use std::fmt;

use serde::{Serialize, Serializer};

/// A closed list of words.
pub(super) trait Vocabulary: Copy + Sized {
    /// The variant written like this, whatever its case and separators.
    fn parse(text: &str) -> Option<Self>;

    /// What a word outside the list is read as.
    fn fallback() -> Option<Self> {
        None
    }
}

/// Lower case, with `-` for every run of spaces and underscores.
fn canonical(text: &str) -> String {
    let lower = text.trim().to_lowercase();
    let parts = lower.split(|c: char| c.is_whitespace() || c == '_' || c == '-');
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

macro_rules! vocabulary {
    (
        $(#[$meta:meta])*
        $name:ident $(falls back to $fallback:ident)? {
            $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant),+
        }

        impl $name {
            /// Every word of the list, in documented order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as documents write it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }

            /// The variant written like this, whatever its case and separators.
            pub fn parse(text: &str) -> Option<Self> {
                let wanted = canonical(text);
                Self::ALL.iter().copied().find(|word| word.as_str() == wanted)
            }
        }

        impl Vocabulary for $name {
            fn parse(text: &str) -> Option<Self> {
                Self::parse(text)
            }
            $(fn fallback() -> Option<Self> {
                Some(Self::$fallback)
            })?
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

vocabulary! {
    /// What kind of call it was.
    CallType falls back to Other {
        Personal = "personal",
        Business = "business",
        Sales = "sales",
        Support = "support",
        Interview = "interview",
        Finance = "finance",
        Healthcare = "healthcare",
        Legal = "legal",
        Education = "education",
        Unknown = "unknown",
        Other = "other",
    }
}

vocabulary! {
    /// How much a statement matters.
    Importance {
        Low = "low",
        Medium = "medium",
        High = "high",
    }
}

vocabulary! {
    /// How urgent a task is.
    Priority {
        Low = "low",
        Medium = "medium",
        High = "high",
    }
}

impl Priority {
    /// The word as the table `action_items` and the action-item routes write it.
    pub const fn as_upper(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
        }
    }
}

vocabulary! {
    /// Where in the call something happened.
    Phase {
        Opening = "opening",
        Middle = "middle",
        Closing = "closing",
        Followup = "followup",
    }
}

vocabulary! {
    /// Direction of feeling. `Unclear` is a word of its own: too little to tell.
    Polarity falls back to Unclear {
        Positive = "positive",
        Neutral = "neutral",
        Negative = "negative",
        Mixed = "mixed",
        Unclear = "unclear",
    }
}

vocabulary! {
    /// Register of speech.
    Formality {
        Formal = "formal",
        SemiFormal = "semi-formal",
        Informal = "informal",
    }
}

vocabulary! {
    /// Liveliness of speech.
    Energy {
        Low = "low",
        Medium = "medium",
        High = "high",
    }
}

vocabulary! {
    /// Speed of speech.
    Pace {
        Slow = "slow",
        Normal = "normal",
        Fast = "fast",
    }
}

vocabulary! {
    /// What a client can launch for an action item.
    ActionIntent {
        Meeting = "meeting",
        Email = "email",
        Call = "call",
        Message = "message",
        Reminder = "reminder",
        Task = "task",
        None = "none",
    }
}

vocabulary! {
    /// The application a speaker named: a hint, the client decides.
    ProviderHint {
        Meet = "meet",
        Zoom = "zoom",
        Teams = "teams",
        Phone = "phone",
        Whatsapp = "whatsapp",
        Sms = "sms",
        Telegram = "telegram",
    }
}

vocabulary! {
    /// The way a message goes.
    Channel {
        Whatsapp = "whatsapp",
        Sms = "sms",
        Telegram = "telegram",
    }
}

vocabulary! {
    /// What an amount counts.
    AmountKind {
        Money = "money",
        Percent = "percent",
        Number = "number",
    }
}
