//! Shader modules, caches of pipelines, and features of wgpu that are not finished: the only unsafe code of the GPU path.
#![allow(
    unsafe_code,
    reason = "wgpu compiles a shader without its run-time checks, gives a driver what it has compiled before, and gives experimental features, only to those who vouch for it"
)]

use crate::gpu::device::Gpu;

/// The environment variable that brings the run-time checks back: `CELLSTATE_CHECKS=1`.
const CHECKS_VARIABLE: &str = "CELLSTATE_CHECKS";

impl Gpu {
    /// Compiles a shader of this crate. Debug builds keep the run-time checks, release builds leave them out.
    pub(crate) fn make_module(&self, label: Option<&str>, text: String) -> wgpu::ShaderModule {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label,
            source: wgpu::ShaderSource::Wgsl(text.into()),
        };
        let checked = cfg!(debug_assertions) || std::env::var_os(CHECKS_VARIABLE).is_some_and(|value| value == "1");
        if checked {
            return self.device().create_shader_module(descriptor);
        }
        // SAFETY: the texts are those of `shaders/`. Every index is bounded by sizes that the host has checked against the
        // buffers it made, every loop ends by a count, and the tests run all of them with the checks as well.
        unsafe {
            self.device()
                .create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Gpu {
    /// A cache of pipelines, which begins with data of an earlier one; empty where `wgpu` sees that another driver wrote the data.
    pub(super) fn make_pipeline_cache(&self, data: Option<&[u8]>) -> wgpu::PipelineCache {
        // SAFETY: `wgpu` asks that the data be those that a cache once gave, for no driver checks all of them. They come from a file of
        // ours whose sum is right, so they are as they were written, unless somebody forged it who may write our files.
        unsafe {
            self.device().create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
                label: Some(&self.label("pipeline_cache")),
                data,
                fallback: true,
            })
        }
    }
}

/// What a device is opened with that has these features: `wgpu` wants to be told where one of them is experimental.
pub(super) fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if !features.intersects(wgpu::Features::all_experimental_mask()) {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: `wgpu` asks to be told that such a feature may have errors. The only one that is ever asked for is cooperative
    // matrices, which two texts use (`shaders/matrix_projection.wgsl`, `shaders/recurrent_step_matrix.wgsl`): in bounds that the host has
    // checked, and only after a product on the device was compared with the same one on the host.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}
