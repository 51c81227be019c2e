use scryon_domain::analysis::{ActionIntent, ActionItem, Analysis, Priority};
use scryon_domain::transcript::SpeakerRole;

use super::fixtures::{Contact, Third, User, Who, call, recorded};
use super::said;
use crate::analyse;

fn titles(analysis: &Analysis) -> Vec<&str> {
    analysis.action_items.iter().map(|item| item.title.as_str()).collect()
}

fn only_item(lines: &[(Who, &str)]) -> ActionItem {
    let analysis = analyse(&call(lines), &recorded());
    match analysis.action_items.as_slice() {
        [item] => item.clone(),
        items => panic!("{lines:?}: {items:?}"),
    }
}

#[test]
fn promises_become_action_items_of_the_speaker() {
    let cases = [
        ("I'll send you the revised quote by Friday.", "Send the revised quote"),
        ("i'll send you the revised quote by friday", "Send the revised quote"),
        ("I will definitely send the contract.", "Send the contract"),
        ("I'm going to order the spare parts tomorrow.", "Order the spare parts"),
        ("We'll ship your replacement next week.", "Ship the replacement"),
        ("we're gonna refund the full amount", "Refund the full amount"),
        ("Let me email you the invoice.", "Email the invoice"),
        ("Let me talk to the finance team and get back to you.", "Talk to the finance team and get back"),
        ("I'll go ahead and cancel the subscription.", "Cancel the subscription"),
        ("I'll be sending the contract over tonight.", "Send the contract over"),
        ("I'll be sure to forward your report.", "Forward the report"),
        ("By Friday I'll submit the application.", "Submit the application"),
        ("I'll review the contract and I think it's fine.", "Review the contract"),
        ("I'll follow up with the supplier on Monday.", "Follow up with the supplier"),
        ("ill send you the invoice tomorrow", "Send the invoice"),
        ("i'll send you the contract is that okay for you", "Send the contract"),
        ("i'll send you the contract it is ready", "Send the contract"),
        ("i'll send you the contract can we see it first", "Send the contract"),
        ("I'll check the warranty tomorrow.", "Check the warranty"),
        ("I promise to pay the invoice.", "Pay the invoice"),
    ];
    for (statement, title) in cases {
        let analysis = said(statement);
        assert_eq!(titles(&analysis), [title], "{statement}");
        let item = &analysis.action_items[0];
        assert_eq!(item.owner_speaker_id.as_deref(), Some("spk_1"), "{statement}");
        assert_eq!(item.owner_role, Some(SpeakerRole::Contact), "{statement}");
        assert_eq!(item.source_segment_ids, ["seg_0001"], "{statement}");
        assert_eq!(analysis.commitments.len(), 1, "{statement}");
        assert_eq!(analysis.commitments[0].speaker_id.as_deref(), Some("spk_1"), "{statement}");
    }
}

#[test]
fn requests_become_action_items_of_the_other_party() {
    let cases = [
        ("Can you send me the revised quote by Friday?", "Send the revised quote"),
        ("can you send me the revised quote by friday", "Send the revised quote"),
        ("Could you please forward the report to the board?", "Forward the report to the board"),
        ("Would you mind sending me the agenda?", "Send the agenda"),
        ("Please send us your certificate.", "Send the certificate"),
        ("I need you to sign the contract today.", "Sign the contract"),
        ("I'd like you to book the venue.", "Book the venue"),
        ("Don't forget to renew the license.", "Renew the license"),
        ("Just send me the slides.", "Send the slides"),
        ("So email me the offer, okay?", "Email the offer"),
        ("You can send it to me by Monday.", "Send it"),
        ("could you please sent me the invoice", "Send the invoice"),
        ("It would be great if you could send me the numbers.", "Send the numbers"),
    ];
    for (statement, title) in cases {
        let analysis = said(statement);
        assert_eq!(titles(&analysis), [title], "{statement}");
        let item = &analysis.action_items[0];
        assert_eq!(item.owner_speaker_id.as_deref(), Some("spk_2"), "{statement}");
        assert_eq!(item.owner_role, Some(SpeakerRole::User), "{statement}");
        assert_eq!(analysis.commitments, [], "{statement}: nobody promised anything yet");
    }
}

#[test]
fn what_happens_in_the_call_or_not_at_all_is_no_task() {
    for statement in [
        "I'll be honest with you.",
        "I'll see you on Monday.",
        "I won't send the contract.",
        "I will not pay the invoice.",
        "I'll never call them again.",
        "He said I will send the contract.",
        "What I'll send you is a mystery.",
        "If I will send it you will know.",
        "Pay me or I'll call my lawyer.",
        "Let me check the system for you.",
        "Let me pull up your account.",
        "Let me see what we have here.",
        "I'll put you on hold for a moment.",
        "I'll transfer you to sales.",
        "I'll share my screen now.",
        "Can you share your screen?",
        "Let me review the contract.",
        "The ill also send greetings from the clinic.",
        "I am ill.",
        "I fell ill after the trip.",
        "Can you hear me?",
        "Can you repeat that, please?",
        "Could you tell me your name?",
        "Can you confirm your address?",
        "Can you hold on a second?",
        "Would you like a coffee?",
        "You should call your mother.",
        "You can order it online.",
        "They call me every day.",
        "I wanted to call me a taxi.",
        "Please hold.",
        "Please note that we close at five.",
        "Did you send the contract?",
        "I sent the contract yesterday.",
        "Thank you for calling.",
        "",
    ] {
        let analysis = said(statement);
        assert_eq!(titles(&analysis), Vec::<&str>::new(), "{statement}");
    }
}

#[test]
fn plans_without_anything_to_launch_are_next_steps() {
    let cases = [
        (
            "I'll prepare the presentation deck tomorrow.",
            "Prepare the presentation deck",
            Some("Speaker 1"),
            Some("tomorrow"),
        ),
        ("I have to think about the proposal.", "Think about the proposal", Some("Speaker 1"), None),
        ("We need to discuss the budget next week.", "Discuss the budget", None, Some("next week")),
        ("Let's go over the contract.", "Go over the contract", None, None),
        ("I'll check the cables.", "Check the cables", Some("Speaker 1"), None),
        ("The next step is to migrate the database.", "Migrate the database", None, None),
        ("i need to pay the invoice on monday", "Pay the invoice", Some("Speaker 1"), Some("monday")),
    ];
    for (statement, text, owner, when) in cases {
        let analysis = said(statement);
        assert_eq!(titles(&analysis), Vec::<&str>::new(), "{statement}");
        let [step] = analysis.next_steps.as_slice() else { panic!("{statement}: {:?}", analysis.next_steps) };
        assert_eq!(step.text, text, "{statement}");
        assert_eq!(step.owner_speaker.as_deref(), owner, "{statement}");
        assert_eq!(step.when.as_deref(), when, "{statement}");
        assert_eq!(step.source_segment_ids, ["seg_0001"]);
    }
    for statement in ["I'll be there.", "We should do it.", "I need to replace it.", "I want to be a doctor."]
    {
        assert_eq!(said(statement).next_steps, [], "{statement}");
    }
}

#[test]
fn joint_proposals_belong_to_nobody() {
    let item = only_item(&[(Contact, "Let's schedule a call with the team on Monday."), (User, "right")]);
    assert_eq!(item.title, "Schedule a call with the team");
    assert_eq!((item.owner_speaker_id, item.owner_role), (None, None));
    assert_eq!(item.intent, Some(ActionIntent::Meeting));
}

#[test]
fn due_dates_come_from_the_words_around_the_task() {
    let cases = [
        ("I'll send it by Friday, the contract.", Some("2026-05-22")),
        ("By Friday I'll submit the application.", Some("2026-05-22")),
        ("I'll send the contract.", None),
        ("I'll send the contract that we signed, maybe in three days.", Some("2026-05-23")),
        ("i will call you next monday", Some("2026-05-25")),
        ("I'll send the contract on the fifteenth of June.", Some("2026-06-15")),
        ("We met on Friday. I'll send the contract.", None),
        ("I'll send the contract in a few days.", None),
        ("You were charged twice, so I'll send the refund by Friday.", Some("2026-05-22")),
        ("I'll send the contract because you paid on Friday.", None),
        ("On Friday we met and I'll send the contract.", None),
        ("I'll send the contract, and the weather in the mountains was nice on Friday.", None),
        ("I'll send the contract you signed last Friday.", None),
        ("I'll send the contract and we'll ship the parts by Friday.", None),
    ];
    for (statement, due) in cases {
        let analysis = said(statement);
        let item = &analysis.action_items[0];
        assert_eq!(item.due_date.map(|day| day.to_string()).as_deref(), due, "{statement}");
    }
}

#[test]
fn a_due_date_that_cannot_be_resolved_stays_in_the_title() {
    let transcript = call(&[(Contact, "I'll send the contract tomorrow."), (User, "right")]);
    let analysis = analyse(&transcript, &crate::AnalysisContext::default());
    let item = &analysis.action_items[0];
    assert_eq!((item.title.as_str(), item.due_date), ("Send the contract tomorrow", None));
}

#[test]
fn priority_needs_words_of_urgency_or_a_day() {
    let cases = [
        ("I'll send the contract.", None),
        ("I'll send the contract by Friday.", Some(Priority::Medium)),
        ("I'll send the contract right away.", Some(Priority::High)),
        ("Please send the contract as soon as possible.", Some(Priority::High)),
        ("Please send the contract. It's urgent.", Some(Priority::High)),
        ("Please send the contract. The weather is urgent.", None),
        ("Please send the contract by Friday, no rush.", Some(Priority::Low)),
        ("Please send the contract. It's not urgent.", Some(Priority::Low)),
        ("Please send the contract. It isn't that urgent.", None),
    ];
    for (statement, priority) in cases {
        let analysis = said(statement);
        let [item] = analysis.action_items.as_slice() else { panic!("{statement}: {:?}", titles(&analysis)) };
        assert_eq!(item.priority, priority, "{statement}");
    }
}

#[test]
fn a_request_and_the_promise_that_answers_it_are_one_item() {
    let lines = [
        (Contact, "Could you send me the invoice?"),
        (User, "Sure, I'll send you the corrected invoice tomorrow."),
    ];
    let item = only_item(&lines);
    assert_eq!(item.title, "Send the corrected invoice", "the richer wording");
    assert_eq!(item.owner_speaker_id.as_deref(), Some("spk_2"));
    assert_eq!(item.due_date.map(|day| day.to_string()).as_deref(), Some("2026-05-21"));
    assert_eq!(item.source_segment_ids, ["seg_0001", "seg_0002"]);
}

#[test]
fn a_misheard_answer_still_belongs_to_its_request() {
    let lines = [
        (Contact, "could you please email me the confirmation of the order"),
        (User, "of course i'll email you the conversation today"),
    ];
    assert_eq!(only_item(&lines).source_segment_ids, ["seg_0001", "seg_0002"]);
}

#[test]
fn another_task_is_no_answer() {
    let lines = [(Contact, "Could you send me the invoice?"), (User, "I'll send you the contract first.")];
    let analysis = analyse(&call(&lines), &recorded());
    assert_eq!(titles(&analysis), ["Send the invoice", "Send the contract first"]);
}

#[test]
fn different_tasks_stay_apart() {
    let lines = [
        (Contact, "Could you send me the invoice?"),
        (User, "I'll send the invoice, and I'll send the signed contract to the lawyer."),
        (Contact, "And I'll send the deposit slip."),
    ];
    let analysis = analyse(&call(&lines), &recorded());
    let expected = ["Send the invoice", "Send the signed contract to the lawyer", "Send the deposit slip"];
    assert_eq!(titles(&analysis), expected);
}

#[test]
fn the_same_words_for_another_day_or_of_another_thing_are_another_task() {
    for lines in [
        [(User, "I'll call the bank on Monday."), (User, "I'll call the bank on Friday.")],
        [
            (User, "I'll send the signed contract."),
            (User, "I'll send the unsigned lease contract to Berlin."),
        ],
    ] {
        assert_eq!(analyse(&call(&lines), &recorded()).action_items.len(), 2, "{lines:?}");
    }
}

#[test]
fn a_refused_request_is_no_task() {
    let refused = [(Contact, "Can you refund the setup fee?"), (User, "Unfortunately we can't do that.")];
    assert_eq!(analyse(&call(&refused), &recorded()).action_items, []);
    let granted = [(Contact, "Can you refund the setup fee?"), (User, "Yes, no problem.")];
    assert_eq!(titles(&analyse(&call(&granted), &recorded())), ["Refund the setup fee"]);
}

#[test]
fn me_and_you_become_the_party_they_stand_for() {
    let mut transcript = call(&[(Contact, "Please call me back."), (User, "I'll call you tomorrow.")]);
    let analysis = analyse(&transcript, &recorded());
    assert_eq!(titles(&analysis), ["Call the other party back"]);
    transcript.speakers[0].display_name = Some("Priya".to_owned());
    assert_eq!(titles(&analyse(&transcript, &recorded())), ["Call Priya back"]);
}

#[test]
fn with_three_parties_a_request_has_no_owner_and_a_promise_has() {
    let lines = [
        (User, "Could you send the minutes?"),
        (Contact, "I think that is fine."),
        (Third, "I'll book the room."),
    ];
    let analysis = analyse(&call(&lines), &recorded());
    let owners: Vec<_> = analysis.action_items.iter().map(|item| item.owner_speaker_id.as_deref()).collect();
    assert_eq!(owners, [None, Some("spk_3")]);
}

#[test]
fn where_speakers_cannot_be_told_apart_nobody_owns_anything() {
    let mut transcript = call(&[(User, "I'll send the contract. Can you pay the invoice?")]);
    let alone = analyse(&transcript, &recorded());
    let owners: Vec<_> = alone.action_items.iter().map(|item| item.owner_speaker_id.as_deref()).collect();
    assert_eq!(owners, [Some("spk_1"), None], "a memo: the speaker promises, nobody is there to be asked");
    transcript.pipeline.quality_warnings.push("single_speaker_fallback".to_owned());
    let merged = analyse(&transcript, &recorded());
    assert_eq!(merged.action_items.len(), 2);
    assert!(merged.action_items.iter().all(|item| item.owner_speaker_id.is_none()));
    assert!(merged.quality_warnings.contains(&"single_speaker_fallback".to_owned()));
}

#[test]
fn a_speaker_the_transcript_does_not_list_owns_nothing() {
    let mut transcript = call(&[(User, "I'll send the contract."), (Contact, "Can you pay the invoice?")]);
    transcript.speakers.remove(0);
    let analysis = analyse(&transcript, &recorded());
    assert_eq!(analysis.action_items.len(), 2);
    assert!(analysis.action_items.iter().all(|item| item.owner_speaker_id.is_none()));
}
