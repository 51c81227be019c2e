use scryon_domain::analysis::{ActionIntent, ActionItem, Channel, IntentMetadata, ProviderHint};

use super::said;

fn item(statement: &str) -> ActionItem {
    let analysis = said(statement);
    match analysis.action_items.as_slice() {
        [item] => item.clone(),
        items => panic!("{statement}: {items:?}"),
    }
}

fn metadata(statement: &str) -> IntentMetadata {
    item(statement).intent_metadata.unwrap_or_default()
}

#[test]
fn the_intent_follows_the_verb_and_the_plainer_words_around_it() {
    let cases = [
        ("I'll send you the quote.", ActionIntent::Email),
        ("I'll email the quote to the board.", ActionIntent::Email),
        ("I'll send you a calendar invite.", ActionIntent::Meeting),
        ("I'll send you the address on WhatsApp.", ActionIntent::Message),
        ("I'll send you a text.", ActionIntent::Message),
        ("I'll text you the code.", ActionIntent::Message),
        ("I'll send a technician.", ActionIntent::Task),
        ("I'll send the replacement router.", ActionIntent::Task),
        ("I'll call the supplier.", ActionIntent::Call),
        ("Please give me a call tomorrow.", ActionIntent::Call),
        ("I'll schedule a demo for the team.", ActionIntent::Meeting),
        ("I'll set up a meeting.", ActionIntent::Meeting),
        ("I'll set up the server.", ActionIntent::Task),
        ("I'll book the flight.", ActionIntent::Task),
        ("Please remind me to pay the rent.", ActionIntent::Reminder),
        ("I'll renew the license.", ActionIntent::Task),
    ];
    for (statement, intent) in cases {
        assert_eq!(item(statement).intent, Some(intent), "{statement}");
    }
}

#[test]
fn a_meeting_carries_what_was_said_about_it() {
    let meeting = metadata("Let's schedule a zoom call with Priya next Monday at 3 pm for thirty minutes.");
    assert_eq!(meeting.provider_hint, Some(ProviderHint::Zoom));
    assert_eq!(meeting.proposed_at.as_deref(), Some("2026-05-25T15:00:00"));
    assert_eq!(meeting.duration_minutes, Some(30));
    let names: Vec<_> = meeting.attendees.iter().filter_map(|attendee| attendee.name.as_deref()).collect();
    assert_eq!(names, ["Priya"]);
    let vague = metadata("Let's schedule a call with the team on Monday at three.");
    assert_eq!(vague.proposed_at, None, "three in the morning is as possible");
    assert_eq!((vague.provider_hint, vague.attendees.len(), vague.duration_minutes), (None, 0, None));
    let place = metadata("I'll schedule a meeting at the office.");
    assert_eq!(place.location.as_deref(), Some("The office"));
}

#[test]
fn a_mail_carries_only_addresses_and_names_that_were_said() {
    let mail = metadata("Please send the invoice to maria at example dot com.");
    assert_eq!(mail.to_email.as_deref(), Some("maria@example.com"));
    assert_eq!(mail.subject.as_deref(), Some("The invoice"));
    let named = metadata("I'll send the invoice to Maria.");
    assert_eq!((named.to_email.as_deref(), named.to_name.as_deref()), (None, Some("Maria")));
    let bare = metadata("I'll send it.");
    assert_eq!(bare, IntentMetadata::default());
    assert_eq!(item("I'll send it.").intent_metadata, None);
}

#[test]
fn an_address_in_another_statement_is_not_borrowed() {
    use super::fixtures::{Contact, User, call, recorded};
    let lines =
        [(User, "My old email was sam@example.com."), (Contact, "I'll email the invoice to the bank.")];
    let analysis = crate::analyse(&call(&lines), &recorded());
    let metadata = analysis.action_items[0].intent_metadata.clone().unwrap_or_default();
    assert_eq!(metadata.to_email, None);
}

#[test]
fn calls_and_messages_carry_number_name_and_channel() {
    let dial = metadata("Please call Priya at 555-010-4477.");
    assert_eq!(dial.phone_number.as_deref(), Some("5550104477"));
    assert_eq!(dial.contact_name.as_deref(), Some("Priya"));
    let message = metadata("I'll send you the address on Telegram.");
    assert_eq!(message.channel, Some(Channel::Telegram));
    assert_eq!(metadata("I'll call the supplier."), IntentMetadata::default());
}

#[test]
fn a_reminder_says_what_and_when() {
    let reminder = item("Please remind me to pay the rent tomorrow at 9 am.");
    assert_eq!(reminder.title, "Pay the rent");
    let metadata = reminder.intent_metadata.unwrap_or_default();
    assert_eq!(metadata.remind_at.as_deref(), Some("2026-05-21T09:00:00"));
    assert_eq!(metadata.title.as_deref(), Some("Pay the rent"));
}

#[test]
fn titles_hold_no_address_that_has_a_field_of_its_own() {
    let item = item("Please send the invoice to maria@example.com.");
    assert_eq!(item.title, "Send the invoice");
}
