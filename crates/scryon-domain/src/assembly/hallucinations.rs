//! Step 2c: stock phrases that engines of the Whisper family write over silence, learnt from subtitles.
//!
//! A phrase alone proves nothing, people do thank each other. A piece is dropped only when it consists of the
//! phrase and nothing else, and when besides that little speaks for a voice:
//!
//! | phrase | needs |
//! |---|---|
//! | of video makers and subtitlers | one of: silence around it, said more than once, drawn out, engine unsure |
//! | also said on the phone ("thank you") | silence around it **and** drawn out |

use std::collections::BTreeMap;

use super::pieces::Piece;
use super::time::Millis;
use super::tokens::normal;
use super::turns::WORD_CAP;

/// Nobody speaks this long before and after: silence around a piece.
const SILENCE: Millis = 5000;
/// Slower than this per word is drawn out; people rarely take longer than a second for one.
const DRAWN_OUT: Millis = 2000;
/// Mean word confidence below which the engine is unsure.
const UNSURE: f32 = 0.4;
/// Nothing longer is compared.
const LONGEST_PHRASE: usize = 12;

/// Whole pieces that belong into videos, not into calls.
const VIDEO_PHRASES: &[&str] = &[
    "don't forget to subscribe",
    "like and subscribe",
    "please like and subscribe",
    "please subscribe",
    "please subscribe to my channel",
    "see you in the next video",
    "see you next time",
    "subscribe to my channel",
    "thank you for watching",
    "thank you for watching this video",
    "thank you so much for watching",
    "thanks for watching",
    "thanks for watching and i'll see you in the next video",
    "thanks for watching guys",
    "vielen dank fürs zuschauen",
    "gracias por ver el video",
    "merci d'avoir regardé cette vidéo",
    "untertitel der amara org community",
    "untertitelung des zdf 2020",
];
/// Beginnings of the credits of subtitles, whatever name follows.
const CREDITS: &[&str] = &[
    "captions by",
    "captioning by",
    "sous titres réalisés par",
    "subtitles by",
    "subtitles made by",
    "subtítulos realizados por",
    "subtítulos por",
    "transcribed by",
    "transcription by",
    "translated by",
    "untertitel von",
];
/// Also said on the phone all the time.
const COURTESIES: &[&str] = &[
    "bye",
    "bye bye",
    "ok",
    "okay",
    "so",
    "thank you",
    "thank you so much",
    "thank you very much",
    "thanks",
    "you",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stock {
    Video,
    Courtesy,
}

/// Drops hallucinated pieces; says whether it did. `pieces` are all pieces of the call in order of start.
pub(super) fn drop_hallucinations(pieces: &mut Vec<Piece<'_>>) -> bool {
    let texts: Vec<Option<String>> = pieces.iter().map(text).collect();
    if texts.iter().all(Option::is_none) {
        return false;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for text in texts.iter().flatten() {
        *counts.entry(text).or_default() += 1;
    }
    let isolated = isolated(pieces);
    let verdicts: Vec<bool> = pieces
        .iter()
        .zip(&texts)
        .zip(isolated)
        .map(|((piece, text), isolated)| {
            let Some(text) = text else { return false };
            let repeated = counts.get(text.as_str()).is_some_and(|&count| count > 1)
                || piece.words.iter().any(|word| word.looped);
            match stock(text) {
                Some(Stock::Video) => isolated || repeated || drawn_out(piece) || unsure(piece),
                Some(Stock::Courtesy) => isolated && drawn_out(piece),
                None => false,
            }
        })
        .collect();
    let before = pieces.len();
    let mut verdicts = verdicts.into_iter();
    pieces.retain(|_| !verdicts.next().unwrap_or(false));
    pieces.len() < before
}

/// The comparable text of a piece that may be a stock phrase: short enough, and it begins like one.
fn text(piece: &Piece<'_>) -> Option<String> {
    if piece.words.len() > LONGEST_PHRASE {
        return None;
    }
    let words = piece.words.iter().flat_map(|word| word.text.split(['-', '.'])).map(normal);
    let mut words = words.filter(|word| !word.is_empty());
    let first = words.next()?;
    let phrases = || VIDEO_PHRASES.iter().chain(CREDITS).chain(COURTESIES);
    if !phrases().any(|phrase| begins_with(phrase, &first)) {
        return None;
    }
    let mut text = first.into_owned();
    for word in words {
        text.push(' ');
        text.push_str(&word);
    }
    Some(text)
}

fn begins_with(text: &str, words: &str) -> bool {
    text.strip_prefix(words).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn stock(text: &str) -> Option<Stock> {
    if VIDEO_PHRASES.contains(&text) || CREDITS.iter().any(|credit| begins_with(text, credit)) {
        Some(Stock::Video)
    } else if COURTESIES.contains(&text) {
        Some(Stock::Courtesy)
    } else {
        None
    }
}

/// For each piece: does nobody, not even the same speaker, speak for [`SILENCE`] before and after it?
fn isolated(pieces: &[Piece<'_>]) -> Vec<bool> {
    let mut reach: Option<Millis> = None;
    pieces
        .iter()
        .enumerate()
        .map(|(index, piece)| {
            let quiet_before = reach.is_none_or(|reach| piece.start() - reach >= SILENCE);
            let quiet_after =
                pieces.get(index + 1).is_none_or(|next| next.start() - voice_end(piece) >= SILENCE);
            reach = reach.max(Some(voice_end(piece)));
            quiet_before && quiet_after
        })
        .collect()
}

/// Where a voice would have stopped: a few words do not fill the half minute an engine stretches them over.
fn voice_end(piece: &Piece<'_>) -> Millis {
    piece.reach().min(piece.start() + WORD_CAP * piece.words.len() as Millis)
}

fn drawn_out(piece: &Piece<'_>) -> bool {
    piece.end() - piece.start() > DRAWN_OUT * piece.words.len() as Millis
}

fn unsure(piece: &Piece<'_>) -> bool {
    let known: Vec<f32> = piece.words.iter().filter_map(|word| word.confidence).collect();
    !known.is_empty() && known.iter().sum::<f32>() / (known.len() as f32) < UNSURE
}
