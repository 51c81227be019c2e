//! Every different word once, with what the lexicons say about it. Rules then cost an index per token
//! instead of a look-up per rule.

use std::collections::HashMap;

use crate::lexicon::{self, Flags, Phrase};

/// Position of a word in [`Words`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WordId(u32);

impl WordId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct Word {
    text: String,
    flags: Flags,
    stem: WordId,
    phrases: &'static [Phrase],
}

#[derive(Debug, Default)]
pub(super) struct Words {
    words: Vec<Word>,
    ids: HashMap<String, WordId>,
}

impl Words {
    pub(super) fn intern(&mut self, text: &str) -> WordId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let stem = singular(text).map(|stem| self.intern(&stem));
        // A transcript of four billion different words does not fit into memory.
        let id = WordId(self.words.len() as u32);
        self.ids.insert(text.to_owned(), id);
        self.words.push(Word {
            text: text.to_owned(),
            flags: lexicon::flags(text),
            stem: stem.unwrap_or(id),
            phrases: lexicon::phrases(text),
        });
        id
    }

    pub(super) fn text(&self, id: WordId) -> &str {
        self.words.get(id.index()).map_or("", |word| &word.text)
    }

    pub(super) fn flags(&self, id: WordId) -> Flags {
        self.words.get(id.index()).map_or(Flags::NONE, |word| word.flags)
    }

    pub(super) fn stem(&self, id: WordId) -> WordId {
        self.words.get(id.index()).map_or(id, |word| word.stem)
    }

    pub(super) fn phrases(&self, id: WordId) -> &'static [Phrase] {
        self.words.get(id.index()).map_or(&[], |word| word.phrases)
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }
}

/// The singular of a regular plural. Crude on purpose: it joins `invoice` and `invoices` when words are
/// counted and is never shown.
fn singular(word: &str) -> Option<String> {
    if word.len() < 5 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    if let Some(stem) = word.strip_suffix("ies") {
        return Some(format!("{stem}y"));
    }
    for ending in ["sses", "shes", "ches", "xes"] {
        if word.ends_with(ending) {
            return Some(word[..word.len() - 2].to_owned());
        }
    }
    let stem = word.strip_suffix('s')?;
    let is_plural = !["s", "u", "i"].iter().any(|ending| stem.ends_with(ending));
    is_plural.then(|| stem.to_owned())
}
