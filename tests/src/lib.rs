//! Holds the tests beside it; has nothing of its own.
