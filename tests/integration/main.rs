//! The installation as its users meet it: everything in one process, real Postgres and RabbitMQ, a fake
//! provider. Tests run in parallel; each has its own schema, queues and storage.

// Helpers of tests may stop a test as tests do.
#![allow(clippy::unwrap_used)]

mod bad_uploads;
mod calls;
mod checker;
mod command_line;
mod controls;
mod doctor;
mod envelope;
mod erasure;
mod fences;
mod holds;
mod hosted;
mod idempotency;
mod journey;
mod keyless;
mod manual;
mod operators;
mod privacy;
mod probes;
mod programs;
mod providers;
mod queue;
mod restore;
mod retention;
mod schema;
mod search;
mod telemetry;
mod uploads;
mod voices;
