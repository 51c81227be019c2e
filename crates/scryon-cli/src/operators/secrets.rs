//! `scryon secrets`: who runs with which, and whether an old one is still needed.

use scryon_config::hash_begin;
use scryon_operations::{Operation, fresh_secret};
use serde_json::Value;

use crate::desk::Desk;
use crate::operators::arguments::SecretCommand;
use crate::operators::print::lines;
use crate::output::{Failure, Output, text};

/// The setting whose first secret signs addresses; every one of it verifies.
const SIGNING: &str = "SCRYON_WEBHOOK_SECRET";

pub(super) async fn secrets(desk: &Desk, output: &Output, command: SecretCommand) -> Result<u8, Failure> {
    if matches!(command, SecretCommand::New) {
        let secret = fresh_secret();
        output.note(&format!(
            "This is the only time that it is shown. `scryon secrets list` will call it {}.",
            hash_begin(&secret)
        ));
        return output.line(&secret);
    }
    let answer = desk.order(Operation::Secrets {}).await?;
    if output.is_json() {
        return output.line(&answer.to_string());
    }
    lines(output, &answer["secrets"], "no program was started with a secret", secret_line)?;
    lines(output, &answer["callbacks"], "no callback was verified yet", |used| {
        let times = text(&used["uses"]);
        let (secret, provider) = (text(&used["secret"]), text(&used["provider"]));
        format!("{secret:<14} verified {times} callbacks of {provider}, the last {}", text(&used["lastSeen"]))
    })?;
    lines(output, &answer["awaited"], "no callback is awaited", |owed| {
        let (jobs, engine) = (text(&owed["jobs"]), text(&owed["engine"]));
        format!("{jobs} callbacks of {engine} are awaited, submitted since {}", text(&owed["oldest"]))
    })
}

fn secret_line(line: &Value) -> String {
    let list =
        |field: &str| -> Vec<String> { line[field].as_array().into_iter().flatten().map(text).collect() };
    let name = text(&line["name"]);
    let mut hashes = list("hashes");
    if name == SIGNING {
        for (place, hash) in hashes.iter_mut().enumerate() {
            hash.push_str(if place == 0 { " signs" } else { " verifies" });
        }
    }
    format!(
        "{name:<28} {}  in {} since {}",
        hashes.join(", "),
        list("programs").join(", "),
        text(&line["since"])
    )
}
