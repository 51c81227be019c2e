//! The program: what it prints is where it listens.

// Helpers of tests may stop a test as tests do.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_scryon-simulator");

/// Ends the program with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn it_prints_an_address_for_each_provider_and_listens_there() {
    let child =
        Command::new(PROGRAM).args(["127.0.0.1:0", "--sandbox"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let mut lines = Vec::new();
    for line in BufReader::new(running.0.stdout.take().unwrap()).lines() {
        lines.push(line.unwrap());
        // Settings come after the addresses, and this is the last of them.
        if lines.last().is_some_and(|line| line.starts_with("SCRYON_WEBHOOK_SECRET=")) {
            break;
        }
    }
    let address = |name: &str| {
        let line = lines.iter().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.split(" at ").nth(1))
            .unwrap_or_else(|| panic!("{name}: {lines:?}"))
            .to_owned()
    };
    let _already = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    let table = [
        ("lemonfox", "/audio/transcriptions"),
        ("openai", "/models"),
        ("pyannote", "/v1/test"),
        ("deepgram", "/v1/listen"),
        ("assemblyai", "/v2/upload"),
    ];
    for (provider, path) in table {
        let url = address(provider) + path;
        let request = match path {
            "/models" | "/v1/test" => http.get(&url),
            _ => http.post(&url).body("a recording"),
        };
        assert_eq!(request.send().await.unwrap().status(), 401, "{url} is there and wants a key");
    }
}

#[test]
fn help_names_every_argument_and_others_are_refused() {
    let help = Command::new(PROGRAM).arg("--help").output().unwrap();
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for argument in ["ADDRESS", "--latency-ms", "--no-ledger", "--sandbox", "--help"] {
        assert!(text.contains(argument), "{argument}");
    }
    for wrong in [&["--frequency"][..], &["--latency-ms"], &["--latency-ms", "soon"]] {
        let refused = Command::new(PROGRAM).args(wrong).output().unwrap();
        assert!(!refused.status.success() && !refused.stderr.is_empty(), "{wrong:?}");
    }
}
