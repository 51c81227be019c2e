//! What a recording is, by its first bytes. Names and Content-Type headers are not believed.

/// A container the API accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType {
    /// Of the stored object's key.
    pub extension: &'static str,
    pub mime: &'static str,
}

/// Bytes needed to tell.
pub const SNIFF_BYTES: usize = 512;

const fn media(extension: &'static str, mime: &'static str) -> MediaType {
    MediaType { extension, mime }
}

const WAV: MediaType = media("wav", "audio/wav");
const MP3: MediaType = media("mp3", "audio/mpeg");
const AAC: MediaType = media("aac", "audio/aac");
const OGG: MediaType = media("ogg", "audio/ogg");
const OPUS: MediaType = media("opus", "audio/ogg");
const FLAC: MediaType = media("flac", "audio/flac");
const WEBM: MediaType = media("webm", "audio/webm");
const WMA: MediaType = media("wma", "audio/x-ms-wma");
const AMR: MediaType = media("amr", "audio/amr");
const M4A: MediaType = media("m4a", "audio/mp4");
const M4V: MediaType = media("m4v", "video/x-m4v");
const MP4: MediaType = media("mp4", "video/mp4");
const MOV: MediaType = media("mov", "video/quicktime");
const THREE_GP: MediaType = media("3gp", "video/3gpp");

/// The GUID an ASF file begins with.
const ASF: [u8; 16] =
    [0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11, 0xA6, 0xD9, 0x00, 0xAA, 0x00, 0x62, 0xCE, 0x6C];
/// The EBML header of Matroska and WebM.
const EBML: [u8; 4] = [0x1A, 0x45, 0xDF, 0xA3];

/// Tells the container from the first bytes (more is better, up to [`SNIFF_BYTES`]).
pub fn sniff(head: &[u8]) -> Option<MediaType> {
    let starts = |magic: &[u8]| head.starts_with(magic);
    let holds = |needle: &[u8]| head.windows(needle.len()).any(|w| w == needle);
    if (starts(b"RIFF") || starts(b"RF64")) && head.get(8..12) == Some(b"WAVE") {
        return Some(WAV);
    }
    if head.get(4..8) == Some(b"ftyp") {
        return Some(brand(head.get(8..12).unwrap_or_default()));
    }
    if matches!(head.get(4..8), Some(b"moov" | b"mdat" | b"wide")) {
        return Some(MOV);
    }
    if starts(b"OggS") {
        return Some(if holds(b"OpusHead") { OPUS } else { OGG });
    }
    if starts(b"fLaC") {
        return Some(FLAC);
    }
    if starts(&EBML) && holds(b"webm") {
        return Some(WEBM);
    }
    if starts(&ASF) {
        return Some(WMA);
    }
    if starts(b"#!AMR") {
        return Some(AMR);
    }
    if starts(b"ID3") {
        return Some(MP3);
    }
    mpeg_audio(head)
}

fn brand(brand: &[u8]) -> MediaType {
    match brand {
        b"M4A " | b"M4B " => M4A,
        b"M4V " => M4V,
        b"qt  " => MOV,
        [b'3', b'g', ..] => THREE_GP,
        _ => MP4,
    }
}

/// A frame header without a container (ISO 11172-3, 13818-7): eleven bits of sync, then fields of which
/// some values are reserved.
fn mpeg_audio(head: &[u8]) -> Option<MediaType> {
    let &[0xFF, second, third, ..] = head else { return None };
    if second & 0xF6 == 0xF0 {
        return Some(AAC);
    }
    let (version, layer) = ((second >> 3) & 3, (second >> 1) & 3);
    let (bitrate, rate) = (third >> 4, (third >> 2) & 3);
    let valid =
        second & 0xE0 == 0xE0 && version != 1 && layer != 0 && bitrate != 15 && bitrate != 0 && rate != 3;
    valid.then_some(MP3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_is_known_by_its_first_bytes() {
        let ftyp = |brand: &[u8]| [b"\0\0\0\x20ftyp".as_slice(), brand, b"\0\0\0\0"].concat();
        let cases: [(Vec<u8>, &str); 19] = [
            (b"RIFF\x24\0\0\0WAVEfmt ".to_vec(), "wav"),
            (b"RF64\xff\xff\xff\xffWAVEds64".to_vec(), "wav"),
            (ftyp(b"M4A "), "m4a"),
            (ftyp(b"isom"), "mp4"),
            (ftyp(b"mp42"), "mp4"),
            (ftyp(b"M4V "), "m4v"),
            (ftyp(b"qt  "), "mov"),
            (ftyp(b"3gp4"), "3gp"),
            (ftyp(b"3g2a"), "3gp"),
            (b"\0\0\0\x08wide\0\0\x10\0mdat".to_vec(), "mov"),
            (b"OggS\0\x02\0\0\0\0\0\0\0\0OpusHead\x01".to_vec(), "opus"),
            (b"OggS\0\x02\0\0\0\0\0\0\0\0\x01vorbis".to_vec(), "ogg"),
            (b"fLaC\0\0\0\x22".to_vec(), "flac"),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm".to_vec(), "webm"),
            ([ASF.as_slice(), b"rest"].concat(), "wma"),
            (b"#!AMR\n\x3c".to_vec(), "amr"),
            (b"ID3\x04\0\0\0\0\0\x22".to_vec(), "mp3"),
            (vec![0xFF, 0xFB, 0x90, 0x64], "mp3"),
            (vec![0xFF, 0xF1, 0x50, 0x80], "aac"),
        ];
        for (head, extension) in cases {
            assert_eq!(sniff(&head).map(|m| m.extension), Some(extension), "{head:?}");
        }
    }

    #[test]
    fn what_is_no_recording_is_not_taken_for_one() {
        let zip = b"PK\x03\x04\x14\0";
        let avi = b"RIFF\x24\0\0\0AVI LIST";
        let matroska = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x88matroska";
        for head in [
            b"".as_slice(),
            b"hello, this is text",
            zip,
            avi,
            matroska,
            b"\xff\xff\xff\xff",
            b"\xff\xfe\0\0",
            b"RIFF",
        ] {
            assert_eq!(sniff(head), None, "{head:?}");
        }
    }
}
