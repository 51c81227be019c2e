//! Chance that repeats from run to run.

/// A linear congruential generator (constants of Numerical Recipes, 2nd ed., §7.1). Not for secrets.
#[derive(Debug, Clone)]
pub struct Dice(u32);

impl Dice {
    /// The same seed rolls the same numbers.
    pub const fn new(seed: u32) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub const fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % sides
    }
}
