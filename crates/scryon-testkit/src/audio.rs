//! Recordings made on the spot.

use std::io::Cursor;
use std::sync::atomic::{AtomicU32, Ordering};

/// A small WAV that no other call of any test has: what was bought for it was bought for its call.
pub fn unique_wav() -> Vec<u8> {
    unique(400)
}

/// The same with a length: what a provider says about times fits into it.
pub fn unique_wav_of(seconds: u32) -> Vec<u8> {
    unique(8_000 * seconds)
}

fn unique(length: u32) -> Vec<u8> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) as u128 ^ uuid::Uuid::new_v4().as_u128();
    let samples =
        (0..length).map(|n| if n < 8 { (number >> (16 * n)) as i16 } else { ((n * 37) % 2000) as i16 });
    wav(1, 8_000, samples)
}

/// A WAV without sound.
pub fn quiet_wav(seconds: u32) -> Vec<u8> {
    wav(1, 8_000, (0..8_000 * seconds).map(|_| 0))
}

/// A WAV of 16-bit samples, interleaved.
pub fn wav(channels: u16, sample_rate: u32, samples: impl Iterator<Item = i16>) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("memory can be written");
    for sample in samples {
        writer.write_sample(sample).expect("memory can be written");
    }
    writer.finalize().expect("memory can be written");
    bytes.into_inner()
}
