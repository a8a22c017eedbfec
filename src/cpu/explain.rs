//! How the CPU path runs a batch, in words.

use super::CpuModel;
use super::threads::pool;

impl CpuModel {
    /// How a batch of (batch, time_steps) is run if nothing of it is padding: a line for the machine, then one for each cell
    /// in the order of the states.
    pub(crate) fn explain(&self, batch: usize, time_steps: usize) -> Vec<String> {
        let (lanes, _) = self.path.tile();
        let machine = format!(
            "{} instructions, {lanes} numbers at a time; up to {} threads",
            self.path.name(),
            pool::count()
        );
        let cells = (self.plan.begins_at.1..).zip(&self.recurrences);
        let cells =
            cells.map(|(number, cell)| format!("{} {number}: {}", cell.class(), cell.explain(batch, time_steps)));
        std::iter::once(machine).chain(cells).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use ndarray::Array2;
    use rayon::ThreadPoolBuilder;

    use std::sync::Arc;

    use super::*;
    use crate::cpu::cell::storage::Storage;
    use crate::cpu::product::path::Path;
    use crate::layer::Layer;
    use crate::layer::lstm::Lstm;
    use crate::model::plan::Plan;
    use crate::settings::{Instructions, Precision, Settings};

    /// A model on plain instructions and two threads.
    fn explained(layers: &[Layer], precision: Precision, batch: usize) -> Vec<String> {
        let settings = Settings::new().instructions(Instructions::Plain).precision(precision);
        let plan = Arc::new(Plan::drawn(layers).unwrap());
        let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| {
            CpuModel::new(plan, &settings, "CPU".into())
                .unwrap()
                .explain(batch, 1000)
        })
    }

    #[test]
    fn a_model_says_how_it_runs() {
        let beyond = Lstm::new(128, 2)
            .with_weights(Array2::from_elem((128, 8), 1e5), Array2::zeros((2, 8)), None)
            .unwrap();
        let layers = [Lstm::new(64, 128).return_sequences(true).into(), beyond.into()];
        assert_eq!(
            explained(&layers, Precision::Relaxed, 1),
            [
                "plain instructions, 4 numbers at a time; up to 2 threads",
                "LSTM 0: 64 features, 128 units: units split over a crew of 2 threads, a row at a time; weights rounded to f16, \
                 read as f32, which is faster with these instructions",
                "LSTM 1: 128 features, 2 units: one thread, a row at a time; weights in f32, for one of them is beyond the \
                 range of f16",
            ]
        );
        let lines = explained(&layers, Precision::Full, 32);
        assert_eq!(
            lines[1],
            "LSTM 0: 64 features, 128 units: sequences dealt out to 2 threads, tiles of 2 rows; weights in f32"
        );
        // where there are halves, they are read where that is faster
        let best = Path::choose(None).unwrap();
        let storage = |units: usize| {
            let plan = Plan::drawn(&[Lstm::new(2, units).into()]).unwrap();
            Storage::choose(&plan.cells[0], best, Precision::Relaxed).1
        };
        if best.has_halves() {
            assert_eq!([storage(64), storage(128)], [Storage::Small, Storage::Halves]);
        } else {
            assert_eq!([storage(64), storage(128)], [Storage::FullFaster; 2]);
        }
    }
}
