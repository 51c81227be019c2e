//! Log lines in three forms. A line reads alone: the fields of the spans around an event (callId, reqId, …)
//! are part of it. Everything goes to standard error; standard output belongs to data.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::OnceLock;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt as subscriber_fmt, reload};

use crate::settings::TelemetrySettings;
use crate::value::LogFormat;

/// Libraries whose words about themselves are no help at 3 a.m.: what matters of them is logged by whoever
/// uses them. SCRYON_LOG can name them again.
const QUIET: &str = "lapin=off,actix_server=warn,actix_http=warn";

/// The filter of this process and what it was started with.
static LEVEL: OnceLock<(reload::Handle<EnvFilter, Registry>, String)> = OnceLock::new();

/// Starts logging for this process. A second call (several programs in one process) changes nothing.
pub fn init(settings: &TelemetrySettings) {
    let wanted = format!("{QUIET},{}", settings.log_filter);
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let _already_started = LEVEL.set((handle, wanted));
    let registry = tracing_subscriber::registry().with(filter);
    let _already_started = match settings.log_format {
        LogFormat::Pretty => registry
            .with(subscriber_fmt::layer().compact().with_target(false).with_writer(std::io::stderr))
            .try_init(),
        form => registry.with(LineLayer { form, write: write_stderr }).try_init(),
    };
}

/// Logs more of some parts (`scryon_providers=debug`) for a while; `None` goes back to what the process was started with.
///
/// # Errors
/// What is wrong with the directive; the level stays as it was.
pub fn set_level(directive: Option<&str>) -> Result<(), String> {
    let Some((handle, started_with)) = LEVEL.get() else { return Ok(()) };
    let wanted = directive.map_or_else(|| started_with.clone(), |more| format!("{started_with},{more}"));
    let filter = EnvFilter::try_new(wanted).map_err(|e| e.to_string())?;
    handle.reload(filter).map_err(|e| e.to_string())
}

fn write_stderr(line: &str) {
    // A log line that cannot be written has nobody left to tell.
    let _lost = std::io::stderr().lock().write_all(line.as_bytes());
}

/// Fields in the order they were recorded.
#[derive(Debug, Default, Clone)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn set(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(slot) => slot.1 = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), Value::String(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), Value::String(value.to_owned()));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }
}

/// Writes one line per event.
struct LineLayer {
    form: LogFormat,
    write: fn(&str),
}

impl<S> Layer<S> for LineLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in
            context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(outer) = span.extensions().get::<Fields>() {
                for (name, value) in &outer.0 {
                    fields.set(name, value.clone());
                }
            }
        }
        event.record(&mut fields);
        let line = line(self.form, event.metadata().level().as_str(), event.metadata().target(), &fields);
        (self.write)(&line);
    }
}

fn line(form: LogFormat, level: &str, target: &str, fields: &Fields) -> String {
    let ts = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    // tracing calls the text of an event `message`; readers look for it last on a line.
    let (message, rest): (Vec<_>, Vec<_>) = fields.0.iter().partition(|(name, _)| *name == "message");
    let message = message.first().map(|(_, v)| v.clone());
    if form == LogFormat::Json {
        let mut object = Map::new();
        object.insert("ts".into(), ts.into());
        object.insert("level".into(), level.into());
        object.insert("target".into(), target.into());
        for (name, value) in rest {
            object.insert((*name).into(), value.clone());
        }
        object.extend(message.map(|m| ("msg".to_owned(), m)));
        return format!("{}\n", Value::Object(object));
    }
    let mut out = format!("ts={ts} level={level} target={target}");
    for (name, value) in rest {
        let _infallible = write!(out, " {name}={}", kv_value(value));
    }
    if let Some(message) = message {
        let _infallible = write!(out, " msg={}", kv_value(&message));
    }
    out.push('\n');
    out
}

/// Bare where that is unambiguous, else a JSON string: one line stays one line.
fn kv_value(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && text.chars().all(is_bare) => text.clone(),
        other => other.to_string(),
    }
}

fn is_bare(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        let mut fields = Fields::default();
        fields.set("callId", Value::String("c1".into()));
        fields.set("durationMs", 12.into());
        fields.set("reason", Value::String("two words\n\"quoted\"".into()));
        fields.set("message", Value::String("stage done".into()));
        fields
    }

    #[test]
    fn a_kv_line_is_one_line_whatever_it_holds() {
        let text = line(LogFormat::Kv, "INFO", "scryon", &fields());
        let tail = text.split_once(" target=scryon ").unwrap().1;
        assert_eq!(
            tail,
            "callId=c1 durationMs=12 reason=\"two words\\n\\\"quoted\\\"\" msg=\"stage done\"\n"
        );
    }

    #[test]
    fn a_json_line_is_one_object() {
        let text = line(LogFormat::Json, "WARN", "scryon", &fields());
        assert_eq!(text.lines().count(), 1);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], "WARN");
        assert_eq!(value["durationMs"], 12);
        assert_eq!(value["msg"], "stage done");
    }

    #[test]
    fn fields_of_the_spans_around_an_event_are_part_of_its_line() {
        use std::sync::Mutex;
        static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let layer =
            LineLayer { form: LogFormat::Kv, write: |line| LINES.lock().unwrap().push(line.to_owned()) };
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("stage", callId = "c7", stage = "assembly");
            span.in_scope(|| tracing::info!(event = "PIPELINE", stage = "ANALYZED", "done"));
        });
        let lines = LINES.lock().unwrap();
        let tail = lines[0].split_once(" callId=").unwrap().1;
        assert_eq!(tail, "c7 stage=ANALYZED event=PIPELINE msg=done\n");
    }
}
