//! The methods that every recurrent layer has.

/// Options of the sequence, initialisers and sizes: `recurrent_layer!(Lstm)` for a `struct Lstm { recurrent: Recurrent }`.
macro_rules! recurrent_layer {
    ($layer:ident) => {
        impl $layer {
            /// Whether a bias is added (default true). Without it there is none to draw either.
            ///
            /// ```
            #[doc = concat!("# use cellstate::", stringify!($layer), ";")]
            #[doc = concat!("let (with, without) = (", stringify!($layer), "::new(2, 8), ", stringify!($layer), "::new(2, 8).use_bias(false));")]
            /// assert!(with.parameter_count() > without.parameter_count());
            /// ```
            #[must_use]
            pub fn use_bias(mut self, use_bias: bool) -> Self {
                self.recurrent.use_bias = use_bias;
                self
            }

            /// How the kernel is drawn (default Glorot uniform).
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Initializer, ", stringify!($layer), "};")]
            #[doc = concat!("let layer = ", stringify!($layer), "::new(2, 8).kernel_initializer(Initializer::Constant(0.5));")]
            /// assert!(layer.weights()?.kernel.iter().all(|&weight| weight == 0.5));
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[must_use]
            pub fn kernel_initializer(mut self, initializer: $crate::layer::initializer::Initializer) -> Self {
                self.recurrent.drawing.kernel = initializer;
                self
            }

            /// How the recurrent kernel is drawn (default orthogonal).
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Initializer, ", stringify!($layer), "};")]
            #[doc = concat!("let layer = ", stringify!($layer), "::new(2, 8).recurrent_initializer(Initializer::Zeros);")]
            /// assert!(layer.weights()?.recurrent_kernel.iter().all(|&weight| weight == 0.0));
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[must_use]
            pub fn recurrent_initializer(mut self, initializer: $crate::layer::initializer::Initializer) -> Self {
                self.recurrent.drawing.recurrent_kernel = initializer;
                self
            }

            /// How the bias is drawn (default zeros).
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Initializer, ", stringify!($layer), "};")]
            #[doc = concat!("let layer = ", stringify!($layer), "::new(2, 8).bias_initializer(Initializer::Constant(0.5));")]
            /// assert!(layer.weights()?.bias.is_some_and(|bias| bias.iter().any(|&value| value == 0.5)));
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[must_use]
            pub fn bias_initializer(mut self, initializer: $crate::layer::initializer::Initializer) -> Self {
                self.recurrent.drawing.bias = initializer;
                self
            }

            /// The seed from which the weights are drawn (default 0).
            ///
            /// ```
            #[doc = concat!("# use cellstate::", stringify!($layer), ";")]
            #[doc = concat!("let weights = |seed| ", stringify!($layer), "::new(2, 8).seed(seed).weights();")]
            /// assert_eq!(weights(7)?, weights(7)?);
            /// assert_ne!(weights(7)?, weights(8)?);
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[must_use]
            pub fn seed(mut self, seed: u64) -> Self {
                self.recurrent.drawing.seed = seed;
                self
            }

            /// The share of the input that training leaves out at random (default 0), as `dropout` of Keras 3.15: of each sequence the same
            /// features at every step, and what stays is divided by 1 − rate. With a [`recurrent_dropout`](Self::recurrent_dropout)
            /// besides each gate of an LSTM or a GRU leaves out features of its own. A run is inference, which leaves out nothing.
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Recurrent, ", stringify!($layer), "};")]
            #[doc = concat!("let layer = ", stringify!($layer), "::new(2, 8).dropout(0.2);")]
            /// assert_eq!(Recurrent::from(layer).dropout_rate(), 0.2);
            /// ```
            #[must_use]
            pub fn dropout(mut self, rate: f32) -> Self {
                self.recurrent.dropout.input = rate;
                self
            }

            /// The share of the hidden state that training leaves out of the recurrent products (default 0), as `recurrent_dropout` of
            /// Keras 3.15: of each sequence and each gate the same values at every step, and what stays is divided by 1 − rate. What a cell
            /// carries on from step to step stays whole (Gal and Ghahramani 2016).
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Recurrent, ", stringify!($layer), "};")]
            #[doc = concat!("let layer = ", stringify!($layer), "::new(2, 8).recurrent_dropout(0.1);")]
            /// assert_eq!(Recurrent::from(layer).recurrent_dropout_rate(), 0.1);
            /// ```
            #[must_use]
            pub fn recurrent_dropout(mut self, rate: f32) -> Self {
                self.recurrent.dropout.recurrent = rate;
                self
            }

            /// Whether the output is that of every step, (batch, time_steps, width), and not the last one alone, (batch, width)
            /// (default false).
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Device, Sequences, ", stringify!($layer), "};")]
            /// # use ndarray::Array3;
            #[doc = concat!("let layer = ", stringify!($layer), "::new(2, 8).return_sequences(true);")]
            /// let output = layer.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
            /// assert_eq!(output.values().shape(), [3, 20, 8]);
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[must_use]
            pub fn return_sequences(mut self, return_sequences: bool) -> Self {
                self.recurrent.options.return_sequences = return_sequences;
                self
            }

            /// Whether [`Output::states`](crate::Output::states) has the final state (default false). Only for the last layer.
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Device, Sequences, ", stringify!($layer), "};")]
            /// # use ndarray::Array3;
            #[doc = concat!("let layer = ", stringify!($layer), "::new(2, 8).return_state(true);")]
            /// let output = layer.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
            /// assert_eq!(output.states()[0].hidden(), output.last());
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[must_use]
            pub fn return_state(mut self, return_state: bool) -> Self {
                self.recurrent.options.return_state = return_state;
                self
            }

            /// Whether time runs backwards, from the last step to the first (default false). Outputs stay in the order of
            /// processing: the first one is that of the last step. The mask goes on to the next layer as it was, as in Keras.
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Device, Sequences, ", stringify!($layer), "};")]
            /// # use ndarray::array;
            #[doc = concat!("let layer = ", stringify!($layer), "::new(1, 8);")]
            /// let (there, back) = (array![[[1.0], [2.0]]], array![[[2.0], [1.0]]]);
            /// let forwards = layer.clone().on(&Device::cpu())?.run(&Sequences::from(there))?;
            /// let backwards = layer.go_backwards(true).on(&Device::cpu())?.run(&Sequences::from(back))?;
            /// assert_eq!(forwards.last(), backwards.last());
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[must_use]
            pub fn go_backwards(mut self, go_backwards: bool) -> Self {
                self.recurrent.options.go_backwards = go_backwards;
                self
            }

            /// Whether the output at masked steps is zero instead of the previous output (default false). Without
            /// `return_sequences` the output is then zero wherever the last step is masked, as in Keras.
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Device, Sequences, ", stringify!($layer), "};")]
            /// # use ndarray::array;
            #[doc = concat!("let layer = ", stringify!($layer), "::new(1, 8).zero_output_for_mask(true);")]
            /// let batch = Sequences::from(array![[[1.0], [2.0], [0.0]]]).with_lengths(&[2])?;
            /// let output = layer.on(&Device::cpu())?.run(&batch)?;
            /// assert!(output.last().iter().all(|&value| value == 0.0)); // the last step is masked
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[must_use]
            pub fn zero_output_for_mask(mut self, zero_output_for_mask: bool) -> Self {
                self.recurrent.options.zero_output_for_mask = zero_output_for_mask;
                self
            }

            /// Whether the outputs of a layer that [goes backwards](Self::go_backwards) stand in the order of the input, as those of ONNX's
            /// `direction="reverse"` do, and not in that of processing (default false, as in Keras). It matters with
            /// [`return_sequences`](Self::return_sequences) alone.
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Device, Sequences, ", stringify!($layer), "};")]
            /// # use ndarray::{array, s};
            /// let x = Sequences::from(array![[[1.0], [2.0], [3.0]]]);
            #[doc = concat!("let layer = ", stringify!($layer), "::new(1, 8).go_backwards(true).return_sequences(true);")]
            /// let as_it_ran = layer.clone().on(&Device::cpu())?.run(&x)?;
            /// let in_order = layer.input_order(true).on(&Device::cpu())?.run(&x)?;
            /// assert_eq!(in_order.sequences()?, as_it_ran.sequences()?.slice(s![.., ..;-1, ..]));
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[must_use]
            pub fn input_order(mut self, input_order: bool) -> Self {
                self.recurrent.options.input_order = input_order;
                self
            }

            /// What the layer was told to do with a sequence.
            ///
            /// ```
            #[doc = concat!("# use cellstate::", stringify!($layer), ";")]
            #[doc = concat!("assert!(", stringify!($layer), "::new(2, 8).return_state(true).options().return_state);")]
            /// ```
            #[must_use]
            pub fn options(&self) -> $crate::layer::recurrent::RecurrentOptions {
                self.recurrent.options
            }

            /// The number of features of the input.
            ///
            /// ```
            #[doc = concat!("assert_eq!(cellstate::", stringify!($layer), "::new(2, 8).features(), 2);")]
            /// ```
            #[must_use]
            pub fn features(&self) -> usize {
                self.recurrent.cell.features
            }

            /// The number of units.
            ///
            /// ```
            #[doc = concat!("assert_eq!(cellstate::", stringify!($layer), "::new(2, 8).units(), 8);")]
            /// ```
            #[must_use]
            pub fn units(&self) -> usize {
                self.recurrent.cell.units
            }

            /// The number of trained values, Keras's `count_params()`.
            ///
            /// ```
            #[doc = concat!("let layer = cellstate::", stringify!($layer), "::new(2, 8);")]
            /// assert_eq!(layer.parameter_count(), cellstate::Layer::from(layer).parameter_count());
            /// ```
            #[must_use]
            pub fn parameter_count(&self) -> usize {
                self.recurrent.parameter_count()
            }
        }

        impl From<$layer> for $crate::layer::recurrent::Recurrent {
            fn from(layer: $layer) -> Self {
                layer.recurrent
            }
        }

        impl From<$layer> for $crate::layer::Layer {
            fn from(layer: $layer) -> Self {
                Self::Recurrent(layer.recurrent)
            }
        }
    };
}

pub(crate) use recurrent_layer;
