//! What a BatchNormalization has found of a batch.

/// What the way back reads of a BatchNormalization.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// The means, then the variances.
    pub(crate) moments: wgpu::Buffer,
    /// What each column was multiplied by, and what was added.
    pub(crate) scale: wgpu::Buffer,
    pub(crate) shift: wgpu::Buffer,
    /// How often each row counts.
    pub(crate) counts: wgpu::Buffer,
}
