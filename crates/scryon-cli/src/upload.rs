//! `scryon upload`: bytes with a bar, and with `--wait` the stages until the call is done.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::TryStreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Body;
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value, json};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use crate::api::Api;
use crate::output::{Failure, Output, text};

const TRIES: u32 = 3;

/// Recordings and what is known about them.
#[derive(Args)]
pub(crate) struct UploadArguments {
    /// Recordings to upload.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Wait until every call is done; exit code 1 when one ends FAILED or CANCELLED.
    #[arg(long)]
    wait: bool,
    /// Title of the call.
    #[arg(long)]
    title: Option<String>,
    /// Name of the other party.
    #[arg(long)]
    contact_name: Option<String>,
    /// Phone number of the other party.
    #[arg(long)]
    phone_number: Option<String>,
    /// INCOMING, OUTGOING or UNKNOWN.
    #[arg(long)]
    direction: Option<String>,
    /// When it was recorded, as 2026-11-21T10:00:00Z.
    #[arg(long)]
    recorded_at: Option<String>,
}

impl UploadArguments {
    fn metadata(&self) -> Value {
        let fields = [
            ("title", &self.title),
            ("contactName", &self.contact_name),
            ("phoneNumber", &self.phone_number),
            ("direction", &self.direction),
            ("recordedAt", &self.recorded_at),
        ];
        let set =
            fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))));
        Value::Object(set.collect::<Map<_, _>>())
    }
}

/// Uploads one file after the other; with `--wait` waits for all.
pub(crate) async fn upload(api: &Api, output: &Output, arguments: UploadArguments) -> Result<u8, Failure> {
    let mut accepted = Vec::new();
    for file in &arguments.files {
        let answer = send(api, output, file, &arguments.metadata()).await?;
        let id = text(&answer["callId"]);
        if output.is_json() && !arguments.wait {
            output.line(&answer.to_string())?;
        } else if !arguments.wait {
            output.line(&id)?;
        }
        accepted.push((file.clone(), id));
    }
    if !arguments.wait {
        return Ok(0);
    }
    let mut code = 0;
    for (file, id) in accepted {
        let call = wait(api, output, &file, &id).await?;
        output.call(&call)?;
        if call["status"] != "COMPLETED" {
            code = Failure::CALL_FAILED;
        }
    }
    Ok(code)
}

/// The same key for every try: an answer that was lost does not make a second call.
async fn send(api: &Api, output: &Output, file: &Path, metadata: &Value) -> Result<Value, Failure> {
    let key = Uuid::new_v4().to_string();
    let mut tries = 0;
    loop {
        tries += 1;
        let form = form(output, file, metadata).await?;
        let sent =
            api.send(api.post("/api/calls/analyze").header("Idempotency-Key", &key).multipart(form)).await;
        match sent {
            Ok(response) => {
                return response.json().await.map_err(|e| Failure::new(Failure::UNAVAILABLE, e.to_string()));
            }
            Err(failure) if failure.is_unavailable() && tries < TRIES => {
                output.note(&format!("{}; trying again", failure.message));
                tokio::time::sleep(Duration::from_secs(u64::from(tries))).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn form(output: &Output, file: &Path, metadata: &Value) -> Result<Form, Failure> {
    let unreadable = |e: std::io::Error| Failure::new(Failure::USAGE, format!("{}: {e}", file.display()));
    let opened = tokio::fs::File::open(file).await.map_err(unreadable)?;
    let length = opened.metadata().await.map_err(unreadable)?.len();
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let bar = bytes_bar(output, length, &name);
    let stream = ReaderStream::with_capacity(opened, 128 << 10).inspect_ok(move |chunk| {
        bar.inc(chunk.len() as u64);
        if bar.position() >= length {
            bar.finish_and_clear();
        }
    });
    let part = Part::stream_with_length(Body::wrap_stream(stream), length).file_name(name);
    let mut form = Form::new();
    if metadata.as_object().is_some_and(|m| !m.is_empty()) {
        form = form.text("metadata", metadata.to_string());
    }
    Ok(form.part("file", part))
}

fn bytes_bar(output: &Output, length: u64, name: &str) -> ProgressBar {
    let bar = bar(output, ProgressBar::new(length), "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    bar.set_message(name.to_owned());
    bar
}

/// Nothing is drawn where nobody watches.
fn bar(output: &Output, bar: ProgressBar, template: &str) -> ProgressBar {
    bar.set_draw_target(if output.is_watched() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    });
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Follows the stages until the call is done.
async fn wait(api: &Api, output: &Output, file: &Path, id: &str) -> Result<Value, Failure> {
    let started = Instant::now();
    let bar = bar(output, ProgressBar::new(5), "{msg} {bar:30} {pos}/5 stages {elapsed}");
    let mut seen = String::new();
    loop {
        let call = api.call(id).await?;
        let stages = call["stages"].as_array().cloned().unwrap_or_default();
        let done =
            stages.iter().filter(|s| matches!(s["state"].as_str(), Some("SUCCEEDED" | "SKIPPED"))).count();
        bar.set_position(done as u64);
        let now = working_on(&call, &stages);
        bar.set_message(format!("{} {now}", file.display()));
        if !output.is_watched() && now != seen {
            output.note(&format!("{:6.1} s  {}  {now}", started.elapsed().as_secs_f64(), file.display()));
            seen = now;
        }
        if matches!(call["status"].as_str(), Some("COMPLETED" | "FAILED" | "CANCELLED")) {
            bar.finish_and_clear();
            return Ok(call);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn working_on(call: &Value, stages: &[Value]) -> String {
    let running = stages.iter().filter(|s| s["state"] == "RUNNING").map(|s| text(&s["stage"]));
    let running: Vec<String> = running.collect();
    let status = text(&call["status"]);
    if running.is_empty() { status } else { format!("{status}: {}", running.join(" and ")) }
}
