//! Faults that a test orders for the next requests of a route.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use crate::lock;
use crate::options::{Dialect, WordPlace};

/// What goes wrong. A fault that makes no sense on a route leaves its answer as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status, before anything is bought, with Retry-After seconds where given.
    Status(u16, Option<u64>),
    /// The work is bought, then the connection is cut.
    CutAfterPurchase,
    /// The work is bought, then the answer waits for [`crate::Simulator::release`].
    Hold,
    /// The work is bought, and the answer is no JSON.
    Garbage,
    /// The work is bought, and the answer takes this much longer.
    Latency(Duration),
    /// The work is bought, and the connection is cut in the middle of the answer's body.
    CutInBody,
    /// The work is bought, and the body comes in eight pieces with this pause between them.
    SlowBody(Duration),
    /// The answer is JSON of another shape; of a chat, its content is.
    WrongSchema,
    /// The answer is prose; of a chat, its content is.
    Prose,
    /// The credit is used up, in the provider's own words, before anything is bought.
    Quota,
    /// A refusal in the provider's own words, but with status 200, as older builds of whisper.cpp send them.
    /// Nothing is bought.
    RefusedWithOk,
    /// A chat's answer goes wrong in a way of its own.
    Chat(ChatFault),
    /// The OpenAI API answers in this manner.
    Dialect(Dialect),
    /// Words of a Lemonfox transcript are there.
    Words(WordPlace),
    /// Lemonfox wraps `text` in double quotes.
    QuotedText,
    /// The recording has this many voices.
    Speakers(usize),
    /// The callback or webhook of this submit goes wrong.
    Callback(CallbackFault),
    /// The job of this submit goes wrong.
    Job(JobFault),
}

/// What goes wrong with the answer of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatFault {
    /// `message.refusal` says no, and there is no content.
    Refusal,
    /// The answer was too long: the JSON is cut and `finish_reason` is `length`.
    Length,
    /// `finish_reason` is `content_filter`, without content.
    ContentFilter,
    /// The JSON stands between Markdown fences.
    Fenced,
    /// There is no `usage`.
    NoUsage,
    /// It does what was said in the call: all its texts are what stands behind `output ` in the prompt, and what it cites
    /// is not there.
    Obeys,
}

/// What goes wrong with a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackFault {
    /// It comes this much later.
    Delayed(Duration),
    /// It waits for [`crate::Simulator::release`].
    Held,
    /// It comes twice.
    Doubled,
    /// It never comes.
    Never,
    /// It comes before the submit is answered.
    BeforeAnswer,
    /// Its body is no JSON.
    Garbage,
    /// It names a job, or goes to an address, that nobody knows.
    Stranger,
    /// Its signature or secret is wrong, or its token is missing.
    WrongSecret,
}

/// What goes wrong with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobFault {
    /// It fails, and the output names the error.
    Failed,
    /// It fails, and there is no output.
    FailedSilently,
    /// It is cancelled.
    Canceled,
    /// It succeeds, and not before [`crate::Simulator::release`]. Its callback waits for that as well.
    Held,
    /// It succeeds and found nobody.
    Empty,
    /// It succeeds and found one speaker more than was asked for.
    MoreSpeakers,
}

/// Routes that faults can be ordered for.
pub(crate) const ROUTES: &[&str] = &[
    "transcribe",
    "diarize",
    "analyze",
    "lemonfox.transcribe",
    "lemonfox.models",
    "openai.transcribe",
    "openai.diarize",
    "openai.chat",
    "openai.embeddings",
    "openai.models",
    "pyannote.test",
    "pyannote.media",
    "pyannote.upload",
    "pyannote.diarize",
    "pyannote.identify",
    "pyannote.voiceprint",
    "pyannote.job",
    "pyannote.jobs",
    "deepgram.listen",
    "deepgram.projects",
    "deepgram.balances",
    "assemblyai.upload",
    "assemblyai.submit",
    "assemblyai.read",
    "assemblyai.list",
    "assemblyai.delete",
];

#[derive(Debug)]
pub(crate) struct Faults {
    next: HashMap<String, VecDeque<Fault>>,
    released: watch::Sender<u64>,
    held: usize,
}

impl Default for Faults {
    fn default() -> Self {
        Self { next: HashMap::new(), released: watch::channel(0).0, held: 0 }
    }
}

impl Faults {
    pub(crate) fn add(&mut self, route: &str, count: usize, fault: Fault) {
        self.next.entry(route.to_owned()).or_default().extend(std::iter::repeat_n(fault, count));
    }

    pub(crate) fn take(&mut self, route: &str) -> Option<Fault> {
        self.next.get_mut(route)?.pop_front()
    }

    pub(crate) fn clear(&mut self) {
        self.next.clear();
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn release(&mut self) {
        self.held = 0;
        self.released.send_modify(|n| *n += 1);
    }
}

/// Waits for the next release, counted from the call on and not from the first poll.
pub(crate) fn hold(faults: &Mutex<Faults>) -> impl Future<Output = ()> + use<> {
    let mut released = {
        let mut faults = lock(faults);
        faults.held += 1;
        faults.released.subscribe()
    };
    async move {
        // The provider is gone when the sender is: then there is nobody to answer.
        let _gone = released.changed().await;
    }
}
