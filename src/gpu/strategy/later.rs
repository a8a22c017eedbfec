//! A pipeline that is made when a workspace first needs it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::gpu::device::Gpu;
use crate::gpu::shader::{Key, Pipeline, Shader, Variant};

/// A pipeline that is made when a workspace first needs it.
#[derive(Debug)]
pub(crate) struct Later {
    shader: &'static Shader,
    variant: Variant,
    made: Mutex<Option<Arc<Pipeline>>>,
}

impl Later {
    pub(crate) fn new(shader: &'static Shader, variant: Variant) -> Self {
        Self {
            shader,
            variant,
            made: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Pipeline>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pipeline, made if need be. Nothing is locked while it is made, for that waits for its turn.
    pub(crate) fn make(&self, gpu: &Gpu) -> Arc<Pipeline> {
        let made = gpu.pipeline_for(self.shader, self.variant.clone());
        Arc::clone(self.lock().insert(made))
    }

    /// The pipeline, if it was made.
    pub(crate) fn get(&self) -> Option<Arc<Pipeline>> {
        self.lock().clone()
    }

    /// Forgets the pipeline unless it is among those that were known before: its making may have failed, and it is made anew by the next
    /// workspace that needs it.
    pub(crate) fn forget(&self, known: &[Key]) {
        if !known.contains(&(self.shader.name, self.variant.clone())) {
            *self.lock() = None;
        }
    }
}
