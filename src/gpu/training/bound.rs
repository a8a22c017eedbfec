//! What dispatches bind, made once for those that bind the same, and on the way back kept from batch to batch.

use std::collections::HashMap;
use std::sync::Arc;

use crate::gpu::shader::Pipeline;

/// A shader, its constants and its buffers.
type Bound = (&'static str, Vec<u32>, Vec<wgpu::Buffer>);

/// Bind groups with their pipelines, by what they bind. A group keeps its buffers: whoever gives one of these up forgets the groups first.
#[derive(Debug, Default)]
pub(super) struct Groups {
    made: HashMap<Bound, Group>,
    /// The workspace whose rows they bind, by its buffer of parameters.
    workspace: Option<wgpu::Buffer>,
}

#[derive(Debug)]
struct Group {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    /// Whether the way back that is recorded has bound it.
    is_bound: bool,
}

impl Groups {
    /// Those of the last way back, of which nothing is bound by now.
    pub(super) fn begun(mut self) -> Self {
        self.made.values_mut().for_each(|group| group.is_bound = false);
        self
    }

    /// Those that were bound since: what the others bind may be given up.
    pub(super) fn ended(mut self) -> Self {
        self.made.retain(|_, group| group.is_bound);
        self
    }

    /// The group that binds this, with its pipeline.
    pub(super) fn get_or_make(
        &mut self,
        bound: Bound,
        make: impl FnOnce() -> (Arc<Pipeline>, wgpu::BindGroup),
    ) -> (&Arc<Pipeline>, &wgpu::BindGroup) {
        let found = self.made.entry(bound).or_insert_with(|| {
            let (pipeline, group) = make();
            Group {
                pipeline,
                group,
                is_bound: true,
            }
        });
        found.is_bound = true;
        (&found.pipeline, &found.group)
    }

    /// Forgets those of any other workspace: it may be given up before the next way back.
    pub(super) fn stay_with(&mut self, workspace: &wgpu::Buffer) {
        if self.workspace.as_ref() != Some(workspace) {
            *self = Self {
                made: HashMap::new(),
                workspace: Some(workspace.clone()),
            };
        }
    }

    /// Forgets all of them.
    pub(super) fn forget(&mut self) {
        self.made.clear();
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.made.len()
    }
}
