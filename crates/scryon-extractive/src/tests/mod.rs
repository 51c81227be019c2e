//! Tests of the extractive reading, one file per area.

mod fixtures;
mod scratch;
