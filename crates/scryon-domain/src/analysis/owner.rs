//! Who owns an action item. The rule above all others: nobody is made an owner who cannot be shown to be
//! one speaker of this transcript.

use super::action_item::ActionItem;
use crate::transcript::{Speaker, SpeakerRole, Transcript};

/// An owner found in the transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub speaker_id: String,
    pub label: String,
    pub display_name: Option<String>,
    pub role: SpeakerRole,
}

impl From<&Speaker> for Owner {
    fn from(speaker: &Speaker) -> Self {
        Self {
            speaker_id: speaker.speaker_id.clone(),
            label: speaker.label.clone(),
            display_name: speaker.display_name.clone(),
            role: speaker.role,
        }
    }
}

/// The speaker an item names: by id, else by label, else by display name. Each step gives up where it
/// finds none or several, and the next one is tried. The role is the speaker's own; what the item claims
/// about it is not evidence.
pub fn resolve_owner(item: &ActionItem, transcript: &Transcript) -> Option<Owner> {
    let by_id = item.owner_speaker_id.as_deref().and_then(|id| speaker_with_id(id, transcript));
    let names = [&item.owner_speaker_label, &item.owner_speaker, &item.owner_display_name];
    let by_name = || {
        names
            .into_iter()
            .flatten()
            .find_map(|name| speaker_named(name, transcript).or_else(|| speaker_with_id(name, transcript)))
    };
    by_id.or_else(by_name).map(Owner::from)
}

fn speaker_with_id<'a>(id: &str, transcript: &'a Transcript) -> Option<&'a Speaker> {
    let id = id.trim();
    transcript.speakers.iter().find(|speaker| speaker.speaker_id == id)
}

/// The only speaker with this label or display name; two called the same are nobody.
fn speaker_named<'a>(name: &str, transcript: &'a Transcript) -> Option<&'a Speaker> {
    let wanted = folded(name);
    if wanted.is_empty() {
        return None;
    }
    let mut matches = transcript.speakers.iter().filter(|speaker| {
        folded(&speaker.label) == wanted
            || speaker.display_name.as_deref().map(folded) == Some(wanted.clone())
    });
    let only = matches.next()?;
    matches.next().is_none().then_some(only)
}

/// Lower case with single spaces.
fn folded(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
