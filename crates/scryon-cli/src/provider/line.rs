//! A provider in one line.

use scryon_store::Circuit;

/// What a circuit is, in one line.
pub(super) fn line(circuit: &Circuit) -> String {
    let seconds = |seconds: f64| format!("{:.0} s", seconds.max(0.0));
    let state = match (circuit.forced.as_deref(), circuit.open_seconds) {
        (Some("open"), _) => "disabled".to_owned(),
        (Some(_), _) => "asked whatever it answers".to_owned(),
        (None, Some(left)) if left > 0.0 => format!("not asked for {}", seconds(left)),
        (None, Some(_)) => "not asked until one request has succeeded".to_owned(),
        (None, None) => "asked".to_owned(),
    };
    let until = match (circuit.forced.is_some(), circuit.forced_seconds) {
        (true, Some(left)) => format!(" for {}", seconds(left)),
        (true, None) => " until it is enabled".to_owned(),
        _ => String::new(),
    };
    let reason = circuit.forced_reason.as_deref().or(circuit.reason.as_deref());
    let reason = reason.map(|r| format!(": {r}")).unwrap_or_default();
    let (hurry, key) = (hurry(circuit), key(circuit));
    format!("{:<12} {state}{until}{reason}{hurry}{key}", circuit.engine)
}

fn hurry(circuit: &Circuit) -> String {
    let reason = circuit.fail_fast_reason.as_deref().unwrap_or_default();
    match (circuit.fail_fast, circuit.fail_fast_seconds) {
        (false, _) => String::new(),
        (true, Some(left)) => format!("; not waited for for {left:.0} s: {reason}"),
        (true, None) => format!("; not waited for: {reason}"),
    }
}

fn key(circuit: &Circuit) -> String {
    let (Some(result), Some(ago)) = (circuit.check_result.as_deref(), circuit.checked_seconds) else {
        return String::new();
    };
    let left = circuit.quota_left.map(|usd| format!(", ${usd:.2} left")).unwrap_or_default();
    format!("; {}{left} ({:.0} s ago)", said_of_key(result), ago.max(0.0))
}

/// What a look at a key said, in words.
pub(super) fn said_of_key(result: &str) -> &'static str {
    match result {
        "ok" => "its key is taken",
        "bad_key" => "its key is refused",
        "no_credit" => "no credit is left",
        "throttled" => "it asked for a pause when its key was looked at",
        "unreachable" => "it did not answer when its key was looked at",
        _ => "it has no free request that could tell about its key",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_whether_and_why() {
        let circuit = |open, forced: Option<(&str, Option<f64>)>| Circuit {
            engine: "lemonfox".to_owned(),
            open_seconds: open,
            reason: Some("provider_failed".to_owned()),
            forced: forced.map(|f| f.0.to_owned()),
            forced_seconds: forced.and_then(|f| f.1),
            forced_reason: forced.map(|_| "their status page".to_owned()),
            fail_fast: false,
            fail_fast_seconds: None,
            fail_fast_reason: None,
            checked_seconds: None,
            check_result: None,
            credential_ok: None,
            quota_left: None,
        };
        let cases = [
            (circuit(None, None), "lemonfox     asked: provider_failed"),
            (circuit(Some(7.4), None), "lemonfox     not asked for 7 s: provider_failed"),
            (
                circuit(Some(-1.0), None),
                "lemonfox     not asked until one request has succeeded: provider_failed",
            ),
            (circuit(None, Some(("open", Some(60.0)))), "lemonfox     disabled for 60 s: their status page"),
            (
                circuit(None, Some(("open", None))),
                "lemonfox     disabled until it is enabled: their status page",
            ),
            (
                circuit(Some(9.0), Some(("closed", None))),
                "lemonfox     asked whatever it answers until it is enabled: their status page",
            ),
        ];
        for (circuit, expected) in cases {
            assert_eq!(line(&circuit), expected);
        }
    }

    #[test]
    fn a_line_says_what_its_key_is_worth_and_whether_it_is_waited_for() {
        let circuit = Circuit {
            engine: "deepgram".to_owned(),
            open_seconds: None,
            reason: None,
            forced: None,
            forced_seconds: None,
            forced_reason: None,
            fail_fast: true,
            fail_fast_seconds: Some(60.0),
            fail_fast_reason: Some("month end".to_owned()),
            checked_seconds: Some(12.3),
            check_result: Some("ok".to_owned()),
            credential_ok: Some(true),
            quota_left: Some(87.5),
        };
        let expected = "deepgram     asked; not waited for for 60 s: month end; its key is taken, $87.50 left (12 s ago)";
        assert_eq!(line(&circuit), expected);
    }
}
