use scryon_domain::analysis::CallType;

use super::fixtures::{Contact, User, call, recorded};
use super::said;
use crate::analyse;

#[test]
fn the_kind_of_call_needs_several_words_of_its_trade() {
    let cases = [
        ("My router is broken and the warranty ticket is open.", CallType::Support),
        ("The proposal has a discount per seat for the annual plan.", CallType::Sales),
        ("The interview with the candidate is about the position.", CallType::Interview),
        ("The mortgage has a low interest rate at the bank.", CallType::Finance),
        ("The doctor changed the prescription after the surgery.", CallType::Healthcare),
        ("The lawyer sent the settlement to the court.", CallType::Legal),
        ("The teacher moved the exam to another semester.", CallType::Education),
        ("Mom, the birthday dinner is on the weekend.", CallType::Personal),
        ("The project report goes to the client and the supplier.", CallType::Business),
        ("The router stands on a shelf.", CallType::Unknown),
        ("The sky is blue.", CallType::Unknown),
        // As many words for support as for sales.
        ("The router ticket has a discount and a trial.", CallType::Unknown),
    ];
    for (statement, expected) in cases {
        assert_eq!(said(statement).call_type, Some(expected), "{statement}");
    }
}

#[test]
fn tags_are_frequent_words_and_never_names_numbers_or_function_words() {
    let lines = [
        (
            User,
            "Maria Gonzalez asked about the antenna. The antenna of Maria Gonzalez costs 500 dollars on Friday.",
        ),
        (
            Contact,
            "The antennas are on the roof because the roof is high. Maria said 500. She said it on Friday.",
        ),
        (User, "I know, I know, I said that the roof is fine, Gonzalez."),
    ];
    let tags = analyse(&call(&lines), &recorded()).tags;
    assert_eq!(tags, ["antenna", "roof"]);
}

#[test]
fn the_kind_of_call_is_the_first_tag_and_only_once() {
    let analysis =
        said("Support said my router is broken, the support ticket is open, and support has the warranty.");
    assert_eq!(analysis.call_type, Some(CallType::Support));
    assert_eq!(analysis.tags.first().map(String::as_str), Some("support"));
    assert_eq!(analysis.tags.iter().filter(|tag| *tag == "support").count(), 1);
}

#[test]
fn words_said_once_are_no_tags_unless_they_are_of_a_trade() {
    assert_eq!(said("The antelope jumped over the warranty.").tags, ["warranty"]);
}
