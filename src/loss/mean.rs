//! A weighted mean over batches.

/// What Keras's metric `Mean` keeps: the sum of what was added and of the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Mean {
    total: f64,
    weight: f64,
}

impl Mean {
    /// Adds values that were multiplied by their weights, and the sum of the weights.
    pub(crate) fn add(&mut self, total: f64, weight: f64) {
        self.total += total;
        self.weight += weight;
    }

    /// Both sums: what a checkpoint keeps.
    #[cfg(feature = "safetensors")]
    pub(crate) fn sums(self) -> [f64; 2] {
        [self.total, self.weight]
    }

    #[cfg(feature = "safetensors")]
    pub(crate) fn of_sums([total, weight]: [f64; 2]) -> Self {
        Self { total, weight }
    }

    /// The mean; 0 where nothing has weight.
    pub(crate) fn result(self) -> f64 {
        if self.weight == 0.0 {
            0.0
        } else {
            self.total / self.weight
        }
    }
}
