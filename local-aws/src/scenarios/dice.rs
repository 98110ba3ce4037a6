//! Lots that depend on a seed, a name and how often that name was drawn, so that a run can be repeated although its calls
//! arrive in another order.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// Draws lots.
#[derive(Debug, Default)]
pub(crate) struct Dice {
    seed: u64,
    drawn: Mutex<HashMap<String, u64>>,
}

impl Dice {
    /// Dice that this seed decides.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: Mutex::default() }
    }

    /// The next lot of a name, at least 0 and below 1.
    pub(crate) fn lot(&self, name: &str) -> f64 {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let count = drawn.entry(name.to_owned()).or_default();
        *count += 1;
        let digest = Sha256::digest(format!("{}/{name}/{count}", self.seed));
        let bits = u64::from_be_bytes(*digest.first_chunk().expect("a digest has 32 bytes"));
        // The upper 53 bits are what a float can hold exactly.
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Tells whether something that happens with this probability happens now.
    pub(crate) fn happens(&self, name: &str, probability: f64) -> bool {
        self.lot(name) < probability
    }

    /// A span between two others.
    pub(crate) fn span(&self, name: &str, shortest: Duration, longest: Duration) -> Duration {
        shortest + longest.saturating_sub(shortest).mul_f64(self.lot(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_every_lot_whatever_else_is_drawn_between() {
        let (one, two) = (Dice::new(7), Dice::new(7));
        two.lot("other");
        assert_eq!(one.lot("a"), two.lot("a"));
        two.lot("other");
        assert_eq!(one.lot("a"), two.lot("a"));
        assert_ne!(one.lot("a"), Dice::new(8).lot("a"));
    }

    #[test]
    fn lots_are_spread_evenly() {
        let dice = Dice::new(1);
        let hits = (0..10_000).filter(|_| dice.happens("x", 0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits} of 10000 at a quarter");
    }
}
