//! The weights of a plan on the GPU as the layers have them, row by row, and the buffers of their gradients.

use std::borrow::Cow;

use ndarray::{ArcArray2, Array1};

use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::stage::interface::{at, defect};
use crate::gpu::training::recorder::Recorder;
use crate::model::plan::Plan;
use crate::model::planned_weight::{Owner, PlannedWeight};
use crate::model::transform::Transform;
use crate::parameters::Role;

/// A weight.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) values: wgpu::Buffer,
    /// Its number among the weights of the plan, and its values.
    number: usize,
    count: usize,
}

impl Tensor {
    /// The buffer of its gradient.
    pub(super) fn gradient(&self, recorder: &mut Recorder<'_>) -> Result<wgpu::Buffer> {
        recorder.buffer(("gradient", self.number), self.count)
    }
}

/// The weights of a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct CellTensors<'a> {
    pub(super) kernel: &'a Tensor,
    pub(super) recurrent_kernel: &'a Tensor,
    pub(super) bias: Option<&'a Tensor>,
    pub(super) peepholes: Option<&'a Tensor>,
    pub(super) projection: Option<&'a Tensor>,
}

/// The weights of a plan.
#[derive(Debug)]
pub(super) struct Weights {
    /// In the order of the plan.
    list: Vec<(Owner, Role, Tensor)>,
}

impl Weights {
    /// Uploads the weights.
    pub(super) fn upload(gpu: &Gpu, plan: &Plan) -> Result<Self> {
        let storage = |label: &str, count: usize| {
            let (bytes, limit) = (4 * count as u64, gpu.largest_binding());
            match bytes <= limit {
                true => Ok(gpu.make_buffer(label, bytes, Use::Storage)),
                false => Err(too_large(label, bytes, limit)),
            }
        };
        let mut list = Vec::new();
        for (number, weight) in plan.weights.iter().enumerate() {
            let count = weight.shape.iter().product();
            let values = storage(
                &weight.path,
                // a table is read where the forward pass has it
                if weight.role == Role::Embeddings { 0 } else { count },
            )?;
            let tensor = Tensor { values, number, count };
            list.push((weight.owner, weight.role, tensor));
        }
        let weights = Self { list };
        weights.write(gpu, plan)?;
        Ok(weights)
    }

    /// Writes other values in their place; the plan has the same shapes.
    pub(super) fn write(&self, gpu: &Gpu, plan: &Plan) -> Result<()> {
        for (weight, (.., tensor)) in plan.weights.iter().zip(&self.list) {
            if let Some(values) = values_of(plan, weight)? {
                gpu.queue()
                    .write_buffer(&tensor.values, 0, bytemuck::cast_slice(&values));
            }
        }
        Ok(())
    }

    /// The bytes of their buffers.
    pub(super) fn bytes(&self) -> u64 {
        self.list.iter().map(|(.., tensor)| tensor.values.size()).sum()
    }

    /// A weight that need not be there.
    pub(super) fn find(&self, owner: Owner, role: Role) -> Option<&Tensor> {
        let mut list = self.list.iter();
        let found = list.find(|(known, named, _)| (*known, *named) == (owner, role));
        found.map(|(.., tensor)| tensor)
    }

    /// A weight that is there.
    pub(super) fn get(&self, owner: Owner, role: Role) -> Result<&Tensor> {
        self.find(owner, role).ok_or_else(defect)
    }

    /// The weights of a cell.
    pub(super) fn cell(&self, cell: usize) -> Result<CellTensors<'_>> {
        let owner = Owner::Cell(cell);
        Ok(CellTensors {
            kernel: self.get(owner, Role::Kernel)?,
            recurrent_kernel: self.get(owner, Role::RecurrentKernel)?,
            bias: self.find(owner, Role::Bias),
            peepholes: self.find(owner, Role::Peepholes),
            projection: self.find(owner, Role::Projection),
        })
    }

    /// The values of a weight, by its number in the plan.
    pub(super) fn values(&self, number: usize) -> Result<&wgpu::Buffer> {
        at(&self.list, number).map(|(.., tensor)| &tensor.values)
    }
}

fn too_large(label: &str, needed: u64, limit: u64) -> Error {
    Error::TooLarge {
        what: format!("the weight {label} in training"),
        needed,
        limit,
        limit_name: "bytes, max_storage_buffer_binding_size",
        repair: "open the device with the limits of its adapter, or train on the CPU".to_owned(),
    }
}

/// The values of a weight row by row; `None` where the way back does without.
fn values_of<'a>(plan: &'a Plan, weight: &PlannedWeight) -> Result<Option<Cow<'a, [f32]>>> {
    let optional = |matrix: &'a Option<ArcArray2<f32>>| matrix.as_ref().map(of_matrix);
    Ok(match (weight.owner, weight.role) {
        (Owner::Cell(cell), role) => {
            let weights = &at(&plan.cells, cell)?.weights;
            match role {
                Role::Kernel => Some(of_matrix(&weights.kernel)),
                Role::RecurrentKernel => Some(of_matrix(&weights.recurrent_kernel)),
                Role::Bias => optional(&weights.bias),
                Role::Peepholes => optional(&weights.peepholes),
                Role::Projection => optional(&weights.projection),
                _ => None,
            }
        }
        (Owner::Dense(dense), role) => {
            let weights = &at(&plan.denses, dense)?.weights;
            match role {
                Role::Kernel => Some(Cow::Owned(weights.kernel.iter().copied().collect())),
                Role::Bias => weights.bias.as_ref().map(of_vector),
                _ => None,
            }
        }
        (Owner::Transform(transform), role) => match (at(&plan.transforms, transform)?, role) {
            (Transform::Normalize { gamma, .. }, Role::Gamma) => Some(Cow::Borrowed(gamma)),
            (Transform::Normalize { beta, .. }, Role::Beta) => Some(Cow::Borrowed(beta)),
            (Transform::Scale { by: Some(by), .. }, Role::Gamma) => by.of.gamma.as_ref().map(of_vector),
            (Transform::Scale { by: Some(by), .. }, Role::Beta) => by.of.beta.as_ref().map(of_vector),
            _ => None,
        },
        // a table is where the forward pass reads it
        (Owner::Table(_), _) => None,
    })
}

fn of_matrix(matrix: &ArcArray2<f32>) -> Cow<'_, [f32]> {
    match matrix.as_slice() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(matrix.iter().copied().collect()),
    }
}

fn of_vector(vector: &Array1<f32>) -> Cow<'_, [f32]> {
    match vector.as_slice() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(vector.to_vec()),
    }
}
