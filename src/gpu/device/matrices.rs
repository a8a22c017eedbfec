//! Cooperative matrices: what a GPU has to offer for them to be of use.

use wgpu::{CooperativeScalarType, Features};

/// The features that a text with such matrices needs. The first is experimental in `wgpu`.
pub(super) const FEATURES: Features = Features::EXPERIMENTAL_COOPERATIVE_MATRIX
    .union(Features::SHADER_F16)
    .union(Features::SUBGROUP);

/// Whether an adapter multiplies matrices of 16 × 16 halves and sums up in `f32`. Only by Vulkan, where that was tried.
pub(super) fn are_offered(adapter: &wgpu::Adapter) -> bool {
    adapter.get_info().backend == wgpu::Backend::Vulkan
        && adapter.features().contains(FEATURES)
        && adapter.cooperative_matrix_properties().iter().any(|offered| {
            [offered.m_size, offered.n_size, offered.k_size] == [16; 3]
                && (offered.ab_type, offered.cr_type) == (CooperativeScalarType::F16, CooperativeScalarType::F32)
        })
}
