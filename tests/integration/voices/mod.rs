//! Voice profiles: made, compared with calls, switched off, deleted; and never seen outside their row.

mod calls;
mod profiles;
mod secrets;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use scryon_testkit::{Answer, Client, TestOptions, wav};
use serde_json::Value;

const PATH: &str = "/api/users/me/voice-profile";
/// 32 bytes each.
const KEY: &str = "a2V5LW9mLXRlc3RzLW51bWJlci1vbmUtMTIzNDU2Nzg=";
const FORMER_KEY: &str = "a2V5LW9mLXRlc3RzLW51bWJlci10d28tODc2NTQzMjE=";

/// Hosted engines of the simulator, with voice profiles switched on.
fn voices() -> TestOptions {
    TestOptions::hosted()
        .set("SCRYON_VOICE_EMBEDDING_ENABLED", "true")
        .set("SCRYON_DATA_KEY", format!("{KEY},{FORMER_KEY}"))
        .set("SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS", "1")
        .set("SCRYON_VOICE_PROFILE_WAIT_SECONDS", "60")
}

/// Somebody speaks for four seconds of five. Each is another recording.
fn sample(seconds: u32) -> Vec<u8> {
    let mark = uuid::Uuid::new_v4().as_u128();
    let sound = move |n: u32| {
        if n < 8 {
            (mark >> (16 * n)) as i16
        } else if n / 8_000 % 5 == 4 {
            (n % 7) as i16
        } else {
            ((n * 37) % 8_000) as i16
        }
    };
    wav(1, 8_000, (0..8_000 * seconds).map(sound))
}

fn consented(sample: Vec<u8>) -> Form {
    Form::new().part("file", Part::bytes(sample).file_name("voice.wav")).text("consentAccepted", "true")
}

async fn enrol(client: &Client, form: Form) -> Answer {
    client.send(client.request(Method::POST, PATH).multipart(form)).await
}

async fn status(client: &Client) -> Value {
    client.get(&format!("{PATH}/status")).await.body
}

async fn delete(client: &Client) -> Answer {
    client.send(client.request(Method::DELETE, PATH)).await
}
