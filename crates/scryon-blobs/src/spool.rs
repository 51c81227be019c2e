//! The folder in front of a remote store. A program that is killed leaves its recordings there: disk that fills up,
//! and what callers said, kept beyond anybody's retention.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// Far beyond the longest upload and the longest step: what is older belongs to no program that is alive.
pub(crate) const LEFT: Duration = Duration::from_secs(24 * 3600);

/// Removes files that nobody wrote to for `older_than`, and folders that are empty. Other programs share the
/// folder and may remove the same file, so nothing here is an error.
pub(crate) fn tidy(folder: &Path, older_than: Duration) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(data)) = (entry.path(), entry.metadata()) else { continue };
        let age = data.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let old = age.is_some_and(|age| age >= older_than);
        if data.is_dir() {
            tidy(&path, older_than);
            if old {
                let _not_empty = std::fs::remove_dir(&path);
            }
        } else if old {
            let _gone_already = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_program_left_goes_and_what_is_being_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join("tenants/t/left.wav");
        let fresh = dir.path().join("tenants/t/fresh.wav");
        std::fs::create_dir_all(left.parent().unwrap()).unwrap();
        for file in [&left, &fresh] {
            std::fs::write(file, b"spoken").unwrap();
        }
        let yesterday = SystemTime::now() - LEFT;
        std::fs::File::options().write(true).open(&left).unwrap().set_modified(yesterday).unwrap();
        tidy(dir.path(), LEFT);
        assert!(!left.exists());
        assert!(fresh.exists());
    }
}
