use super::fixtures::*;
#[test]
fn show() {
    for t in [support_call(), draft_support_call()] {
        let a = crate::analyse(&t, &recorded());
        println!("{}", serde_json::to_string_pretty(&a).unwrap());
    }
}
