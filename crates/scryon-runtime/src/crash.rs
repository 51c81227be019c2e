//! Named crash points: `SCRYON_CRASH_AT=C7` makes a test build end itself there, as hard as `kill -9`.

/// Ends the process if this point is the one named in the settings of a test build.
pub fn crash_point(configured: Option<&str>, name: &str) {
    if cfg!(debug_assertions) && configured == Some(name) {
        tracing::warn!(point = name, "ending this process at a crash point");
        std::process::abort();
    }
}
