//! Analysis by a language model over chat completions: OpenAI, or any server that speaks its API.

mod answer;
mod document;
mod price;
mod prompt;
mod schema;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use scryon_config::EngineSettings;
use scryon_domain::transcript::Transcript;
use serde_json::{Value, json};

use self::answer::{Outcome, Usage};
use self::price::TokenPrice;
use self::prompt::Prompt;
use super::{Key, hosted};
use crate::engine::{AnalysisEngine, AnalysisRequest, Answer, EngineInfo, ProviderError};
use crate::http::{Failure, Fault, HttpClient};

const NAME: &str = "openai";
/// Bytes of an answer.
const ANSWER_LIMIT: usize = 8 << 20;
/// The room that is asked for at first: hours of talk, within the reach of usual models and below the size at which
/// prices rise.
const ROOM: Room = Room { input: 100_000, output: 12_000 };
/// With less room for it an answer is no analysis.
const LEAST_OUTPUT: u32 = 2_000;
/// Version of the prompt: another one is another question.
const PROMPT_VERSION: u32 = 1;

/// The engine.
#[derive(Debug)]
pub struct LlmEngine {
    info: EngineInfo,
    http: HttpClient,
    url: String,
    key: Key,
    wait: Duration,
    temperature: f64,
    price: Option<TokenPrice>,
    /// What the server was found to refuse; remembered, so that it is found out once.
    no_strict_schema: AtomicBool,
    no_temperature: AtomicBool,
}

/// What a request makes use of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dialect {
    /// `json_schema` in strict mode; else `json_object`, with the schema in words.
    strict: bool,
    temperature: bool,
}

impl Dialect {
    /// The dialect to try after this one was refused, where there is one.
    fn after(self, fault: Fault) -> Option<Self> {
        match fault {
            Fault::Temperature if self.temperature => Some(Self { temperature: false, ..self }),
            Fault::Request | Fault::Temperature if self.strict => Some(Self { strict: false, ..self }),
            _ => None,
        }
    }
}

/// How much of a model's context a request makes use of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    /// Estimated tokens of the transcript at most.
    input: usize,
    /// Tokens an answer may take, thoughts included; twice as many where that was too few.
    output: u32,
}

impl Room {
    /// The room to ask for after this one was refused, with so many tokens of transcript sent: whatever of the two
    /// is larger is halved.
    fn after(self, sent: usize) -> Option<Self> {
        if sent > self.output as usize {
            return Some(Self { input: sent / 2, ..self });
        }
        let output = self.output / 2;
        (output >= LEAST_OUTPUT).then_some(Self { output, ..self })
    }
}

/// Tokens of all answers to one question; `None` while nothing was told.
#[derive(Debug, Default)]
struct Spent(Option<Usage>);

/// The first whole answer, and what it was asked for with.
struct First {
    prompt: Prompt,
    said: String,
    most_tokens: u32,
}

impl LlmEngine {
    /// Needs LLM_API_KEY.
    pub fn new(settings: &EngineSettings, http: HttpClient) -> Result<Self, String> {
        let key = Key::new(NAME, "LLM_API_KEY", &settings.llm_api_key)?;
        let model = settings.llm_model.clone();
        let base = &settings.llm_base_url.0;
        let price = price::of(&settings.prices, &model);
        let variant = format!("{base} {} {PROMPT_VERSION}", settings.llm_temperature.0);
        Ok(Self {
            info: hosted(NAME, model, variant, price.map(|price| price.per_minute())),
            http,
            url: format!("{base}/chat/completions"),
            key,
            wait: settings.llm_timeout.0,
            temperature: settings.llm_temperature.0,
            price,
            no_strict_schema: AtomicBool::new(false),
            no_temperature: AtomicBool::new(false),
        })
    }

    fn dialect(&self) -> Dialect {
        Dialect {
            strict: !self.no_strict_schema.load(Ordering::Relaxed),
            temperature: !self.no_temperature.load(Ordering::Relaxed),
        }
    }

    /// Sends messages in the best dialect the server takes. `messages` makes them for a server that takes the
    /// schema by itself, or not.
    async fn ask(
        &self,
        messages: impl Fn(bool) -> Vec<Value>,
        most_tokens: u32,
        spent: &mut Spent,
    ) -> Result<Outcome, Failure> {
        let mut dialect = self.dialect();
        loop {
            let body =
                body(&self.info.model, &messages(!dialect.strict), most_tokens, dialect, self.temperature);
            let request =
                self.http.post(self.url.clone()).timeout(self.wait).bearer_auth(&self.key.0).json(&body);
            match self.http.ask(NAME, request, ANSWER_LIMIT).await {
                Ok(body) => {
                    self.no_strict_schema.fetch_or(!dialect.strict, Ordering::Relaxed);
                    self.no_temperature.fetch_or(!dialect.temperature, Ordering::Relaxed);
                    let (outcome, usage) = answer::read(&body)?;
                    if let Some(usage) = usage {
                        self.http.count_tokens(usage.prompt, usage.completion);
                        spent.0 = Some(spent.0.unwrap_or_default().plus(usage));
                    }
                    return Ok(outcome);
                }
                Err(failure) => dialect = dialect.after(failure.fault).ok_or(failure)?,
            }
        }
    }

    /// The first answer that is a whole text. One that was cut off gets more room, once; a model that has less of it
    /// than is asked for is asked for less.
    async fn first(&self, request: &AnalysisRequest<'_>, spent: &mut Spent) -> Result<First, ProviderError> {
        let mut room = ROOM;
        let mut was_cut_off = false;
        loop {
            let prompt = prompt::prompt(request.transcript, request.recorded_at, room.input);
            let messages = |with_schema| prompt::messages(&prompt, with_schema);
            match self.ask(messages, room.output, spent).await {
                Ok(Outcome::CutOff) if !was_cut_off => {
                    was_cut_off = true;
                    room.output *= 2;
                }
                Ok(outcome) => {
                    return text(outcome).map(|said| First { prompt, said, most_tokens: room.output });
                }
                Err(failure) => {
                    let smaller = room.after(prompt.tokens);
                    room = smaller
                        .filter(|_| failure.fault == Fault::TooLong && !was_cut_off)
                        .ok_or(failure.error)?;
                }
            }
        }
    }

    /// Asks for a corrected document, once. An answer is paid for already: where no better one comes, it serves
    /// without the parts that break the schema.
    async fn corrected(
        &self,
        first: &First,
        problems: &[String],
        transcript: &Transcript,
        spent: &mut Spent,
    ) -> Result<Value, ProviderError> {
        let messages = |with_schema| {
            let mut messages = prompt::messages(&first.prompt, with_schema);
            messages.extend(prompt::repair(&first.said, problems));
            messages
        };
        let mend = |said: &str| document::mended(said, transcript, first.prompt.truncated);
        let outcome = self.ask(messages, first.most_tokens, spent).await;
        let error = match outcome.map_err(|failure| failure.error).and_then(text) {
            Ok(said) => match mend(&said) {
                Ok(document) => return Ok(document),
                Err(problems) => ProviderError::Malformed { engine: NAME, message: problems.join("; ") },
            },
            Err(error) => error,
        };
        mend(&first.said).map_err(|_| error)
    }

    fn answer(&self, content: Value, spent: &Spent) -> Answer<Value> {
        let tokens = spent.0.map(|usage| (usage.prompt + usage.completion) as f64);
        Answer {
            content,
            units: tokens,
            unit: tokens.map(|_| "tokens"),
            billed_cost: spent.0.zip(self.price).map(|(usage, price)| price.cost(usage)),
        }
    }
}

/// The body of a request.
fn body(model: &str, messages: &[Value], most_tokens: u32, dialect: Dialect, temperature: f64) -> Value {
    let format = if dialect.strict {
        json!({"type": "json_schema", "json_schema":
            {"name": "call_analysis", "strict": true, "schema": schema::strict_schema()}})
    } else {
        json!({"type": "json_object"})
    };
    let mut body = json!({
        "model": model,
        "messages": messages,
        "max_completion_tokens": most_tokens,
        "response_format": format,
    });
    if dialect.temperature {
        body["temperature"] = temperature.into();
    }
    body
}

/// The text of an answer that has one. What a model will not say or cannot say in full, it will not later.
fn text(outcome: Outcome) -> Result<String, ProviderError> {
    let rejected = |message: &str| ProviderError::Rejected { engine: NAME, message: message.to_owned() };
    match outcome {
        Outcome::Content(text) => Ok(text),
        Outcome::Refused => Err(rejected("the model declined")),
        Outcome::Filtered => Err(rejected("its content filter took the answer")),
        Outcome::CutOff => Err(rejected("the answer is longer than it may be")),
        Outcome::Nothing => {
            Err(ProviderError::Malformed { engine: NAME, message: "an answer without text".to_owned() })
        }
    }
}

#[async_trait]
impl AnalysisEngine for LlmEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    async fn analyse(&self, request: AnalysisRequest<'_>) -> Result<Answer<Value>, ProviderError> {
        let transcript = request.transcript;
        if transcript.segments.is_empty() {
            let content = document::without_speech();
            return Ok(Answer { content, units: Some(0.0), unit: Some("tokens"), billed_cost: Some(0.0) });
        }
        let mut spent = Spent::default();
        let first = self.first(&request, &mut spent).await?;
        let document = match document::document(&first.said, transcript, first.prompt.truncated) {
            Ok(document) => document,
            Err(problems) => {
                tracing::debug!(
                    provider = NAME,
                    problems = problems.join("; "),
                    "asking for a corrected analysis"
                );
                self.corrected(&first, &problems, transcript, &mut spent).await?
            }
        };
        Ok(self.answer(document, &spent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_the_server_takes() {
        let messages = [json!({"role": "user", "content": "c"})];
        let strict = body("m", &messages, 7, Dialect { strict: true, temperature: true }, 0.2);
        assert_eq!(strict["model"], "m");
        assert_eq!(strict["max_completion_tokens"], 7);
        assert_eq!(strict["temperature"], 0.2);
        assert_eq!(strict["messages"], json!(messages));
        let format = &strict["response_format"];
        assert_eq!(format["type"], "json_schema");
        assert_eq!(
            (&format["json_schema"]["strict"], &format["json_schema"]["name"]),
            (&json!(true), &json!("call_analysis"))
        );
        assert_eq!(format["json_schema"]["schema"]["type"], "object");
        let plain = body("m", &messages, 7, Dialect { strict: false, temperature: false }, 0.2);
        assert_eq!(plain["response_format"], json!({"type": "json_object"}));
        assert!(plain.get("temperature").is_none());
    }

    #[test]
    fn a_refused_part_is_left_out_and_nothing_is_tried_twice() {
        let full = Dialect { strict: true, temperature: true };
        let cool = Dialect { strict: true, temperature: false };
        let loose = Dialect { strict: false, temperature: true };
        let least = Dialect { strict: false, temperature: false };
        let cases = [
            (full, Fault::Request, Some(loose)),
            (full, Fault::Temperature, Some(cool)),
            (cool, Fault::Request, Some(least)),
            (loose, Fault::Temperature, Some(least)),
            (loose, Fault::Request, None),
            (least, Fault::Request, None),
            (least, Fault::Temperature, None),
            (full, Fault::TooLong, None),
            (full, Fault::Other, None),
        ];
        for (dialect, fault, expected) in cases {
            assert_eq!(dialect.after(fault), expected, "{dialect:?} {fault:?}");
        }
    }

    #[test]
    fn the_larger_part_of_a_request_is_halved_until_little_is_left() {
        let cases = [
            ((100_000, 12_000), 80_000, Some((40_000, 12_000))),
            ((40_000, 12_000), 12_001, Some((6_000, 12_000))),
            ((100_000, 12_000), 12_000, Some((100_000, 6_000))),
            ((100_000, 4_000), 100, Some((100_000, 2_000))),
            ((100_000, 3_999), 100, None),
        ];
        for ((input, output), sent, expected) in cases {
            let expected = expected.map(|(input, output)| Room { input, output });
            assert_eq!(Room { input, output }.after(sent), expected, "{input} {output} {sent}");
        }
        // Whatever was sent, it ends.
        let mut room = ROOM;
        let mut tries = 1;
        while let Some(smaller) = room.after(room.input) {
            room = smaller;
            tries += 1;
        }
        assert!(tries < 12 && room.input <= LEAST_OUTPUT as usize * 2, "{tries} {room:?}");
    }

    #[test]
    fn only_a_whole_text_is_read() {
        assert_eq!(text(Outcome::Content("{}".to_owned())).unwrap(), "{}");
        for outcome in [Outcome::Refused, Outcome::Filtered, Outcome::CutOff] {
            let error = text(outcome.clone()).unwrap_err();
            assert!(matches!(error, ProviderError::Rejected { .. }), "{outcome:?}");
        }
        assert!(matches!(text(Outcome::Nothing).unwrap_err(), ProviderError::Malformed { .. }));
    }
}
