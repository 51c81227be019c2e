//! What the command line prints: data on standard output, for people or as JSON; words about it on
//! standard error.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use scryon_store::StoreError;
use serde_json::{Value, json};

/// An end that is no success.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) const CALL_FAILED: u8 = 1;
    pub(crate) const USAGE: u8 = 64;
    pub(crate) const REFUSED: u8 = 65;
    pub(crate) const UNAVAILABLE: u8 = 69;
    pub(crate) const STOPPED: u8 = 70;

    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    #[allow(clippy::needless_pass_by_value)] // used as a function in map_err
    pub(crate) fn from_store(error: StoreError) -> Self {
        let code = if error.is_unavailable() { Self::UNAVAILABLE } else { Self::STOPPED };
        Self::new(code, error.to_string())
    }

    pub(crate) fn is_unavailable(&self) -> bool {
        self.code == Self::UNAVAILABLE
    }

    #[allow(clippy::print_stderr)]
    pub(crate) fn exit(self) -> ExitCode {
        eprintln!("scryon: {}", self.message);
        ExitCode::from(self.code)
    }
}

/// Where data goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a person watches: only then is anything animated.
    pub(crate) fn is_watched(self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// A line of data. A reader that has left (`| head`) ends us quietly.
    pub(crate) fn line(self, text: &str) -> Result<u8, Failure> {
        match writeln!(std::io::stdout().lock(), "{text}") {
            Ok(()) => Ok(0),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
            Err(error) => Err(Failure::new(Failure::STOPPED, error.to_string())),
        }
    }

    /// A word about what happens.
    #[allow(clippy::print_stderr)]
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }

    pub(crate) fn text(self, text: &str) -> Result<u8, Failure> {
        self.line(text.trim_end_matches('\n'))
    }

    pub(crate) fn migrations(self, done: &[String], down: bool) -> Result<u8, Failure> {
        if self.json {
            return self.line(
                &json!({"applied": if down { &[] } else { done }, "reverted": if down { done } else { &[] }})
                    .to_string(),
            );
        }
        let word = if down { "reverted" } else { "applied" };
        for migration in done {
            self.line(&format!("{word} {migration}"))?;
        }
        if done.is_empty() {
            self.note("nothing to do: the schema is up to date");
        }
        Ok(0)
    }

    pub(crate) fn calls(self, calls: &[Value]) -> Result<u8, Failure> {
        for call in calls {
            if self.json {
                self.line(&call.to_string())?;
                continue;
            }
            let title = call["title"].as_str().or(call["originalFileName"].as_str()).unwrap_or("-");
            let seconds = call["durationSeconds"].as_i64().map_or("-".to_owned(), |s| format!("{s} s"));
            self.line(&format!(
                "{}  {:<12}  {:>7}  {}  {title}",
                text(&call["id"]),
                text(&call["status"]),
                seconds,
                text(&call["createdAt"])
            ))?;
        }
        if calls.is_empty() {
            self.note("no calls");
        }
        Ok(0)
    }

    pub(crate) fn call(self, call: &Value) -> Result<u8, Failure> {
        if self.json {
            return self.line(&call.to_string());
        }
        self.line(&format!("{}  {}", text(&call["id"]), text(&call["status"])))?;
        for field in [
            "title",
            "errorReason",
            "errorMessage",
            "durationSeconds",
            "direction",
            "createdAt",
            "reprocessableUntil",
            "queuePosition",
        ] {
            if !call[field].is_null() {
                self.line(&format!("  {field:<18} {}", text(&call[field])))?;
            }
        }
        for stage in call["stages"].as_array().into_iter().flatten() {
            let mut line = format!("  {:<18} {:<10}", text(&stage["stage"]), text(&stage["state"]));
            for (field, unit) in
                [("engine", ""), ("durationMs", " ms"), ("skipReason", ""), ("errorCode", "")]
            {
                if !stage[field].is_null() {
                    line.push_str(&format!("  {}{unit}", text(&stage[field])));
                }
            }
            self.line(line.trim_end())?;
        }
        Ok(0)
    }

    pub(crate) fn analysis(self, analysis: &Value) -> Result<u8, Failure> {
        if self.json {
            return self.line(&analysis.to_string());
        }
        for (label, field) in [
            ("title", "suggestedTitle"),
            ("type", "callType"),
            ("summary", "executiveSummary"),
            ("outcome", "conversationOutcome"),
        ] {
            if let Some(value) = analysis[field].as_str() {
                self.line(&format!("{label:<10} {value}"))?;
            }
        }
        if let Some(overall) = analysis["sentiment"]["overall"].as_str() {
            self.line(&format!("{:<10} {overall}", "sentiment"))?;
        }
        let items = analysis["actionItems"].as_array().cloned().unwrap_or_default();
        self.line(&format!("{} action item{}", items.len(), if items.len() == 1 { "" } else { "s" }))?;
        for item in &items {
            let owner = item["ownerDisplayName"]
                .as_str()
                .or(item["ownerSpeakerLabel"].as_str())
                .unwrap_or("nobody named");
            let due = item["dueDate"].as_str().map(|d| format!(", due {d}")).unwrap_or_default();
            let sources: Vec<&str> =
                item["sourceSegmentIds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            self.line(&format!(
                "  - {}\n      owner {owner}{due}, said in {}",
                text(&item["title"]),
                sources.join(", ")
            ))?;
        }
        let warnings: Vec<&str> =
            analysis["qualityWarnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !warnings.is_empty() {
            self.line(&format!("{:<10} {}", "warnings", warnings.join(", ")))?;
        }
        Ok(0)
    }
}

/// A JSON value without its quotes.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
