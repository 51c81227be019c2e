//! Tests of the extractive reading, one file per area.

mod contacts;
mod dates;
mod documents;
mod evidence;
mod fixtures;
mod hostile;
mod lexicon;
mod metadata;
mod mood;
mod numbers;
mod people;
mod properties;
mod questions;
mod summary;
mod tasks;
mod text;
mod times;
mod tone;
mod topics;

use scryon_domain::analysis::Analysis;

use crate::analyse;
use fixtures::{Contact, User, call, recorded};

/// The analysis of one statement of the contact, to which the user says nothing that matters.
fn said(text: &str) -> Analysis {
    analyse(&call(&[(Contact, text), (User, "right")]), &recorded())
}
