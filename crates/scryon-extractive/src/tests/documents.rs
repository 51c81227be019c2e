//! Complete documents of one small call, well transcribed and badly.

mod draft;
mod punctuated;

use scryon_domain::analysis::action_items;
use scryon_domain::transcript::Transcript;

use super::fixtures::{draft_support_call, recorded, support_call};
use crate::analyse;

/// What a machine without any key must deliver.
fn has_owned_action_item(transcript: &Transcript) {
    let rows = action_items(&analyse(transcript, &recorded()), transcript);
    let owned =
        rows.iter().filter(|row| row.owner_speaker_id.is_some() && !row.source_segment_ids.is_empty());
    assert!(owned.count() >= 1, "{rows:?}");
}

#[test]
fn both_transcripts_of_the_call_leave_an_owned_action_item() {
    has_owned_action_item(&support_call());
    has_owned_action_item(&draft_support_call());
}

/// Titles repeat misheard words; what is to be done, by whom and until when must survive them.
#[test]
fn the_draft_keeps_the_tasks_of_the_call() {
    let tasks = |transcript: &Transcript| -> Vec<_> {
        let items = analyse(transcript, &recorded()).action_items.into_iter();
        let facts = items.map(|item| {
            let verb = item.title.split(' ').next().map(str::to_owned);
            (verb, item.owner_speaker_id, item.due_date, item.priority, item.intent)
        });
        facts.collect()
    };
    let expected = tasks(&support_call());
    assert_eq!(expected.len(), 3);
    assert_eq!(tasks(&draft_support_call()), expected);
}
