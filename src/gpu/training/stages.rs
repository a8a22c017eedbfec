//! The stages on the way back: of the gradient of what a stage has made, those of its weights and of what it has read.

use crate::activation::Activation;
use crate::error::Result;
use crate::flow::{Gather, Source, Stage};
use crate::gpu::stage::dropout;
use crate::gpu::stage::interface::{at, defect};
use crate::gpu::stage::moments::Moments;
use crate::gpu::training::counted::counted_rows;
use crate::gpu::training::product::Product;
use crate::gpu::training::recorder::{Matrix, Recorder};
use crate::gpu::training::row_gradients::{
    BatchBack, Listed, Size, activation_back, multiply_back, normalize_back, softmax_back,
};
use crate::gpu::training::sums::column_sums;
use crate::gpu::training::way::{OfList, Way};
use crate::layer::bidirectional::MergeMode;
use crate::memory::WEIGHTS;
use crate::model::planned_weight::Owner;
use crate::model::transform::{BatchWeights, Transform};
use crate::parameters::Role;

impl Way<'_> {
    /// The gradient of what the first list of a stage has read.
    pub(super) fn stage(
        &self,
        recorder: &mut Recorder<'_>,
        number: usize,
        wants_input: bool,
    ) -> Result<Option<OfList>> {
        match self.flow.stage(number)? {
            Stage::Recurrent { .. } => self.recurrent(recorder, number),
            Stage::Dense { dense, input } => self.dense(recorder, number, (*dense, input), wants_input),
            Stage::Transform { transform, input } => self.transform(recorder, number, *transform, input).map(Some),
            // values lie one behind the other, whatever the width of a row is
            Stage::Reshape { input, .. } => {
                let gradient = self.gradient_of(recorder, number)?;
                Ok(Some(OfList::tight(gradient, self.width_of(input.source))))
            }
            Stage::Merge { .. } => self.merged(recorder, number, false).map(Some),
            Stage::Dropout { dropout, noise, .. } => {
                let gradient = self.gradient_of(recorder, number)?;
                let width = self.width_of(Source::Stage(number));
                if let Some(drawn) = self.noise {
                    let dropout = at(&self.plan.dropouts, *dropout)?;
                    let numbers = recorder.upload(("numbers", number), noise)?;
                    let counted = (0, noise.len());
                    let (params, workgroups) = dropout::Params::new(dropout, drawn, counted, (width, width));
                    recorder.dispatch((&dropout::SHADER, &[]), &[&numbers, &gradient], params, workgroups);
                }
                Ok(Some(OfList::tight(gradient, width)))
            }
        }
    }

    fn dense(
        &self,
        recorder: &mut Recorder<'_>,
        number: usize,
        (dense, input): (usize, &Gather),
        wants_input: bool,
    ) -> Result<Option<OfList>> {
        let planned = at(&self.plan.denses, dense)?;
        let (features, units) = planned.weights.kernel.dim();
        let kernel = self.weights.get(Owner::Dense(dense), Role::Kernel)?;
        let bias = self.weights.find(Owner::Dense(dense), Role::Bias);
        let (source, _) = self.rows(input.source)?;
        let index = self.index(recorder, number, input)?;
        let size @ [rows, units] = [input.index.len(), units];
        let mut gradient = self.gradient_of(recorder, number)?;
        let activation = planned.activation;
        if activation.is_rowwise() {
            gradient = self.softmax(recorder, number, activation)?;
        } else if activation != Activation::Linear {
            let arguments = recorder.buffer(("arguments", 0), rows * units)?;
            let arguments = Matrix::tight(&arguments, units);
            let product = Product::new(
                [rows, units, features],
                source,
                Matrix::tight(&kernel.values, units),
                arguments,
            );
            let bias = bias.map(|bias| (&bias.values, 0));
            Product { bias, ..product }.by(&index).record(recorder);
            gradient = self.activated(recorder, activation, size, (arguments, None), &gradient)?;
        }
        let gradient = Matrix::tight(&gradient, units);
        let of_kernel = kernel.gradient(recorder)?;
        let product = Product::new(
            [features, units, rows],
            source,
            gradient,
            Matrix::tight(&of_kernel, units),
        );
        let counted = counted_rows(recorder, size, &index, gradient)?;
        product.by(&counted).turned(true, false).record_in_parts(recorder)?;
        if let Some(bias) = bias {
            let of_bias = bias.gradient(recorder)?;
            column_sums(recorder, (gradient, size), None, (&of_bias, 0))?;
        }
        if !wants_input {
            return Ok(None);
        }
        let gathered = recorder.buffer(("gathered gradient", 0), rows * features)?;
        let to = Matrix::tight(&gathered, features);
        let product = Product::new(
            [rows, features, units],
            gradient,
            Matrix::tight(&kernel.values, units),
            to,
        );
        product.turned(false, true).record(recorder);
        Ok(Some(OfList::tight(gathered, features)))
    }

    /// The gradient of the arguments of an activation.
    fn activated(
        &self,
        recorder: &mut Recorder<'_>,
        activation: Activation,
        size: Size,
        arguments: Listed<'_>,
        upstream: &wgpu::Buffer,
    ) -> Result<wgpu::Buffer> {
        let gradient = recorder.buffer(("activation gradient", 0), size[0] * size[1])?;
        let upstream = Matrix::tight(upstream, size[1]);
        activation_back(recorder, activation, size, arguments, (upstream, &gradient));
        Ok(gradient)
    }

    /// The gradient of the arguments of the softmax with which a stage ends.
    fn softmax(&self, recorder: &mut Recorder<'_>, number: usize, activation: Activation) -> Result<wgpu::Buffer> {
        let (given, rows) = self.rows(Source::Stage(number))?;
        let size = [self.flow.stage(number)?.rows(), rows.size.width];
        let upstream = self.gradient_of(recorder, number)?;
        let gradient = recorder.buffer(("activation gradient", 0), size[0] * size[1])?;
        let upstream = Matrix::tight(&upstream, size[1]);
        softmax_back(recorder, activation, size, given, (upstream, &gradient));
        Ok(gradient)
    }

    fn transform(
        &self,
        recorder: &mut Recorder<'_>,
        number: usize,
        transform: usize,
        input: &Gather,
    ) -> Result<OfList> {
        let (source, rows) = self.rows(input.source)?;
        let size @ [count, width] = [input.index.len(), rows.size.width];
        let index = self.index(recorder, number, input)?;
        let mut upstream = self.gradient_of(recorder, number)?;
        let planned = at(&self.plan.transforms, transform)?;
        let mut activation = planned.activation();
        if activation.is_rowwise() {
            upstream = self.softmax(recorder, number, activation)?;
            activation = Activation::Linear;
        }
        if let Transform::Scale { by: Some(by), .. } = planned {
            let to = (Matrix::tight(&upstream, width), size);
            return self.batch(
                recorder,
                (number, transform),
                (activation, &by.of),
                (source, &index),
                to,
            );
        }
        let Transform::Normalize { epsilon, .. } = planned else {
            if activation != Activation::Linear {
                upstream = self.activated(recorder, activation, size, (source, Some(&index)), &upstream)?;
            }
            return Ok(OfList::tight(upstream, width));
        };
        let gathered = recorder.buffer(("gathered gradient", 0), count * width)?;
        let of_weights = [
            recorder.buffer(("gamma by row", 0), count * width)?,
            recorder.buffer(("beta by row", 0), count * width)?,
        ];
        let [gamma, beta] = &of_weights;
        let affine = at(self.transforms, transform)?.affine().ok_or_else(defect)?;
        let how = (activation, *epsilon, affine);
        let to = (Matrix::tight(&upstream, width), [&gathered, gamma, beta]);
        normalize_back(recorder, how, size, (source, &index), to);
        for (role, by_row) in [Role::Gamma, Role::Beta].into_iter().zip(&of_weights) {
            if let Some(tensor) = self.weights.find(Owner::Transform(transform), role) {
                let gradient = tensor.gradient(recorder)?;
                column_sums(recorder, (Matrix::tight(by_row, width), size), None, (&gradient, 0))?;
            }
        }
        Ok(OfList::tight(gathered, width))
    }

    /// A BatchNormalization: by the moments of the batch in training, else by those that it moves.
    fn batch(
        &self,
        recorder: &mut Recorder<'_>,
        (number, transform): (usize, usize),
        (activation, weights): (Activation, &BatchWeights),
        (rows, index): (Matrix<'_>, &wgpu::Buffer),
        (upstream, size): (Matrix<'_>, Size),
    ) -> Result<OfList> {
        let [count, width] = size;
        let statistics = self.statistics(number);
        let Moments {
            moments,
            scale,
            shift,
            counts,
        } = match &statistics {
            Some((moments, _)) => (*moments).clone(),
            None => self.moving_moments(recorder, transform)?,
        };
        let back = BatchBack {
            activation,
            epsilon: weights.epsilon,
            size,
            rows,
            index,
            moments: &moments,
            scale: &scale,
            shift: &shift,
        };
        let by_row = [
            recorder.buffer(("gamma by row", 0), count * width)?,
            recorder.buffer(("gathered gradient", 0), count * width)?,
        ];
        back.by_row(recorder, upstream, by_row.each_ref());
        let mut sums = Vec::new();
        for (role, by_row) in [Role::Gamma, Role::Beta].into_iter().zip(&by_row) {
            let gradient = match self.weights.find(Owner::Transform(transform), role) {
                Some(tensor) => tensor.gradient(recorder)?,
                None => recorder.buffer(("sums of a batch", sums.len()), width)?,
            };
            column_sums(recorder, (Matrix::tight(by_row, width), size), None, (&gradient, 0))?;
            sums.push(gradient);
        }
        let [_, gathered] = by_row;
        let of_batch = statistics.map(|(_, statistics)| (&counts, statistics.count()));
        back.rows(recorder, of_batch, ([at(&sums, 0)?, at(&sums, 1)?], &gathered));
        Ok(OfList::tight(gathered, width))
    }

    /// What a BatchNormalization normalises by where that is not the batch; every row counts.
    fn moving_moments(&self, recorder: &mut Recorder<'_>, transform: usize) -> Result<Moments> {
        let Transform::Scale { by: Some(by), .. } = at(&self.plan.transforms, transform)? else {
            return Err(defect());
        };
        let mut moments = WEIGHTS.list(2 * by.scale.len())?;
        moments.extend(by.of.mean.iter().chain(&by.of.variance));
        Ok(Moments {
            moments: recorder.upload::<f32>(("moving moments", transform), &moments)?,
            scale: recorder.upload(("scale", transform), &by.scale)?,
            shift: recorder.upload(("shift", transform), &by.shift)?,
            counts: recorder.nothing(),
        })
    }

    /// The gradient of what a merge has read of one side.
    pub(super) fn merged(&self, recorder: &mut Recorder<'_>, number: usize, is_backward: bool) -> Result<OfList> {
        let Stage::Merge {
            merge,
            forward,
            backward,
        } = self.flow.stage(number)?
        else {
            return Err(defect());
        };
        let stride = self.width_of(Source::Stage(number));
        let upstream = self.gradient_of(recorder, number)?;
        let (scale, first) = match merge {
            MergeMode::Average => (0.5, 0),
            MergeMode::Concat if is_backward => (1.0, self.width_of(forward.source)),
            _ => (1.0, 0),
        };
        if *merge == MergeMode::Multiply {
            let other = if is_backward { forward } else { backward };
            let (rows, _) = self.rows(other.source)?;
            // both sides' lists are there before anything runs
            let name = if is_backward {
                "list of forward"
            } else {
                "list of backward"
            };
            let index = recorder.upload((name, number), &other.index)?;
            let size = [other.index.len(), stride];
            let gathered = recorder.buffer(("gathered gradient", 0), size[0] * size[1])?;
            let upstream = Matrix::tight(&upstream, stride);
            multiply_back(recorder, size, (rows, &index), (upstream, &gathered));
            return Ok(OfList::tight(gathered, stride));
        }
        Ok(OfList {
            buffer: upstream,
            first,
            stride,
            scale,
        })
    }
}
