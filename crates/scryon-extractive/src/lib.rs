//! Keyless analysis: a deterministic reading of a transcript without any model.
