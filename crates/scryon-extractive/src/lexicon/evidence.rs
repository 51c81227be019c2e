//! Phrases that make a statement a decision, a risk, an opportunity.

use super::{List, Table};

pub(super) const PHRASES: &[Table] = &[
    (
        List::Decision,
        "",
        &[
            "we agreed", "we have agreed", "i agree to", "agreed to", "we decided", "we have decided", "i decided",
            "i have decided", "decided to", "let us go with", "let us go ahead", "we will go with", "i will go with",
            "we are going with", "i am going with", "we will go ahead", "we have a deal", "it is a deal",
            "that is settled", "it is settled", "i will take it", "we will take it", "i accept", "we accept",
            "you are hired", "final decision", "is approved", "has been approved", "i approve", "we settled on",
            "we are on the same page", "consider it done", "the decision is", "we concluded", "i have chosen",
            "we have chosen", "let us do that", "let us settle", "we will do that then",
        ],
    ),
    (
        List::Risk,
        "",
        &[
            "risk", "risks", "risky", "concern", "concerns", "concerned", "worried", "worry", "blocker", "blocked",
            "delay", "delays", "delayed", "deadline", "overdue", "behind schedule", "too expensive", "too high",
            "over budget", "budget cut", "no budget", "cannot afford", "can not afford", "cancel my", "cancel our",
            "cancel the contract", "competitor", "competitors", "switch to another", "switching to", "legal action",
            "lawyer", "complaint", "outage", "downtime", "data loss", "lost data", "security issue", "breach",
            "not working", "does not work", "do not work", "stopped working", "keeps failing", "keeps dropping",
            "keeps crashing", "broken", "escalate", "escalated", "unacceptable", "penalty", "shortage",
            "out of stock", "losing customers", "not happy", "unhappy", "frustrated", "at risk", "side effects",
            "short notice", "not sure if we can", "might not make it", "may not make it",
        ],
    ),
    (
        List::Opportunity,
        "",
        &[
            "upgrade", "upgrading", "expand", "expanding", "interested in", "more seats", "more licenses",
            "more users", "additional seats", "additional licenses", "additional users", "renew", "renewal",
            "referral", "recommend you", "recommend it to", "budget is approved", "budget approved", "pilot",
            "free trial", "new project", "new office", "new location", "growing", "next phase", "long term",
            "would love to try", "would like to buy", "want to buy", "ready to buy", "ready to sign", "annual plan",
            "bulk discount", "opportunity", "open position", "partnership", "new customers", "promotion",
        ],
    ),
    (
        List::Resolution,
        "",
        &[
            "it works now", "it is working now", "that worked", "that fixed it", "it is fixed", "problem solved",
            "that solved", "issue is resolved", "is resolved", "has been resolved", "that resolves", "all sorted",
            "that is sorted", "it is back up", "back online", "up and running", "all set",
        ],
    ),
    (
        List::OpenMatter,
        "",
        &[
            "still need to decide", "still have to decide", "need to figure out", "have to figure out",
            "not decided yet", "have not decided", "to be decided", "to be determined", "open question",
            "still unclear", "not clear yet", "do not know yet", "not sure yet", "not sure whether",
            "remains open", "still open", "waiting to hear", "waiting for an answer",
        ],
    ),
];
