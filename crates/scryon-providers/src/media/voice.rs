//! Who speaks when, for a recording with one party per channel: by energy, no model.

use std::path::Path;

use scryon_domain::raw::{Turn, channel_speaker};

/// Seconds of one frame.
const FRAME: f64 = 0.03;
/// A frame is voice when it is this much louder than the channel's own noise (as a ratio of energies: 9 dB).
const ABOVE_NOISE: f64 = 8.0;
/// Mean square of samples below which nothing is voice (about -60 dB of full scale).
const SILENCE: f64 = 1_000.0;
/// A channel that is this much quieter than the other carries the other's echo (9 dB).
const ECHO: f64 = 8.0;
/// Seconds: a shorter pause does not end a turn.
const PAUSE: f64 = 0.6;
/// Seconds: a shorter sound is no turn.
const SHORTEST: f64 = 0.15;

/// Turns of a recording, and how long it is.
#[derive(Debug, Clone, PartialEq)]
pub struct VoiceTurns {
    pub turns: Vec<Turn>,
    pub channels: u16,
    pub duration_seconds: f64,
}

/// Reads a WAV of 16-bit samples. Memory: one number per channel and frame.
pub fn voice_turns(path: &Path) -> Result<VoiceTurns, String> {
    let mut reader = hound::WavReader::open(path).map_err(|e| e.to_string())?;
    let spec = reader.spec();
    if spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
        return Err(format!("{}-bit samples", spec.bits_per_sample));
    }
    let channels = usize::from(spec.channels);
    let frame_samples = ((f64::from(spec.sample_rate) * FRAME) as usize).max(1);
    let mut energies: Vec<Vec<f64>> = vec![Vec::new(); channels];
    let mut sums = vec![0f64; channels];
    let mut count = 0usize;
    let mut total = 0u64;
    let mut samples = reader.samples::<i16>().map_while(Result::ok);
    'file: loop {
        for sum in &mut sums {
            let Some(sample) = samples.next() else { break 'file };
            *sum += f64::from(sample) * f64::from(sample);
        }
        total += 1;
        count += 1;
        if count == frame_samples {
            for (energy, sum) in energies.iter_mut().zip(&mut sums) {
                energy.push(std::mem::take(sum) / count as f64);
            }
            count = 0;
        }
    }
    Ok(VoiceTurns {
        turns: turns(&energies),
        channels: spec.channels,
        duration_seconds: total as f64 / f64::from(spec.sample_rate.max(1)),
    })
}

fn turns(energies: &[Vec<f64>]) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for (channel, energy) in energies.iter().enumerate() {
        let floor = noise_floor(energy);
        let voiced = |frame: usize| {
            let own = energy[frame];
            let loudest_other = energies
                .iter()
                .enumerate()
                .filter(|(c, _)| *c != channel)
                .map(|(_, e)| e[frame])
                .fold(0.0, f64::max);
            own > SILENCE && own > floor * ABOVE_NOISE && own * ECHO > loudest_other
        };
        let mut open: Option<(usize, usize)> = None;
        let mut close = |(start, end): (usize, usize)| {
            let (start, end) = (start as f64 * FRAME, (end + 1) as f64 * FRAME);
            if end - start >= SHORTEST {
                turns.push(Turn { speaker: channel_speaker(channel as u16), start, end });
            }
        };
        for frame in (0..energy.len()).filter(|f| voiced(*f)) {
            open = Some(match open {
                Some((start, end)) if (frame - end) as f64 * FRAME <= PAUSE => (start, frame),
                Some(done) => {
                    close(done);
                    (frame, frame)
                }
                None => (frame, frame),
            });
        }
        if let Some(done) = open {
            close(done);
        }
    }
    turns.sort_by(|a, b| a.start.total_cmp(&b.start).then_with(|| a.speaker.cmp(&b.speaker)));
    turns
}

/// The energy of the quietest tenth of the frames.
fn noise_floor(energy: &[f64]) -> f64 {
    let mut sorted = energy.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 10).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: f64 = 4_000_000.0;
    const QUIET: f64 = 50.0;

    fn channel(voice: &[(usize, usize)], frames: usize) -> Vec<f64> {
        (0..frames)
            .map(|f| if voice.iter().any(|(from, to)| (*from..*to).contains(&f)) { LOUD } else { QUIET })
            .collect()
    }

    fn seconds(turns: &[Turn]) -> Vec<(String, f64, f64)> {
        let round = |s: f64| (s * 100.0).round() / 100.0;
        turns.iter().map(|t| (t.speaker.clone(), round(t.start), round(t.end))).collect()
    }

    #[test]
    fn each_channel_speaks_when_it_is_loud() {
        let found = turns(&[channel(&[(0, 50)], 200), channel(&[(80, 120)], 200)]);
        assert_eq!(seconds(&found), [("CHANNEL_0".into(), 0.0, 1.5), ("CHANNEL_1".into(), 2.4, 3.6)]);
    }

    #[test]
    fn a_short_pause_does_not_end_a_turn_and_a_click_is_none() {
        let found = turns(&[channel(&[(0, 20), (30, 50), (150, 152)], 200), channel(&[], 200)]);
        assert_eq!(seconds(&found), [("CHANNEL_0".into(), 0.0, 1.5)]);
    }

    #[test]
    fn an_echo_on_the_other_channel_is_not_a_turn() {
        let echo: Vec<f64> = channel(&[(0, 50)], 200).iter().map(|e| e / 20.0).collect();
        let found = turns(&[channel(&[(0, 50)], 200), echo]);
        assert_eq!(seconds(&found), [("CHANNEL_0".into(), 0.0, 1.5)]);
    }

    #[test]
    fn silence_has_no_turns() {
        assert!(turns(&[vec![0.0; 100], vec![QUIET; 100]]).is_empty());
        assert!(turns(&[Vec::new(), Vec::new()]).is_empty());
    }
}
