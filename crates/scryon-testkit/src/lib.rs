//! A whole installation per test, on real Postgres and RabbitMQ: its own schema, its own queue prefix, its
//! own storage folder, a fake provider with a ledger. Tests run in parallel, without sleeps and without
//! retries: they wait for conditions.

mod app;
mod audio;
mod broker;
mod checker;
mod client;
mod database;
mod dice;
mod figures;
mod gate;
mod link;
mod process;
mod proxy;
mod s3;
mod servers;
mod storage;
mod wait;
mod watch;

pub use app::{Parts, TestApp, TestOptions, Wires};
pub use audio::{quiet_wav, unique_wav, unique_wav_of, wav};
pub use broker::{BrokerConnection, Peeked};
pub use checker::{Speech, Verdict};
pub use client::{Answer, Client};
pub use database::Database;
pub use dice::Dice;
pub use figures::{Times, is_full, promised, scale};
pub use gate::Gate;
pub use link::Link;
pub use process::{Stack, StackProgram, free_port, scryon_command};
pub use proxy::{Proxy, Way};
pub use s3::{ObjectStore, StorageFault};
pub use scryon_simulator::{
    CallbackFault, ChatFault, Dialect, Fault, HostedOptions, JobFault, Purchase, Quota, SANDBOX_SECRET,
    Simulator, Traffic, WordPlace,
};
pub use servers::{Pair, Servers, faketime, repository};
pub use storage::objects;
pub use wait::{elapse, eventually, eventually_within, promptly};
pub use watch::allow as allow_silence;
