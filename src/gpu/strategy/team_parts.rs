//! The text `recurrent_team_made`: teams on a GPU whose sums go through workgroup memory.

use crate::gpu::shader::Shader;
use crate::gpu::strategy::launch::Params;
use crate::gpu::strategy::residency::Spin;
use crate::gpu::strategy::team_launches::BINDINGS;
use crate::gpu::strategy::team_shape::Shape;

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_team_made",
    source: include_str!("../../../shaders/recurrent_team_made.wgsl"),
    shared: &[
        include_str!("../../../shaders/shared/finish.wgsl"),
        include_str!("../../../shaders/shared/words.wgsl"),
    ],
    runs_cell: true,
    params: ("Launch", size_of::<Params>()),
    bindings: BINDINGS,
    constants: &[
        "ROWS", "UNITS", "SLICE", "PARTS", "WEIGHTS", "WORDS", "STATES", "COHERENT", "IN_TURN",
    ],
};

/// The constants of the text for a shape.
pub(crate) fn constants(shape: Shape, spin: Spin) -> Vec<u32> {
    let sizes = shape.constants().map(|size| size as u32);
    let of_gpu = [spin.is_coherent, spin.in_software].map(u32::from);
    sizes.into_iter().chain(of_gpu).collect()
}
