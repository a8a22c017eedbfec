//! What a tuning has measured.

use std::fmt;
use std::time::Duration;

use crate::settings::Strategy;

/// What [`Runner::tune`](crate::Runner::tune) has measured. It prints as a table.
///
/// ```
/// # use cellstate::{Device, Lstm};
/// let tuning = Lstm::new(2, 64).on(&Device::cpu())?.tune(8, 100)?;
/// assert!(tuning.layers().is_empty());
/// println!("{tuning}"); // says that there is nothing to choose on the CPU
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    layers: Vec<TunedLayer>,
    note: Option<String>,
}

/// What was measured of one recurrent layer, or of one of its directions or cells.
///
/// ```no_run
/// # use cellstate::{Device, Lstm};
/// let runner = Lstm::new(2, 64).on(&Device::auto())?;
/// for layer in runner.tune(8, 100)?.layers() {
///     println!("{}: {}", layer.layer, layer.fastest);
/// }
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TunedLayer {
    /// Which layer it is, with its sizes.
    pub layer: String,
    /// The strategies that were measured; none where only one can run it, or where there is no clock.
    pub candidates: Vec<Candidate>,
    /// The fastest, which is taken for batches of this size from now on.
    pub fastest: Strategy,
}

/// A strategy, and how long it took.
///
/// ```no_run
/// # use cellstate::{Device, Lstm};
/// let runner = Lstm::new(2, 64).on(&Device::auto())?;
/// for candidate in runner.tune(8, 100)?.layers().iter().flat_map(|layer| &layer.candidates) {
///     println!("{} takes {:?} for a step", candidate.strategy, candidate.step);
/// }
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The strategy.
    pub strategy: Strategy,
    /// How long a step took, at its least.
    pub step: Duration,
}

impl Tuning {
    pub(crate) fn new(layers: Vec<TunedLayer>, note: Option<String>) -> Self {
        Self { layers, note }
    }

    /// Adds what was measured of another section of the same model.
    pub(crate) fn add(&mut self, other: Self) {
        self.layers.extend(other.layers);
        self.note = self.note.take().or(other.note);
    }

    /// One entry for each cell, in the order in which they run; one for both directions that run together.
    ///
    /// ```
    /// # use cellstate::{Dense, Device};
    /// let tuning = Dense::new(2, 8).on(&Device::cpu())?.tune(8, 100)?;
    /// assert_eq!(tuning.layers(), []);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn layers(&self) -> &[TunedLayer] {
        &self.layers
    }
}

impl fmt::Display for Tuning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = self.note.iter().cloned().collect();
        for layer in &self.layers {
            lines.push(match layer.candidates.as_slice() {
                [] => format!("{}: {}, nothing was measured", layer.layer, layer.fastest),
                _ => format!("{}: {} is the fastest", layer.layer, layer.fastest),
            });
            let candidates = layer.candidates.iter();
            lines.extend(candidates.map(|Candidate { strategy, step }| format!("  {strategy:8} {step:>12?} a step")));
        }
        formatter.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_as_a_table() {
        let candidate = |strategy, nanoseconds| Candidate {
            strategy,
            step: Duration::from_nanos(nanoseconds),
        };
        let layer = TunedLayer {
            layer: "layer 0 (LSTM, 2 features, 64 units)".to_owned(),
            candidates: vec![candidate(Strategy::Step, 15_090), candidate(Strategy::Solo, 490)],
            fastest: Strategy::Solo,
        };
        let table = "layer 0 (LSTM, 2 features, 64 units): solo is the fastest\n  \
                     step          15.09µs a step\n  \
                     solo            490ns a step";
        assert_eq!(Tuning::new(vec![layer], None).to_string(), table);
        assert_eq!(
            Tuning::new(Vec::new(), Some("nothing".to_owned())).to_string(),
            "nothing"
        );
    }
}
