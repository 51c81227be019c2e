//! The installation as its users meet it.

mod journey;
