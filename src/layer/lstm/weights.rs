//! The weights of an LSTM layer: given, or drawn from its seed.

use ndarray::{Array1, Array2, s};

use super::Lstm;
use crate::error::Result;
use crate::layer::weights::{FORGET_GATE, GATES, LstmWeights, check_tensor, check_tensor_or, reconcile_bias};

impl Lstm {
    /// Takes trained weights, as Keras's `layer.get_weights()` gives them: `kernel` (features, 4·units),
    /// `recurrent_kernel` (units, 4·units) and `bias` (4·units), gates in the order i f g o. `None` for the bias sets
    /// `use_bias(false)`, a bias sets `use_bias(true)`.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) for a wrong shape, [`Error::NotFinite`](crate::Error::NotFinite) for NaN or
    /// infinity, [`Error::Value`](crate::Error::Value) if a size of the layer is 0 or beyond 2²³.
    ///
    /// ```
    /// use cellstate::Lstm;
    /// use ndarray::{Array1, Array2};
    ///
    /// let lstm = Lstm::new(2, 8).with_weights(
    ///     Array2::from_elem((2, 32), 0.1),
    ///     Array2::from_elem((8, 32), 0.01),
    ///     Some(Array1::zeros(32)),
    /// )?;
    /// assert_eq!(lstm.parameters(), 2 * 32 + 8 * 32 + 32);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_weights(
        mut self,
        kernel: Array2<f32>,
        recurrent_kernel: Array2<f32>,
        bias: Option<Array1<f32>>,
    ) -> Result<Self> {
        self.check()?;
        let columns = GATES * self.units;
        check_tensor(
            "kernel of the LSTM",
            &kernel.view(),
            &[self.features, columns],
            "(features, 4·units)",
        )?;
        check_tensor(
            "recurrent_kernel of the LSTM",
            &recurrent_kernel.view(),
            &[self.units, columns],
            "(units, 4·units)",
        )?;
        if let Some(bias) = &bias {
            let repair = if bias.len() == 2 * columns {
                "PyTorch keeps two biases, which are added up: `LstmWeights::from_pytorch(w_ih, w_hh, b_ih, b_hh)` does so, \
                 `LstmWeights::from_onnx` for ONNX"
            } else {
                "pass the array as Keras's `get_weights()` gives it"
            };
            check_tensor_or("bias of the LSTM", &bias.view(), &[columns], "(4·units)", repair)?;
        }
        self.use_bias = bias.is_some();
        self.weights = Some(LstmWeights {
            kernel,
            recurrent_kernel,
            bias,
        });
        Ok(self)
    }

    /// The weights: those given, else those drawn from the seed for a layer that stands alone.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if a size or an initialiser makes no sense, or if `use_bias(true)` came after
    /// weights without a bias; [`Error::Size`](crate::Error::Size) if what is to be drawn does not fit into memory.
    ///
    /// ```
    /// # use cellstate::Lstm;
    /// let weights = Lstm::new(2, 8).weights()?;
    /// assert_eq!(weights.kernel.dim(), (2, 4 * 8));
    /// assert_eq!(weights.recurrent_kernel.dim(), (8, 4 * 8));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn weights(&self) -> Result<LstmWeights> {
        self.weights_at(0)
    }

    /// The weights of the layer at `place` in its model: each place draws numbers of its own from the seed.
    pub(crate) fn weights_at(&self, place: usize) -> Result<LstmWeights> {
        self.check()?;
        let mut weights = match &self.weights {
            Some(weights) => weights.clone(),
            None => self.draw(place)?,
        };
        reconcile_bias(self.use_bias, &mut weights.bias)?;
        Ok(weights)
    }

    pub(crate) fn has_given_weights(&self) -> bool {
        self.weights.is_some()
    }

    /// Draws the weights of the layer at `place` in its model: kernel, recurrent kernel and bias each from a stream of
    /// their own.
    fn draw(&self, place: usize) -> Result<LstmWeights> {
        let stream = (place as u64) << 2;
        let columns = GATES * self.units;
        let kernel = self
            .kernel_initializer
            .draw((self.features, columns), self.seed, stream)?;
        let recurrent_kernel = self
            .recurrent_initializer
            .draw((self.units, columns), self.seed, stream + 1)?;
        let mut bias = None;
        if self.use_bias {
            // with a forget quarter of ones Keras draws the others apart, and their fans with them
            let units = self.units;
            let apart = [units, units, 2 * units];
            let parts: &[usize] = if self.unit_forget_bias { &apart } else { &[columns] };
            let mut drawn = self.bias_initializer.draw_bias("LSTM", parts, self.seed, stream + 2)?;
            if self.unit_forget_bias {
                drawn
                    .slice_mut(s![FORGET_GATE * units..(FORGET_GATE + 1) * units])
                    .fill(1.0);
            }
            bias = Some(drawn);
        }
        Ok(LstmWeights {
            kernel,
            recurrent_kernel,
            bias,
        })
    }
}
