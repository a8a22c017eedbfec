//! What the forms of a step have to know of a layer and a device.

/// Invocations and bytes of memory of a workgroup, at most: what every GPU has that offers more than the floor, and room for more
/// than one workgroup on a compute unit.
pub(crate) const INVOCATIONS: usize = 256;
const BYTES: usize = 48 << 10;

/// For more positions the form of so many is taken.
pub(crate) const POSITIONS: usize = 4096;

/// What the forms have to know of the cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layer {
    pub(crate) directions: usize,
    pub(crate) units: usize,
    /// The units of the size class, for which the texts are made.
    pub(crate) width: usize,
    pub(crate) lanes: usize,
    /// The bytes of the weights of a unit for one k.
    pub(crate) weight_bytes: usize,
}

/// What a device allows a workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) invocations: usize,
    pub(crate) bytes: usize,
}

impl Allowed {
    pub(crate) fn by(limits: &wgpu::Limits) -> Self {
        let invocations = limits
            .max_compute_invocations_per_workgroup
            .min(limits.max_compute_workgroup_size_x);
        Self {
            invocations: INVOCATIONS.min(invocations as usize),
            bytes: BYTES.min(limits.max_compute_workgroup_storage_size as usize),
        }
    }
}

/// What the tests of the forms reckon with: a GPU that offers more than the floor,
#[cfg(test)]
pub(crate) const ROOM: Allowed = Allowed {
    invocations: INVOCATIONS,
    bytes: BYTES,
};

/// and an LSTM of so many units, which are a size class, with so many bytes of weights for one k.
#[cfg(test)]
pub(crate) fn lstm(units: usize, weight_bytes: usize) -> Layer {
    Layer {
        directions: 1,
        units,
        width: units,
        lanes: 4,
        weight_bytes,
    }
}
