use super::super::{Direction, PartyFacts, VoiceMatch};
use super::evidence::{Findings, Rule, gather};
use super::forms::Names;
use super::voice::Voice;
use super::{Line, Party, Question};
use crate::transcript::Confidence::{self, High, Medium};
use crate::transcript::SpeakerRole::{self, Contact, Unknown, User};

type Found = (Rule, usize, SpeakerRole, Confidence);

/// A call between Praveen (user) and Ravi (contact).
struct Call {
    parties: usize,
    lines: Vec<(usize, i64, &'static str)>,
    direction: Option<Direction>,
    channel_roles: Vec<SpeakerRole>,
}

fn call(parties: usize, lines: &[(usize, i64, &'static str)]) -> Call {
    Call { parties, lines: lines.to_vec(), direction: None, channel_roles: Vec::new() }
}

impl Call {
    fn findings(&self) -> Findings {
        let facts = PartyFacts {
            user_display_name: Some("Praveen Rao".to_owned()),
            contact_name: Some("Ravi".to_owned()),
            phone_number: None,
            direction: self.direction,
        };
        let parties: Vec<Party<'_>> = (0..self.parties)
            .map(|index| Party {
                source: "any",
                channel: (!self.channel_roles.is_empty()).then_some(index as u16),
            })
            .collect();
        let lines: Vec<Line<'_>> =
            self.lines.iter().map(|&(speaker, start, text)| Line { speaker, start, text }).collect();
        let question = Question {
            parties: &parties,
            lines: &lines,
            facts: &facts,
            channel_roles: &self.channel_roles,
            voice_match: &VoiceMatch::Disabled,
            separated: true,
        };
        gather(&question, &Names::new(&facts), &Voice::Disabled)
    }

    fn evidence(&self) -> Vec<Found> {
        let pieces = self.findings().evidence;
        pieces.iter().map(|piece| (piece.rule, piece.speaker, piece.role, piece.confidence)).collect()
    }
}

/// Greetings alone; every greeting is a mention as well.
fn greetings(parties: usize, lines: &[(usize, i64, &'static str)]) -> Vec<Found> {
    call(parties, lines).evidence().into_iter().filter(|piece| piece.0 == Rule::Greeting).collect()
}

#[test]
fn who_greets_by_name_is_the_other_party() {
    assert_eq!(greetings(2, &[(0, 0, "hi Ravi")]), [(Rule::Greeting, 0, User, High)]);
    assert_eq!(greetings(2, &[(1, 0, "hello Praveen")]), [(Rule::Greeting, 1, Contact, High)]);
    assert_eq!(greetings(2, &[(0, 0, "hello there")]), []);
    assert_eq!(greetings(2, &[(0, 0, "hi Anita")]), []);
}

#[test]
fn who_introduces_himself_is_himself() {
    assert_eq!(greetings(2, &[(0, 0, "this is Ravi")]), [(Rule::Greeting, 0, Contact, High)]);
    assert_eq!(greetings(2, &[(0, 0, "Praveen Rao speaking")]), [(Rule::Greeting, 0, User, High)]);
    assert_eq!(
        greetings(2, &[(0, 0, "Hi Ravi, this is Praveen.")]),
        [(Rule::Greeting, 0, User, High), (Rule::Greeting, 0, User, High)]
    );
}

#[test]
fn a_greeting_counts_fully_in_the_first_two_segments_and_thirty_seconds() {
    let filler = (1, 0, "yes");
    let table = [
        (vec![(0, 0, "hi Ravi")], High),
        (vec![filler, (0, 30_000, "hi Ravi")], High),
        (vec![filler, (0, 30_001, "hi Ravi")], Medium),
        (vec![filler, filler, (0, 1000, "hi Ravi")], Medium),
    ];
    for (lines, confidence) in table {
        assert_eq!(greetings(2, &lines), [(Rule::Greeting, 0, User, confidence)], "{lines:?}");
    }
}

#[test]
fn among_more_than_two_only_introductions_count() {
    let lines = [(0, 0, "hi Ravi"), (1, 1000, "this is Ravi"), (2, 2000, "who is this?")];
    assert_eq!(call(3, &lines).evidence(), [(Rule::Greeting, 1, Contact, High)]);
    assert!(!call(3, &lines).findings().mentions_cross);
}

fn mentions(lines: &[(usize, i64, &'static str)]) -> (Vec<(usize, SpeakerRole)>, bool) {
    let found = call(2, lines).findings();
    let pieces = found.evidence.iter().filter(|piece| piece.rule == Rule::Mention);
    (
        pieces
            .map(|piece| {
                assert_eq!(piece.confidence, Medium);
                (piece.speaker, piece.role)
            })
            .collect(),
        found.mentions_cross,
    )
}

#[test]
fn a_name_only_one_side_says_is_the_other_sides() {
    let ravi = "I see, Ravi, thanks";
    let praveen = "okay Praveen, sure";
    let both = "tell Ravi that Praveen knows";
    assert_eq!(mentions(&[(0, 0, ravi), (1, 1, "yes")]), (vec![(0, User)], false));
    assert_eq!(mentions(&[(0, 0, "yes"), (1, 1, ravi)]), (vec![(1, User)], false));
    assert_eq!(mentions(&[(0, 0, praveen), (1, 1, "yes")]), (vec![(0, Contact)], false));
    assert_eq!(mentions(&[(0, 0, ravi), (1, 1, praveen)]), (vec![(1, Contact), (0, User)], false));
    // Both say it: no asymmetry.
    assert_eq!(mentions(&[(0, 0, ravi), (1, 1, ravi)]), (vec![], false));
    // Who says both may be speaking of himself in one of them, whatever the other one says.
    for other in [both, ravi, praveen, "yes"] {
        assert_eq!(mentions(&[(0, 0, both), (1, 1, other)]), (vec![], true), "{other}");
    }
    // Unless it is plain which of them: the other name is still no proof against him.
    assert_eq!(
        mentions(&[(0, 0, "Yes, Ravi."), (0, 1, praveen), (1, 2, "yes")]),
        (vec![(0, Contact)], false)
    );
    assert_eq!(mentions(&[(0, 0, "well"), (1, 1, "yes")]), (vec![], false));
}

#[test]
fn a_name_that_may_be_ones_own_is_no_mention_of_the_other() {
    assert_eq!(mentions(&[(0, 0, "I am calling from Ravi"), (1, 1, "yes")]), (vec![], false));
    assert_eq!(mentions(&[(0, 0, "Ravi."), (1, 1, "okay Ravi")]), (vec![], false));
    // Once is enough to spoil all other mentions of it by the same speaker.
    assert_eq!(mentions(&[(0, 0, "Ravi."), (0, 1, "so Ravi is coming"), (1, 2, "yes")]), (vec![], false));
}

#[test]
fn a_lone_speaker_has_nobody_to_compare_mentions_with() {
    assert!(call(1, &[(0, 0, "I see, Ravi, thanks")]).evidence().is_empty());
}

#[test]
fn answering_phrases_count_while_the_phone_is_picked_up() {
    let phrase = "Acme, how can I help you?";
    let filler = |count: usize| vec![(1, 0, "hello"); count];
    let found = |before: usize, start: i64| {
        let mut lines = filler(before);
        lines.push((0, start, phrase));
        call(2, &lines).evidence()
    };
    let answered = [(Rule::Answering, 0, Contact, Medium)];
    assert_eq!(found(0, 0), answered);
    assert_eq!(found(3, 20_000), answered);
    assert_eq!(found(4, 20_000), []);
    assert_eq!(found(3, 20_001), []);
}

#[test]
fn answering_phrases_do_not_count_on_incoming_calls_or_among_many() {
    let mut call = call(2, &[(0, 0, "hello who is this")]);
    for (direction, count) in [(Direction::Incoming, 0), (Direction::Outgoing, 1), (Direction::Unknown, 1)] {
        call.direction = Some(direction);
        assert_eq!(call.evidence().len(), count, "{direction:?}");
    }
    call.direction = None;
    for (parties, count) in [(1, 0), (2, 1), (3, 0)] {
        call.parties = parties;
        assert_eq!(call.evidence().len(), count, "{parties} parties");
    }
}

#[test]
fn channels_have_the_roles_the_operator_gave_them() {
    let mut call = call(2, &[]);
    assert_eq!(call.evidence(), []);
    call.channel_roles = vec![Contact, User];
    assert_eq!(call.evidence(), [(Rule::Channel, 0, Contact, High), (Rule::Channel, 1, User, High)]);
    call.channel_roles = vec![Unknown, User];
    assert_eq!(call.evidence(), [(Rule::Channel, 1, User, High)]);
    call.channel_roles = vec![User];
    assert_eq!(call.evidence(), [(Rule::Channel, 0, User, High)]);
}
