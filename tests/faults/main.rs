//! What breaks: programs and servers that are killed, messages that are lost or doubled, hands at psql, and
//! sizes nobody planned for. One test at a time; each ends with the checker: no call lost, nothing bought
//! twice by the provider's own ledger. Servers that are stopped or killed are a pair of our own.

// Helpers of tests may stop a test as tests do.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout)] // measured times are worth reading

mod clocks;
mod crash_points;
mod drains;
mod fairness;
mod figures;
mod freezes;
mod hints;
mod kills;
mod memory;
mod orders;
mod outages;
mod poison;
mod postgres;
mod races;
mod resets;
mod scale;
mod servers;
mod storage;
mod storms;
mod submits;
mod support;
mod sweeps;
mod wires;
