//! Holds the tests beside it, and what several of them know.

/// Migrations of the repository: one folder each.
///
/// # Panics
/// When the folder cannot be read.
pub fn migrations() -> usize {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
    std::fs::read_dir(folder).expect("migrations can be listed").count()
}
