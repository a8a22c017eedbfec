//! What a run gives back.

use std::sync::Arc;
use std::time::Duration;

use ndarray::{Array1, Array2, ArrayD, ArrayView3, ArrayViewD, Axis, Ix2, Ix3};

use crate::copy::room;
use crate::error::{Error, Result};
use crate::state::State;

/// What a run gives back: the arrays that Keras 3.15 returns for the last layer, on the host.
///
/// ```
/// use cellstate::{Device, Lstm, Sequences};
/// use ndarray::Array3;
///
/// let output = Lstm::new(2, 8).on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
/// assert_eq!(output.last().dim(), (3, 8));
/// assert_eq!((output.device(), output.rows_run()), ("CPU", 3 * 20));
/// # Ok::<(), cellstate::Error>(())
/// ```
///
/// One that is not wanted any more can be given to [`Runner::run_into`](crate::Runner::run_into), which puts the next values
/// into its memory; `Output::default()` has none, for the first call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    pub(crate) values: ArrayD<f32>,
    pub(crate) backward: Option<ArrayD<f32>>,
    pub(crate) states: Vec<State>,
    pub(crate) device: Arc<str>,
    pub(crate) rows_run: usize,
    pub(crate) was_replayed: bool,
    pub(crate) timing: Option<Timing>,
}

/// How long a run took on a GPU, for [`Settings::timed`](crate::Settings::timed): without the upload before it and the
/// readback behind it.
///
/// ```no_run
/// # use cellstate::{Device, Lstm, Model, Sequences, Settings};
/// # use ndarray::Array3;
/// let model = Model::builder().add(Lstm::new(2, 8)).build()?;
/// let runner = model.on_with(&Device::auto(), &Settings::new().timed(true))?;
/// if let Some(timing) = runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.timing() {
///     println!("recorded in {:?}, run in {:?}", timing.recording, timing.gpu);
/// }
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// The host's: from the flow to the submitted commands. A run that is like the one before finds them encoded, from when the GPU
    /// was at work.
    pub recording: Duration,
    /// The GPU's: from its first dispatch to the end of its last one, all on buffers that stay there. `None` where it takes
    /// no time stamps.
    pub gpu: Option<Duration>,
}

impl Output {
    /// Lists with room for outputs of these shapes, where the arrays that are here do not have them.
    pub(crate) fn rooms<'a>(&self, shapes: impl Iterator<Item = &'a [usize]>) -> Result<Vec<Option<Vec<f32>>>> {
        let mut here = [Some(&self.values), self.backward.as_ref()].into_iter();
        let find = |shape: &[usize]| {
            let here = here.next().flatten();
            match here.filter(|array| array.shape() == shape && array.is_standard_layout()) {
                Some(_) => Ok(None),
                None => room(shape.iter().product()).map(Some),
            }
        };
        shapes.map(find).collect()
    }

    /// The arrays that are here, and empty ones in these rooms where there are some.
    pub(crate) fn take_rooms(&mut self, rooms: Vec<Option<Vec<f32>>>) -> Vec<ArrayD<f32>> {
        let mut here = [Some(&mut self.values), self.backward.as_mut()].into_iter();
        let take = |room| {
            let here = here.next().flatten();
            match room {
                Some(list) => Array1::from_vec(list).into_dyn(),
                None => here.map(std::mem::take).unwrap_or_default(),
            }
        };
        rooms.into_iter().map(take).collect()
    }

    /// What Keras's model would return: (batch, time_steps, units) if the last layer gives a value at every step
    /// (`return_sequences`), else (batch, units).
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let x = Sequences::from(Array3::zeros((3, 20, 2)));
    /// assert_eq!(Lstm::new(2, 8).on(&Device::cpu())?.run(&x)?.values().shape(), [3, 8]);
    /// let every_step = Lstm::new(2, 8).return_sequences(true);
    /// assert_eq!(every_step.on(&Device::cpu())?.run(&x)?.values().shape(), [3, 20, 8]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn values(&self) -> ArrayViewD<'_, f32> {
        self.values.view()
    }

    /// The output at every step, (batch, time_steps, units).
    ///
    /// # Errors
    ///
    /// [`Error::Rank`] if the last layer gives only its last output.
    ///
    /// ```
    /// use cellstate::{Device, Lstm, Sequences};
    /// use ndarray::Array3;
    ///
    /// let x = Sequences::from(Array3::zeros((3, 20, 2)));
    /// let output = Lstm::new(2, 8).return_sequences(true).on(&Device::cpu())?.run(&x)?;
    /// assert_eq!(output.sequences()?.dim(), (3, 20, 8));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn sequences(&self) -> Result<ArrayView3<'_, f32>> {
        self.values
            .view()
            .into_dimensionality::<Ix3>()
            .map_err(|_| Error::Rank {
                argument: "output".to_owned(),
                axes: "(batch, time_steps, units)",
                shape: self.values.shape().to_vec(),
                repair: "call `return_sequences(true)` on the last recurrent layer, or read `last()`".to_owned(),
            })
    }

    /// The last output of each sequence, (batch, units).
    ///
    /// Without `return_sequences` that is the model's output itself. With it, it is the output at the last time step of
    /// the padded axis, `y[:, -1]` in Keras 3.15 on TensorFlow: for a recurrent layer over padding at the end this repeats
    /// the last valid output, which is PyTorch's `h_n` too; with `zero_output_for_mask`, or in a `Bidirectional`, it is zero
    /// where the last step is masked, which is what PyTorch's `output[:, -1]` gives. With zero time steps it is zero.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::{array, s};
    /// let batch = Sequences::from(array![[[1.0], [2.0], [0.0]]]).with_lengths(&[2])?;
    /// let output = Lstm::new(1, 8).return_sequences(true).on(&Device::cpu())?.run(&batch)?;
    /// assert_eq!(output.last(), output.sequences()?.slice(s![.., 1, ..])); // step 2 is padding, step 1 the last real one
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn last(&self) -> Array2<f32> {
        let values = self.values.view();
        if let Ok(values) = values.clone().into_dimensionality::<Ix2>() {
            return values.to_owned();
        }
        match values.into_dimensionality::<Ix3>() {
            Ok(values) if values.len_of(Axis(1)) > 0 => {
                values.index_axis(Axis(1), values.len_of(Axis(1)) - 1).to_owned()
            }
            Ok(values) => Array2::zeros((values.len_of(Axis(0)), values.len_of(Axis(2)))),
            Err(_) => Array2::zeros((0, 0)),
        }
    }

    /// The backward layer's output, where the last layer is a `Bidirectional` with `MergeMode::Separate`;
    /// [`Output::values`] is then the forward layer's.
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Device, Lstm, MergeMode, Sequences};
    /// # use ndarray::Array3;
    /// let layer = Bidirectional::new(Lstm::new(2, 8)).merge_mode(MergeMode::Separate);
    /// let output = layer.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
    /// assert_eq!(output.backward().map(|values| values.shape().to_vec()), Some(vec![3, 8]));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn backward(&self) -> Option<ArrayViewD<'_, f32>> {
        self.backward.as_ref().map(|values| values.view())
    }

    /// The final states of the last layer, if it has `return_state`: one for a single cell, two for a `Bidirectional`
    /// (forward, backward), one for each of stacked cells, in the order of Keras 3.15. Empty otherwise;
    /// [`run_from`](crate::Runner::run_from) gives all layers' states.
    ///
    /// They are those after the last valid step, whatever `zero_output_for_mask` says of the output.
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let layer = Bidirectional::new(Lstm::new(2, 8).return_state(true));
    /// let output = layer.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
    /// assert_eq!(output.states().len(), 2); // forward, backward
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// The name of the device that ran it, as [`Device::name`](crate::Device::name) gives it.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let output = Lstm::new(2, 8).on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
    /// assert_eq!(output.device(), "CPU");
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// How many rows the recurrent layers ran: for each cell and direction the valid steps of all sequences. Padding is
    /// not among them. The CPU path counts them as it runs, the GPU path by the dispatches that it submits:
    /// by the steps and sequences that the parameters of each let the shader run.
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let batch = Sequences::from(Array3::zeros((2, 20, 2))).with_lengths(&[20, 5])?;
    /// let output = Bidirectional::new(Lstm::new(2, 8)).on(&Device::cpu())?.run(&batch)?;
    /// assert_eq!(output.rows_run(), 2 * (20 + 5)); // two directions
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn rows_run(&self) -> usize {
        self.rows_run
    }

    /// Whether the GPU had to run the batch a second time, by [`Strategy::Step`](crate::Strategy::Step): workgroups of the first attempt
    /// ([`Strategy::Team`](crate::Strategy::Team)) had waited in vain for one that did not run. Nothing of that attempt is here. The numbers are right; the last
    /// bits may differ from those of other runs of the batch.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let output = Lstm::new(2, 8).on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
    /// assert!(!output.was_replayed()); // on the CPU nobody waits
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn was_replayed(&self) -> bool {
        self.was_replayed
    }

    /// How long the run took on the GPU, where the runner was made with [`Settings::timed`](crate::Settings::timed); `None`
    /// else, and on the CPU.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let output = Lstm::new(2, 8).on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
    /// assert!(output.timing().is_none());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn timing(&self) -> Option<Timing> {
        self.timing
    }
}
