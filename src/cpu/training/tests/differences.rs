//! Central differences of the f64 reference with respect to every number that goes in.

use ndarray::{Array1, Array2};

use super::support::cells::{CellSpec, Rule};
use super::support::golden;
use super::support::layers::LayerSpec;
use super::{Lists, Trial};

impl Trial {
    /// Every number that the loss depends on, list by list in the order of [`super::lists`].
    fn changes(&mut self) -> Vec<Vec<&mut f32>> {
        let mut lists = Vec::new();
        for layer in &mut self.layers {
            weights(layer, &mut lists);
        }
        if let golden::Input::Values(values) = &mut self.input {
            lists.push(values.iter_mut().collect());
        }
        for (hidden, cell) in &mut self.initial {
            lists.push(hidden.iter_mut().collect());
            if cell.ncols() > 0 {
                lists.push(cell.iter_mut().collect());
            }
        }
        lists
    }

    /// The derivative of the loss with respect to one number, by a step of about `step`.
    fn difference(&self, (list, entry): (usize, usize), step: f32) -> f64 {
        let loss = |by: f32| {
            let mut changed = self.clone();
            let mut lists = changed.changes();
            let number = &mut *lists[list][entry];
            *number += by;
            let at = f64::from(*number);
            (changed.loss(), at)
        };
        let ((above, to), (below, from)) = (loss(step), loss(-step));
        (above - below) / (to - from)
    }

    /// What of the gradients is not the differences; at a kink the smaller step decides. NaN is never right.
    pub(super) fn wrong(&self, gradients: &Lists) -> Vec<String> {
        let mut wrong = Vec::new();
        let counts: Vec<usize> = self.clone().changes().iter().map(Vec::len).collect();
        assert_eq!(
            counts.len(),
            gradients.len(),
            "{:?}",
            gradients.iter().map(|list| &list.0).collect::<Vec<_>>()
        );
        for (list, ((name, gradients), &count)) in gradients.iter().zip(&counts).enumerate() {
            assert_eq!(gradients.len(), count, "{name}");
            for (entry, &got) in gradients.iter().enumerate() {
                // at a kink a step has to be small
                let steps = [1.0 / 512.0, 1.0 / 16384.0, 1.0 / 262_144.0];
                let differences = steps.map(|step| move || self.difference((list, entry), step));
                let is_close = |wanted: f64| (f64::from(got) - wanted).abs() <= 1e-4 * wanted.abs().max(1.0);
                if !differences.iter().any(|difference| is_close(difference())) {
                    wrong.push(format!("{name}, {entry}: {got}, wanted {}", differences[0]()));
                }
            }
        }
        wrong
    }
}

fn cell<'a>(cell: &'a mut CellSpec, lists: &mut Vec<Vec<&'a mut f32>>) {
    lists.push(cell.kernel.iter_mut().collect());
    lists.push(cell.recurrent_kernel.iter_mut().collect());
    lists.extend(cell.bias.as_mut().map(|bias| bias.iter_mut().collect()));
    if let Rule::Lstm(options) = &mut cell.rule {
        let optional = [&mut options.peepholes, &mut options.projection];
        lists.extend(
            optional
                .into_iter()
                .flatten()
                .map(|weights| weights.iter_mut().collect()),
        );
    }
}

fn weights<'a>(layer: &'a mut LayerSpec, lists: &mut Vec<Vec<&'a mut f32>>) {
    fn vector(vector: &mut Option<Array1<f32>>) -> Option<Vec<&mut f32>> {
        vector.as_mut().map(|vector| vector.iter_mut().collect())
    }
    fn matrix(matrix: &mut Array2<f32>) -> Vec<&mut f32> {
        matrix.iter_mut().collect()
    }
    match layer {
        LayerSpec::Recurrent { cell: own, .. } => cell(own, lists),
        LayerSpec::StackedCells { cells, .. } => cells.iter_mut().for_each(|own| cell(own, lists)),
        LayerSpec::Bidirectional { forward, backward, .. } => {
            cell(forward, lists);
            cell(backward, lists);
        }
        LayerSpec::Embedding { embeddings, .. } => lists.push(matrix(embeddings)),
        LayerSpec::Dense { kernel, bias, .. } => {
            lists.push(matrix(kernel));
            lists.extend(vector(bias));
        }
        LayerSpec::BatchNormalization { gamma, beta, .. } | LayerSpec::LayerNormalization { gamma, beta, .. } => {
            lists.extend(vector(gamma));
            lists.extend(vector(beta));
        }
        _ => {}
    }
}
