//! `scryon probe`: a recording of our own goes the whole way of a customer's, in the tenant `canary`, and leaves again.

use std::time::{Duration, Instant};

use clap::Args;
use reqwest::multipart::{Form, Part};
use scryon_operations::Operation;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api::Api;
use crate::costs::age;
use crate::desk::Desk;
use crate::output::{Failure, Output, text};

/// Whose calls are counted as nobody's.
const TENANT: &str = "canary";
/// Two people on the phone, eleven seconds: 8 kHz, mono, 16 bit.
const RECORDING: &[u8] = include_bytes!("../assets/probe.wav");
/// Bytes of its header.
const HEADER: usize = 44;
const LOOK: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(crate) struct ProbeArguments {
    /// Longest time from the upload to the analysis.
    #[arg(long, value_parser = age, default_value = "2m")]
    within: Duration,
    /// A key of the tenant `canary`; without it one is made for this probe and ended after it.
    #[arg(long, env = "SCRYON_PROBE_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Leave the call in place, to look at it.
    #[arg(long)]
    keep: bool,
}

/// Exit code 0 when every step was done in time.
pub(crate) async fn probe(
    api: Api,
    desk: Desk,
    output: &Output,
    arguments: ProbeArguments,
) -> Result<u8, Failure> {
    let lent = match &arguments.key {
        Some(_) => None,
        None => {
            let (tenant, label) = (TENANT.to_owned(), "probe".to_owned());
            Some(desk.order(Operation::CreateKey { tenant, label, scopes: Vec::new() }).await?)
        }
    };
    let key = arguments.key.clone().or_else(|| lent.as_ref().map(|k| text(&k["secret"]))).unwrap_or_default();
    let mut journey = Journey { output, began: Instant::now(), steps: Map::new(), call: None };
    let api = api.with_bearer(&key);
    let mut ended = journey.go(&api, arguments.within).await;
    if let Some(call) = journey.call.clone().filter(|_| !arguments.keep) {
        let left = leave(&api, &call).await.map_err(|failure| ("deleted", failure));
        if left.is_ok() && ended.is_ok() {
            journey.done("deleted");
        }
        ended = ended.and(left);
    }
    if let Some(id) = lent.and_then(|k| k["id"].as_str().and_then(|id| Uuid::try_parse(id).ok())) {
        let reason = "the probe is over".to_owned();
        if let Err(failure) = desk.order(Operation::RevokeKey { id, reason }).await {
            output.note(&format!("the probe's key {id} still holds: {}", failure.message));
        }
    }
    journey.report(&desk, ended).await
}

async fn leave(api: &Api, call: &str) -> Result<(), Failure> {
    api.delete(call).await?;
    match api.call(call).await {
        Err(failure) if !failure.is_unavailable() => Ok(()),
        Err(failure) => Err(failure),
        Ok(_) => Err(Failure::new(Failure::STOPPED, "the call is still there after its deletion")),
    }
}

struct Journey<'a> {
    output: &'a Output,
    began: Instant,
    /// Step to seconds from the beginning.
    steps: Map<String, Value>,
    call: Option<String>,
}

type Step = &'static str;

impl Journey<'_> {
    async fn go(&mut self, api: &Api, within: Duration) -> Result<(), (Step, Failure)> {
        let upload = async || -> Result<Value, Failure> {
            let file = Part::bytes(recording(Uuid::new_v4().as_u128())).file_name("probe.wav");
            let request =
                api.post("/api/calls/analyze").header("Idempotency-Key", Uuid::new_v4().to_string());
            let response =
                api.send(request.timeout(within).multipart(Form::new().part("file", file))).await?;
            response.json().await.map_err(|e| Failure::new(Failure::UNAVAILABLE, e.to_string()))
        };
        let accepted = upload().await.map_err(|failure| ("accepted", failure))?;
        let id = text(&accepted["callId"]);
        self.call = Some(id.clone());
        self.done("accepted");
        let call = self.completed(api, &id, within).await?;

        let transcript = api.transcript(&id, "application/json").await.map_err(|f| ("transcript", f))?;
        let transcript: Value = serde_json::from_str(&transcript).unwrap_or_default();
        if transcript["segments"].as_array().is_none_or(Vec::is_empty) {
            return Err(("transcript", Failure::new(Failure::CALL_FAILED, "the transcript holds no words")));
        }
        self.done("transcript");
        if stage(&call, "analysis") == "SKIPPED" {
            self.output.note("the analysis is switched off");
            return Ok(());
        }
        let analysis = api.analysis(&id).await.map_err(|failure| ("analysis", failure))?;
        if analysis["schemaVersion"] != 3 {
            return Err(("analysis", Failure::new(Failure::CALL_FAILED, "the analysis has another form")));
        }
        self.done("analysis");
        Ok(())
    }

    /// Follows the call to its end.
    async fn completed(&mut self, api: &Api, id: &str, within: Duration) -> Result<Value, (Step, Failure)> {
        let mut step = "transcribed";
        loop {
            let call = api.call(id).await.map_err(|failure| (step, failure))?;
            if step == "transcribed" && stage(&call, "assembly") == "SUCCEEDED" {
                self.done(step);
                step = "completed";
            }
            match call["status"].as_str().unwrap_or_default() {
                "COMPLETED" => {
                    self.done("completed");
                    return Ok(call);
                }
                status @ ("FAILED" | "CANCELLED") => {
                    let why = call["errorReason"].as_str().map(|r| format!(" ({r})")).unwrap_or_default();
                    return Err((
                        step,
                        Failure::new(Failure::CALL_FAILED, format!("the call ended {status}{why}")),
                    ));
                }
                status if self.began.elapsed() > within => {
                    let words = format!("the call is {status} after {} s", within.as_secs());
                    return Err((step, Failure::new(Failure::CALL_FAILED, words)));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    fn done(&mut self, step: Step) {
        let seconds = (self.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        if !self.output.is_json() {
            // What cannot be printed is no reason to end a probe half way.
            let _printed = self.output.line(&format!("{step:<12} {seconds:8.3} s"));
        }
        self.steps.insert(step.to_owned(), seconds.into());
    }

    /// Keeps the result for dashboards, and says it.
    async fn report(self, desk: &Desk, ended: Result<(), (Step, Failure)>) -> Result<u8, Failure> {
        let failed = ended.as_ref().err().map(|(step, _)| (*step).to_owned());
        let to_analysis = self.steps.get("analysis").or_else(|| self.steps.get("transcript"));
        let seconds =
            to_analysis.and_then(Value::as_f64).unwrap_or_else(|| self.began.elapsed().as_secs_f64());
        let steps = Value::Object(self.steps);
        if self.output.is_json() {
            let error = ended.as_ref().err().map(|(_, failure)| failure.message.clone());
            let line = json!({
                "ok": ended.is_ok(), "callId": self.call, "seconds": seconds, "steps": steps.clone(),
                "failedStep": failed, "error": error,
            });
            self.output.line(&line.to_string())?;
        }
        let note = Operation::NoteProbe { seconds, failed_step: failed, steps };
        if let Err(failure) = desk.order(note).await {
            self.output.note(&format!("the result was not kept for dashboards: {}", failure.message));
        }
        match ended {
            Ok(()) => Ok(0),
            Err((step, failure)) => {
                Err(Failure { message: format!("not {step}: {}", failure.message), ..failure })
            }
        }
    }
}

/// A stage's state, or nothing.
fn stage<'a>(call: &'a Value, name: &str) -> &'a str {
    let mut stages = call["stages"].as_array().into_iter().flatten();
    stages.find(|s| s["stage"] == name).and_then(|s| s["state"].as_str()).unwrap_or_default()
}

/// The recording with noise below hearing that no other has: what was heard before would not be transcribed again.
fn recording(seed: u128) -> Vec<u8> {
    let mut audio = RECORDING.to_vec();
    let mut random = seed | 1;
    for low_byte in audio.iter_mut().skip(HEADER).step_by(2) {
        // Multiplicative congruential: every seed gives another sequence of highest bits.
        random = random.wrapping_mul(0x0fc9_4e3b_f4e9_ab32_8664_58cd_56f5_e605);
        *low_byte ^= u8::from(random >> 127 == 1);
    }
    audio
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_differ_below_hearing_only() {
        assert_eq!(&RECORDING[..4], b"RIFF");
        assert_eq!(&RECORDING[HEADER - 8..HEADER - 4], b"data");
        let (one, other) = (recording(1), recording(2));
        assert_ne!(one, other);
        for audio in [one, other] {
            let changed = audio.iter().zip(RECORDING).filter(|(a, b)| a != b);
            let (few, most) = (RECORDING.len() / 8, RECORDING.len() / 2);
            assert!((few..most).contains(&changed.clone().count()));
            assert!(changed.clone().all(|(a, b)| a ^ b == 1));
            assert_eq!(audio[..HEADER], RECORDING[..HEADER]);
        }
    }
}
