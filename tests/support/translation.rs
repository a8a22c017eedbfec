//! What the cases of PyTorch and ONNX have in common when they are put into the names and layouts of Keras: the expected
//! values are turned, never the outputs.

use ndarray::{Array2, ArrayD, Axis, concatenate};

use super::{
    golden::{Case, Tensor},
    layers::{Chain, LayerSpec},
};

/// A case in the making.
#[derive(Debug)]
pub(crate) struct Translation<'a> {
    from: &'a Case,
    to: Case,
}

impl<'a> Translation<'a> {
    pub(crate) fn new(from: &'a Case) -> Self {
        let mut to = from.clone();
        to.tensors.clear();
        to.roles.clear();
        to.tolerance.clear();
        Self { from, to }
    }

    /// Puts in a tensor. If the case expects it, it has the tolerance of the one that it was made of.
    pub(crate) fn put(&mut self, name: &str, of: &str, tensor: ArrayD<f32>) {
        if let Some(role) = self.from.roles.get(of) {
            self.to.roles.insert(name.to_owned(), role.clone());
        }
        if let Some(tolerance) = self.from.tolerance.get(of) {
            self.to.tolerance.insert(name.to_owned(), *tolerance);
        }
        self.to.tensors.insert(name.to_owned(), Tensor::F32(tensor));
    }

    /// What was put in so far.
    pub(crate) fn to(&self) -> &Case {
        &self.to
    }

    /// Puts in the mask of a tensor of lengths, if there is one: padding after each sequence.
    pub(crate) fn put_lengths(&mut self, name: &str, time_steps: usize) -> Result<(), String> {
        let lengths = match self.from.tensors.get(name) {
            None => return Ok(()),
            Some(Tensor::I32(lengths)) => lengths,
            Some(_) => return Err(format!("{name}: expected int32")),
        };
        let lengths: Vec<usize> = lengths.iter().map(|&length| length as usize).collect();
        if lengths.contains(&0) {
            // ONNX's final states would be 0 there, Keras's those at the beginning.
            return Err(format!("{name}: a length of 0"));
        }
        let valid = |(row, step): (usize, usize)| u8::from(step < lengths[row]);
        let mask = Array2::from_shape_fn((lengths.len(), time_steps), valid);
        self.to.tensors.insert("mask".to_owned(), Tensor::U8(mask.into_dyn()));
        self.to.roles.insert("mask".to_owned(), "mask".to_owned());
        Ok(())
    }

    /// Puts in the states `h_n`, `c_n`, `initial_h`, `initial_c` that the case has, and what a loss says of them: (cells, batch, width),
    /// a cell each.
    pub(crate) fn put_states(&mut self, chain: &Chain, swapped: bool) -> Result<(), String> {
        for name in ["h_n", "c_n", "initial_h", "initial_c"] {
            for before in ["", "loss_weight.", "grad."] {
                self.put_state(before, name, chain, swapped)?;
            }
        }
        Ok(())
    }

    fn put_state(&mut self, before: &str, name: &str, chain: &Chain, swapped: bool) -> Result<(), String> {
        let of = format!("{before}{name}");
        if self.from.has(&of) {
            let mut states = self.from.f32(&of)?.clone();
            if states.ndim() == 2 && chain.cells().len() == states.shape()[0] {
                states.insert_axis_inplace(Axis(1)); // one sequence without an axis of its own
            } else if states.ndim() == 2 {
                states.insert_axis_inplace(Axis(0)); // one cell without an axis of its own
            } else if swapped {
                states.swap_axes(0, 1);
            }
            if states.shape()[0] != chain.cells().len() {
                return Err(format!("{of}: {:?} for {} cells", states.shape(), chain.cells().len()));
            }
            for ((prefix, _), state) in chain.cells().iter().zip(states.outer_iter()) {
                self.put(&format!("{before}{prefix}{name}"), &of, state.to_owned());
            }
        }
        Ok(())
    }

    /// The case. Every tensor that was expected must be in it.
    pub(crate) fn finish(self, chain: Chain) -> Result<(Case, Chain), String> {
        let put = self.to.roles.values().filter(|role| *role == "expected").count();
        // (two biases that are added are one, or have one place)
        let other_bias = |name: &String| name.starts_with("grad.bias_hh") || name.starts_with("final.lstm.bias_ih");
        let expected = self.from.expected().filter(|name| !other_bias(name)).count();
        if put < expected {
            return Err("not everything that is expected was put in".to_owned());
        }
        Ok((self.to, chain))
    }
}

/// Layers one on top of the other, each with a prefix if there are several.
pub(crate) fn chain(layers: Vec<LayerSpec>) -> Chain {
    let prefixes = match layers.len() {
        1 => vec![String::new()],
        count => (0..count).map(|place| format!("layer{place}.")).collect(),
    };
    Chain { layers, prefixes }
}

/// (gates * units, inputs), as PyTorch and ONNX have it, to (inputs, gates * units) with the gates in the order given.
pub(crate) fn turned(weights: &Array2<f32>, order: &[usize]) -> Array2<f32> {
    let rows = regrouped(weights, Axis(0), order);
    rows.reversed_axes().as_standard_layout().into_owned()
}

/// The blocks of an axis in another order.
pub(crate) fn regrouped(weights: &Array2<f32>, axis: Axis, order: &[usize]) -> Array2<f32> {
    let size = weights.len_of(axis) / order.len();
    let block = |&gate: &usize| {
        let places: Vec<usize> = (gate * size..(gate + 1) * size).collect();
        weights.select(axis, &places)
    };
    let blocks: Vec<Array2<f32>> = order.iter().map(block).collect();
    let views: Vec<_> = blocks.iter().map(|block| block.view()).collect();
    concatenate(axis, &views).expect("blocks of one size")
}
