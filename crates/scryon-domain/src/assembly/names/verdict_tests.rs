use super::super::Direction;
use super::evidence::{Evidence, Findings, Rule};
use super::verdict::{Verdict, decide};
use crate::transcript::Confidence::{self, High, Medium};
use crate::transcript::LabelSource;
use crate::transcript::SpeakerRole::{self, Contact, User};

type Piece = (Rule, usize, SpeakerRole, Confidence);

fn findings(pieces: &[Piece]) -> Findings {
    let evidence = pieces
        .iter()
        .map(|&(rule, speaker, role, confidence)| Evidence { rule, speaker, role, confidence, named: None })
        .collect();
    Findings { evidence, ..Findings::default() }
}

fn verdicts(pieces: &[Piece], speakers: usize) -> Vec<Verdict> {
    decide(&findings(pieces), speakers, None).speakers
}

fn known(role: SpeakerRole, source: LabelSource, confidence: Confidence) -> Verdict {
    Verdict::Known { role, source, confidence }
}

const BOTH_AMBIGUOUS: [Verdict; 2] = [Verdict::Ambiguous, Verdict::Ambiguous];

#[test]
fn no_evidence_names_nobody() {
    assert_eq!(verdicts(&[], 2), [Verdict::Unknown, Verdict::Unknown]);
    assert_eq!(verdicts(&[], 0), []);
}

#[test]
fn the_first_rule_that_applies_gives_the_label() {
    let order = [
        (Rule::Channel, LabelSource::Channel),
        (Rule::Voice, LabelSource::VoiceEmbedding),
        (Rule::Greeting, LabelSource::GreetingMatch),
        (Rule::Mention, LabelSource::NameMention),
        (Rule::Answering, LabelSource::AnsweringPattern),
    ];
    for first in 0..order.len() {
        let pieces: Vec<Piece> =
            order[first..].iter().rev().map(|&(rule, _)| (rule, 0, Contact, Medium)).collect();
        let expected =
            [known(Contact, order[first].1, Medium), known(User, LabelSource::ByElimination, Medium)];
        assert_eq!(verdicts(&pieces, 2), expected);
    }
}

#[test]
fn each_party_keeps_the_label_of_its_own_evidence() {
    let pieces = [(Rule::Greeting, 0, User, High), (Rule::Mention, 1, Contact, Medium)];
    assert_eq!(
        verdicts(&pieces, 2),
        [known(User, LabelSource::GreetingMatch, High), known(Contact, LabelSource::NameMention, Medium)]
    );
}

#[test]
fn of_several_greetings_the_surest_counts() {
    let pieces = [(Rule::Greeting, 0, User, Medium), (Rule::Greeting, 0, User, High)];
    assert_eq!(verdicts(&pieces, 2)[0], known(User, LabelSource::GreetingMatch, High));
}

#[test]
fn contradictions_name_nobody() {
    let table: [&[Piece]; 7] = [
        // both take the same role
        &[(Rule::Greeting, 0, User, High), (Rule::Greeting, 1, User, High)],
        &[(Rule::Greeting, 0, User, High), (Rule::Greeting, 1, User, Medium)],
        // one takes both
        &[(Rule::Greeting, 0, User, High), (Rule::Greeting, 0, Contact, Medium)],
        // a weaker rule that is as sure
        &[(Rule::Voice, 0, User, High), (Rule::Greeting, 1, User, High)],
        &[(Rule::Voice, 0, User, Medium), (Rule::Greeting, 0, Contact, Medium)],
        &[(Rule::Greeting, 0, User, Medium), (Rule::Mention, 1, User, Medium)],
        &[(Rule::Answering, 0, Contact, Medium), (Rule::Answering, 1, Contact, Medium)],
    ];
    for pieces in table {
        assert_eq!(verdicts(pieces, 2), BOTH_AMBIGUOUS, "{pieces:?}");
        let alone: Vec<Piece> = pieces.iter().filter(|piece| piece.1 == 0).copied().collect();
        if alone.len() == pieces.len() {
            assert_eq!(verdicts(pieces, 1), [Verdict::Ambiguous], "{pieces:?}");
        }
    }
}

#[test]
fn weaker_evidence_does_not_overturn_stronger() {
    let table: [(&[Piece], LabelSource); 5] = [
        (&[(Rule::Voice, 0, User, High), (Rule::Greeting, 1, User, Medium)], LabelSource::VoiceEmbedding),
        (&[(Rule::Greeting, 0, User, High), (Rule::Mention, 1, User, Medium)], LabelSource::GreetingMatch),
        (
            &[
                (Rule::Greeting, 0, User, High),
                (Rule::Greeting, 0, User, Medium),
                (Rule::Mention, 1, User, Medium),
            ],
            LabelSource::GreetingMatch,
        ),
        (&[(Rule::Channel, 0, User, High), (Rule::Greeting, 1, User, High)], LabelSource::Channel),
        (
            &[(Rule::Mention, 0, User, Medium), (Rule::Answering, 0, Contact, Medium)],
            LabelSource::NameMention,
        ),
    ];
    for (pieces, source) in table {
        let Verdict::Known { role: User, source: found, .. } = verdicts(pieces, 2)[0] else {
            panic!("{pieces:?}")
        };
        assert_eq!(found, source);
        assert!(matches!(verdicts(pieces, 2)[1], Verdict::Known { role: Contact, .. }), "{pieces:?}");
    }
}

#[test]
fn crossed_mentions_are_ambiguous_unless_something_better_is_known() {
    let crossed =
        |pieces: &[Piece]| decide(&Findings { mentions_cross: true, ..findings(pieces) }, 2, None).speakers;
    assert_eq!(crossed(&[]), BOTH_AMBIGUOUS);
    assert_eq!(crossed(&[(Rule::Answering, 0, Contact, Medium)]), BOTH_AMBIGUOUS);
    assert_eq!(crossed(&[(Rule::Greeting, 0, User, High)])[0], known(User, LabelSource::GreetingMatch, High));
}

#[test]
fn voices_that_sound_alike_leave_a_mark_only_where_nothing_else_is_known() {
    let alike =
        |pieces: &[Piece]| decide(&Findings { alike: vec![0, 1], ..findings(pieces) }, 2, None).speakers;
    assert_eq!(alike(&[]), BOTH_AMBIGUOUS);
    assert_eq!(alike(&[(Rule::Greeting, 0, User, High)])[0], known(User, LabelSource::GreetingMatch, High));
}

#[test]
fn elimination_needs_exactly_two_parties() {
    let pieces = [(Rule::Voice, 0, User, High)];
    assert_eq!(verdicts(&pieces, 1), [known(User, LabelSource::VoiceEmbedding, High)]);
    assert_eq!(verdicts(&pieces, 2)[1], known(Contact, LabelSource::ByElimination, Medium));
    assert_eq!(verdicts(&pieces, 3)[1..], [Verdict::Unknown, Verdict::Unknown]);
}

#[test]
fn among_many_a_role_that_two_claim_is_nobodys() {
    let voice = (Rule::Voice, 0, User, High);
    let claims = [voice, (Rule::Greeting, 1, User, High), (Rule::Greeting, 2, Contact, High)];
    assert_eq!(
        verdicts(&claims, 4),
        [
            Verdict::Ambiguous,
            Verdict::Ambiguous,
            known(Contact, LabelSource::GreetingMatch, High),
            Verdict::Unknown
        ]
    );
    let oneself = [(Rule::Greeting, 1, User, High), (Rule::Greeting, 1, Contact, High)];
    assert_eq!(verdicts(&oneself, 3), [Verdict::Unknown, Verdict::Ambiguous, Verdict::Unknown]);
    // The operator's word stands.
    let channels = [(Rule::Channel, 0, User, High), (Rule::Greeting, 1, User, High)];
    assert_eq!(
        verdicts(&channels, 3),
        [known(User, LabelSource::Channel, High), Verdict::Ambiguous, Verdict::Unknown]
    );
}

#[test]
fn the_direction_raises_a_late_greeting_and_nothing_else() {
    let raised = |piece: Piece, speakers: usize, direction: Direction| {
        let found = decide(&findings(&[piece]), speakers, Some(direction));
        let Verdict::Known { confidence, .. } = found.speakers[piece.1] else { panic!("{piece:?}") };
        (confidence, found.used_direction)
    };
    let greeting = |speaker, role| (Rule::Greeting, speaker, role, Medium);
    for (piece, direction, expected) in [
        (greeting(0, User), Direction::Incoming, (High, true)),
        (greeting(0, Contact), Direction::Outgoing, (High, true)),
        (greeting(1, Contact), Direction::Incoming, (High, true)),
        (greeting(1, User), Direction::Outgoing, (High, true)),
        (greeting(0, User), Direction::Outgoing, (Medium, false)),
        (greeting(0, Contact), Direction::Incoming, (Medium, false)),
        (greeting(0, User), Direction::Unknown, (Medium, false)),
        ((Rule::Greeting, 0, User, High), Direction::Incoming, (High, false)),
        ((Rule::Mention, 0, User, Medium), Direction::Incoming, (Medium, false)),
        ((Rule::Voice, 0, User, Medium), Direction::Incoming, (Medium, false)),
    ] {
        assert_eq!(raised(piece, 2, direction), expected, "{piece:?} {direction:?}");
    }
    assert_eq!(raised(greeting(0, User), 1, Direction::Incoming), (Medium, false));
    assert_eq!(raised(greeting(0, User), 3, Direction::Incoming), (Medium, false));
    assert_eq!(decide(&findings(&[]), 2, Some(Direction::Incoming)).speakers, [Verdict::Unknown; 2]);
    // The other party is still known by exclusion only.
    let found = decide(&findings(&[greeting(0, User)]), 2, Some(Direction::Incoming));
    assert_eq!(found.speakers[1], known(Contact, LabelSource::ByElimination, Medium));
}
