//! Who had the floor: whether somebody else spoke in a pause.

use super::align::{Stream, Word};
use super::time::Millis;

/// All words in order of their middles.
#[derive(Debug)]
pub(super) struct Floor {
    voices: Vec<Voice>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Voice {
    middle: Millis,
    speaker: usize,
    start: Millis,
    reach: Millis,
}

impl Floor {
    /// Looks at all words of all streams; a speaker is the index of his stream.
    pub(super) fn new(streams: &[Stream<'_>]) -> Self {
        let words = streams.iter().enumerate();
        Self::of_words(
            words.flat_map(|(speaker, stream)| stream.words.iter().map(move |word| (speaker, word))),
        )
    }

    /// The same for words that carry their speaker.
    pub(super) fn of_words<'a>(words: impl Iterator<Item = (usize, &'a Word<'a>)>) -> Self {
        let mut voices: Vec<Voice> = words
            .map(|(speaker, word)| Voice {
                middle: (word.start + word.reach) / 2,
                speaker,
                start: word.start,
                reach: word.reach,
            })
            .collect();
        // Mostly one speaker's words after another's, each in order: the stable sort merges such runs.
        voices.sort();
        Self { voices }
    }

    /// True when a word of another speaker fills the pause between `from` and `to`, at least half of it lying
    /// inside: a "mm-hm" spoken over somebody takes the floor from nobody.
    pub(super) fn taken(&self, speaker: usize, from: Millis, to: Millis) -> bool {
        if to <= from {
            return false;
        }
        // What lies inside by half has its middle inside.
        let first = self.voices.partition_point(|voice| voice.middle < from);
        self.voices[first..].iter().take_while(|voice| voice.middle <= to).any(|voice| {
            let inside = voice.reach.min(to) - voice.start.max(from);
            voice.speaker != speaker && inside * 2 >= voice.reach - voice.start
        })
    }
}
