//! How people promise, ask and plan.

use scryon_domain::analysis::ActionIntent::{self, Call, Email, Meeting, Message, Reminder, Task};

use super::{List, Table};

/// How much a verb says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strength {
    /// A task even without an object: `send`, `call`.
    Firm,
    /// A task only with something to do it to: `review the contract`.
    Soft,
    /// Usually done during the call; a task only with a time: `check it tomorrow`.
    Timed,
    /// A plan that no application can launch: `prepare the slides`.
    Plan,
}

/// A verb of tasks. The first word of `words` is compared in any of its regular forms.
#[derive(Debug)]
pub(crate) struct Verb {
    pub(crate) words: &'static str,
    pub(crate) intent: ActionIntent,
    pub(crate) strength: Strength,
}

const fn firm(words: &'static str, intent: ActionIntent) -> Verb {
    Verb { words, intent, strength: Strength::Firm }
}

const fn soft(words: &'static str) -> Verb {
    Verb { words, intent: Task, strength: Strength::Soft }
}

const fn timed(words: &'static str) -> Verb {
    Verb { words, intent: Task, strength: Strength::Timed }
}

const fn plan(words: &'static str) -> Verb {
    Verb { words, intent: ActionIntent::None, strength: Strength::Plan }
}

/// Longer entries come before shorter ones that begin alike.
pub(crate) const VERBS: &[Verb] = &[
    firm("send", Email),
    firm("resend", Email),
    firm("email", Email),
    firm("mail", Email),
    firm("forward", Email),
    firm("share", Email),
    firm("reply to", Email),
    firm("write to", Email),
    firm("write back", Email),
    firm("call", Call),
    firm("phone", Call),
    firm("dial", Call),
    firm("give me a call", Call),
    firm("give us a call", Call),
    firm("give you a call", Call),
    firm("give you a ring", Call),
    firm("give him a call", Call),
    firm("give her a call", Call),
    firm("give them a call", Call),
    firm("text", Message),
    firm("message", Message),
    firm("whatsapp", Message),
    firm("ping", Message),
    firm("schedule", Meeting),
    firm("reschedule", Meeting),
    firm("book", Meeting),
    firm("invite", Meeting),
    firm("set up", Meeting),
    firm("meet", Meeting),
    firm("hop on", Meeting),
    firm("jump on", Meeting),
    firm("arrange", Meeting),
    firm("remind", Reminder),
    firm("follow up", Task),
    firm("reach out", Task),
    firm("get back", Task),
    firm("contact", Task),
    firm("talk to", Task),
    firm("speak to", Task),
    firm("speak with", Task),
    firm("check with", Task),
    firm("look into", Task),
    firm("find out", Task),
    firm("pick up", Task),
    firm("drop off", Task),
    firm("fill out", Task),
    firm("fill in", Task),
    firm("upload", Task),
    firm("order", Task),
    firm("transfer the", Task),
    firm("pay", Task),
    firm("sign", Task),
    firm("cancel", Task),
    firm("replace", Task),
    firm("ship", Task),
    firm("deliver", Task),
    firm("refund", Task),
    firm("submit", Task),
    firm("renew", Task),
    firm("escalate", Task),
    firm("investigate", Task),
    firm("dispatch", Task),
    firm("issue", Task),
    firm("waive", Task),
    soft("update"),
    soft("fix"),
    soft("review"),
    soft("create"),
    soft("file"),
    soft("complete"),
    soft("finish"),
    soft("provide"),
    soft("bring"),
    soft("buy"),
    soft("add"),
    soft("remove"),
    soft("change"),
    soft("raise"),
    soft("install"),
    soft("process"),
    soft("register"),
    soft("reset"),
    soft("post"),
    soft("print"),
    soft("return"),
    soft("draft"),
    soft("assign"),
    timed("check"),
    timed("confirm"),
    soft("approve"),
    soft("credit"),
    soft("prescribe"),
    soft("deploy"),
    plan("prepare"),
    plan("work on"),
    plan("think about"),
    plan("look at"),
    plan("go through"),
    plan("go over"),
    plan("start"),
    plan("continue"),
    plan("discuss"),
    plan("consider"),
    plan("try"),
    plan("evaluate"),
    plan("explore"),
    plan("research"),
    plan("study"),
    plan("practice"),
    plan("visit"),
    plan("come back"),
    plan("come by"),
    plan("write"),
    plan("talk"),
    plan("move"),
    plan("test"),
    plan("launch"),
    plan("migrate"),
    plan("present"),
    plan("plan"),
    plan("decide"),
    plan("see"),
];

pub(super) const PHRASES: &[Table] = &[
    (
        List::Promise,
        "",
        &[
            "i will", "we will", "i am going to", "we are going to", "i shall", "we shall", "let me", "i promise to",
            "i am happy to", "ill",
        ],
    ),
    (
        List::Plan,
        "",
        &[
            "i need to", "i have to", "i must", "i should", "i plan to", "i am planning to", "i want to", "we need to",
            "we have to", "we should", "we plan to", "we are planning to", "we want to", "the plan is to",
            "the next step is to", "next step is to",
        ],
    ),
    (List::Proposal, "", &["let us", "shall we", "why do not we", "we could", "how about we", "can we"]),
    (
        List::Request,
        "",
        &[
            "can you", "could you", "would you", "will you", "please", "i need you to", "i would like you to",
            "i want you to", "we need you to", "we would like you to", "would you mind", "do you mind",
            "make sure you", "make sure to", "do not forget to", "remember to", "you need to", "you have to",
            "if you could", "if you can", "you could", "you can", "you should", "would it be possible to",
            "is it possible to", "is there any way you can", "i was hoping you could", "i would appreciate if you could",
        ],
    ),
    (
        List::Imperative,
        "",
        &[
            "send me", "send us", "email me", "email us", "call me", "call us", "text me", "forward me", "remind me to",
            "give me a call", "give us a call", "share with me", "mail me", "message me",
        ],
    ),
    (
        List::InCall,
        "",
        &[
            "put you on hold", "put you through", "transfer you", "transfer your call", "transfer the call",
            "pull up", "bring up", "look that up", "check that for", "check it for", "check this for",
            "check something", "confirm your", "confirm the last", "confirm that for", "check your account",
            "check the system", "verify your", "fill you in", "get back on", "call up", "call it", "text it",
            "order to", "post it", "share my screen", "share your screen", "share the screen", "see what",
            "see if", "see how", "see that", "see you", "see it", "start with", "start by", "talk about", "try that",
            "try it", "try this", "add that", "add to that", "change that", "print it", "check if", "check whether",
            "check what", "go over this", "go over that", "file that", "start over",
            "finish my", "finish what", "finish that",
        ],
    ),
    (
        List::Urgent,
        "",
        &[
            "urgent", "urgently", "asap", "as soon as possible", "immediately", "right away", "critical",
            "emergency", "straight away", "top priority", "high priority", "at once", "cannot wait", "can not wait",
            "by end of day", "end of day", "first thing", "time sensitive",
        ],
    ),
    (
        List::Relaxed,
        "",
        &[
            "no rush", "no hurry", "not urgent", "whenever you can", "whenever you get", "when you get a chance",
            "when you have time", "low priority", "at some point", "eventually", "take your time", "nice to have",
        ],
    ),
    (
        List::Refusal,
        "",
        &[
            "no i can not", "no we can not", "no sorry", "sorry i can not", "sorry we can not", "unfortunately i can not",
            "unfortunately we can not", "i am afraid i can not", "i am afraid we can not", "i can not do that",
            "we can not do that", "we do not do that", "that is not possible", "no that is not", "i will not",
            "we will not", "unfortunately not", "i am afraid not", "no i will not", "no we do not",
        ],
    ),
    (List::Provider, "zoom", &["zoom"]),
    (List::Provider, "teams", &["microsoft teams", "on teams", "teams call", "teams meeting", "teams link"]),
    (List::Provider, "meet", &["google meet", "meet link"]),
    (
        List::Provider,
        "phone",
        &["by phone", "phone call", "over the phone", "on the phone"],
    ),
    (List::Provider, "whatsapp", &["whatsapp", "whats app"]),
    (List::Provider, "sms", &["sms", "text message", "by text"]),
    (List::Provider, "telegram", &["telegram"]),
    (
        List::Place,
        "",
        &[
            "at the office", "in the office", "at your office", "at our office", "at my office", "at the cafe",
            "in the cafe", "at the airport", "at the hotel", "at the clinic", "at the branch", "at the store",
            "at the station", "at your place", "at my place", "in person", "on site", "in the lobby",
        ],
    ),
    (
        List::OwnNameFollows,
        "",
        &["my name is", "this is", "i am", "you are speaking with", "you are speaking to", "you are talking to"],
    ),
];
