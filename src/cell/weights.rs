//! The weights of a cell in their natural order, and by lane.

use ndarray::{ArcArray2, ArrayView, Dimension};

use super::Cell;
use crate::error::{Error, Result};
use crate::half_precision::rounded;
use crate::sums::all;

/// The weights of a cell as its layer keeps them, gates in Keras's order. Cloning shares them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CellWeights {
    /// From the input, (features, gates·units).
    pub(crate) kernel: ArcArray2<f32>,
    /// From the hidden state, (output, gates·units).
    pub(crate) recurrent_kernel: ArcArray2<f32>,
    /// (1, gates·units), or (2, gates·units): what is added to the input's product, and to the recurrent one.
    pub(crate) bias: Option<ArcArray2<f32>>,
    /// From the cell state to the gates i f o, (3, units).
    pub(crate) peepholes: Option<ArcArray2<f32>>,
    /// From the units to the hidden state, (units, output).
    pub(crate) projection: Option<ArcArray2<f32>>,
}

impl CellWeights {
    /// Checks the shapes against the cell, and the values against what weights may be; `bias` may be absent.
    pub(crate) fn check(&self, cell: &Cell, range: ValueRange) -> Result<()> {
        self.check_shapes(cell)?;
        let one_row = self.bias.as_ref().filter(|bias| bias.nrows() == 1);
        if let Some(bias) = one_row {
            range.check(&format!("bias of the {}", cell.class()), &bias.row(0))?;
        }
        let tensors = [
            ("kernel", Some(&self.kernel)),
            ("recurrent_kernel", Some(&self.recurrent_kernel)),
            ("bias", self.bias.as_ref().filter(|_| one_row.is_none())),
            ("peepholes", self.peepholes.as_ref()),
            ("projection", self.projection.as_ref()),
        ];
        for (name, tensor) in tensors {
            if let Some(tensor) = tensor {
                range.check(&format!("{name} of the {}", cell.class()), &tensor.view())?;
            }
        }
        Ok(())
    }

    /// Checks the shapes alone, of values that were checked when they were taken.
    pub(crate) fn check_shapes(&self, cell: &Cell) -> Result<()> {
        let class = cell.class();
        let columns = cell.gates() * cell.units;
        let wide = match cell.gates() {
            1 => "units".to_owned(),
            gates => format!("{gates}·units"),
        };
        let high = if cell.has_projection() { "projection" } else { "units" };
        let check = |name: &str, tensor: &ArcArray2<f32>, shape: [usize; 2], axes: &str| {
            check_shape(&format!("{name} of the {class}"), &tensor.view(), &shape, axes)
        };
        let features = format!("(features, {wide})");
        check("kernel", &self.kernel, [cell.features, columns], &features)?;
        let state = format!("({high}, {wide})");
        check(
            "recurrent_kernel",
            &self.recurrent_kernel,
            [cell.output, columns],
            &state,
        )?;
        match &self.bias {
            Some(bias) if bias.nrows() == 1 && cell.bias_rows() == 1 => {
                let name = format!("bias of the {class}");
                check_shape(&name, &bias.row(0), &[columns], &format!("({wide})"))?;
            }
            Some(bias) if bias.nrows() != cell.bias_rows() => {
                let (wanted, instead) = match cell.bias_rows() {
                    2 => ("(2, 3·units), for `reset_after(true)`", "false"),
                    _ => ("(1, 3·units), for `reset_after(false)`", "true"),
                };
                return Err(Error::Size {
                    argument: format!("bias of the {class}"),
                    expected: wanted.to_owned(),
                    found: format!("shape {:?}", bias.shape()),
                    repair: format!(
                        "call `reset_after({instead})` before the weights are given, or give the other bias"
                    ),
                });
            }
            Some(bias) => {
                let axes = format!("({}, {wide})", cell.bias_rows());
                check("bias", bias, [cell.bias_rows(), columns], &axes)?;
            }
            None => {}
        }
        self.check_optional(cell)
    }

    /// What the options of the cell ask for is there, and nothing else.
    fn check_optional(&self, cell: &Cell) -> Result<()> {
        let class = cell.class();
        let optional = [
            (
                "peepholes",
                &self.peepholes,
                cell.has_unit_parameters(),
                [3, cell.units],
                "(3, units)",
            ),
            (
                "projection",
                &self.projection,
                cell.has_projection(),
                [cell.units, cell.output],
                "(units, projection)",
            ),
        ];
        for (name, tensor, wanted, shape, axes) in optional {
            match tensor {
                Some(tensor) if wanted => check_shape(&format!("{name} of the {class}"), &tensor.view(), &shape, axes)?,
                None if !wanted => {}
                _ => {
                    let said = |present| if present { "with" } else { "without" };
                    return Err(Error::Value {
                        argument: format!("weights of the {class}"),
                        expected: format!("{} {name}, as the layer's options say", said(wanted)),
                        found: format!("{} them", said(!wanted)),
                        repair: format!("call `{name}` on the layer as the trained weights have it, or on the weights"),
                    });
                }
            }
        }
        Ok(())
    }

    /// The same with `kernel`, `recurrent_kernel` and `projection` rounded to half-precision numbers; the rest stays as it is.
    /// `None` if a weight is beyond their range.
    pub(crate) fn rounded(&self) -> Option<Self> {
        Some(Self {
            kernel: rounded(&self.kernel)?,
            recurrent_kernel: rounded(&self.recurrent_kernel)?,
            projection: match &self.projection {
                Some(projection) => Some(rounded(projection)?),
                None => None,
            },
            ..self.clone()
        })
    }
}

impl Cell {
    /// What lane `lane` of a unit takes of input `k`; zero where it takes nothing.
    pub(crate) fn kernel_lane(&self, weights: &CellWeights, k: usize, lane: usize, unit: usize) -> f32 {
        let gate = self.lanes().get(lane).and_then(|lane| lane.kernel);
        self.column(&weights.kernel, k, gate, unit)
    }

    /// What lane `lane` of a unit takes of hidden value `k` (of r * h where the lane says so); zero where it takes nothing.
    pub(crate) fn recurrent_lane(&self, weights: &CellWeights, k: usize, lane: usize, unit: usize) -> f32 {
        let gate = self.lanes().get(lane).and_then(|lane| lane.recurrent);
        self.column(&weights.recurrent_kernel, k, gate, unit)
    }

    /// The same for as many units as `span` has, from unit `first` on.
    pub(crate) fn kernel_span(&self, weights: &CellWeights, k: usize, (lane, first): (usize, usize), span: &mut [f32]) {
        let gate = self.lanes().get(lane).and_then(|lane| lane.kernel);
        self.span(&weights.kernel, k, (gate, first), span);
    }

    /// The same of hidden value `k`.
    pub(crate) fn recurrent_span(
        &self,
        weights: &CellWeights,
        k: usize,
        (lane, first): (usize, usize),
        span: &mut [f32],
    ) {
        let gate = self.lanes().get(lane).and_then(|lane| lane.recurrent);
        self.span(&weights.recurrent_kernel, k, (gate, first), span);
    }

    /// What lane `lane` of a unit begins from: the bias of its gates, the recurrent one included.
    pub(crate) fn bias_lane(&self, weights: &CellWeights, lane: usize, unit: usize) -> f32 {
        let (Some(bias), Some(lane)) = (&weights.bias, self.lanes().get(lane)) else {
            return 0.0;
        };
        let first = self.column(bias, 0, lane.kernel, unit);
        match bias.nrows() {
            2 => first + self.column(bias, 1, lane.recurrent, unit),
            _ => first,
        }
    }

    /// The weights of a unit that are no part of a product: its peepholes i f o, and 0.
    pub(crate) fn unit_parameters(&self, weights: &CellWeights, unit: usize) -> [f32; 4] {
        std::array::from_fn(|gate| {
            let peepholes = weights.peepholes.as_ref();
            peepholes
                .and_then(|peepholes| peepholes.get((gate, unit)))
                .copied()
                .unwrap_or(0.0)
        })
    }

    fn span(&self, tensor: &ArcArray2<f32>, row: usize, (gate, first): (Option<usize>, usize), span: &mut [f32]) {
        let begin = row * tensor.ncols() + gate.map_or(0, |gate| gate * self.units + first);
        let values = tensor
            .as_slice()
            .and_then(|values| values.get(begin..begin + span.len()));
        match (gate, values) {
            (None, _) => span.fill(0.0),
            (_, Some(values)) => span.copy_from_slice(values),
            (_, None) => {
                let units = (first..).zip(span);
                units.for_each(|(unit, to)| *to = self.column(tensor, row, gate, unit));
            }
        }
    }

    fn column(&self, tensor: &ArcArray2<f32>, row: usize, gate: Option<usize>, unit: usize) -> f32 {
        let value = gate.and_then(|gate| tensor.get((row, gate * self.units + unit)));
        value.copied().unwrap_or(0.0)
    }
}

/// Which values weights may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ValueRange {
    /// Numbers: neither NaN nor infinity.
    #[default]
    Finite,
    /// Whatever was trained.
    Any,
}

impl ValueRange {
    /// Checks the values of a tensor.
    pub(crate) fn check<D: Dimension>(self, name: &str, tensor: &ArrayView<'_, f32, D>) -> Result<()> {
        match self {
            Self::Finite => check_finite(
                name,
                tensor,
                "the training may have diverged; save the weights of an earlier epoch",
            ),
            Self::Any => Ok(()),
        }
    }

    /// Checks the shape and the values of a tensor.
    pub(crate) fn check_tensor<D: Dimension>(
        self,
        name: &str,
        tensor: &ArrayView<'_, f32, D>,
        shape: &[usize],
        axes: &str,
    ) -> Result<()> {
        check_shape(name, tensor, shape, axes)?;
        self.check(name, tensor)
    }
}

fn check_shape<D: Dimension>(name: &str, tensor: &ArrayView<'_, f32, D>, shape: &[usize], axes: &str) -> Result<()> {
    if tensor.shape() != shape {
        let transposed: Vec<usize> = tensor.shape().iter().rev().copied().collect();
        let repair = if transposed == shape && shape.len() == 2 {
            "the axes look swapped: pass its transpose, `.reversed_axes()` (PyTorch keeps weights transposed)"
        } else {
            "pass the array as Keras's `get_weights()` gives it"
        };
        return Err(Error::Size {
            argument: name.to_owned(),
            expected: format!("{axes} = {shape:?}"),
            found: format!("shape {:?}", tensor.shape()),
            repair: repair.to_owned(),
        });
    }
    Ok(())
}

/// An error with the first number that is NaN or infinite, if there is one.
pub(crate) fn check_finite<D: Dimension>(name: &str, tensor: &ArrayView<'_, f32, D>, repair: &str) -> Result<()> {
    if tensor.as_slice().is_some_and(|values| all(values, f32::is_finite)) {
        return Ok(());
    }
    match tensor.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((flat, value)) => Err(Error::NotFinite {
            tensor: name.to_owned(),
            index: unflatten(flat, tensor.shape()),
            value: value.to_string(),
            repair: repair.to_owned(),
        }),
    }
}

/// Where a value stands, row by row.
pub(crate) fn unflatten(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&length| {
            let here = flat % length.max(1);
            flat /= length.max(1);
            here
        })
        .collect();
    index.reverse();
    index
}
