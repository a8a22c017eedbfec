//! The text `recurrent_team_wide`: teams on a GPU whose subgroups add up the sums.

use crate::gpu::shader::Shader;
use crate::gpu::strategy::launch::Params;
use crate::gpu::strategy::residency::Spin;
use crate::gpu::strategy::team_launches::BINDINGS;
use crate::gpu::strategy::team_wide_shape::Shape;

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_team_wide",
    source: include_str!("../../../shaders/recurrent_team_wide.wgsl"),
    shared: &[
        include_str!("../../../shaders/shared/finish.wgsl"),
        include_str!("../../../shaders/shared/words.wgsl"),
        include_str!("../../../shaders/shared/wide.wgsl"),
        include_str!("../../../shaders/shared/wide_sums.wgsl"),
        include_str!("../../../shaders/shared/wide_words.wgsl"),
    ],
    runs_cell: true,
    params: ("Launch", size_of::<Params>()),
    bindings: BINDINGS,
    constants: &[
        "ROWS",
        "UNITS",
        "SLICE",
        "LANES_OF_SUBGROUP",
        "ROWS_2",
        "ROWS_1",
        "TILES",
        "FOURS",
        "SLOTS",
        "REST",
        "PAIRS_R2",
        "PAIRS_R1",
        "COHERENT",
        "IN_TURN",
    ],
};

/// The constants of the text for a shape.
pub(crate) fn constants(shape: Shape, spin: Spin) -> Vec<u32> {
    let of_gpu = [spin.is_coherent, spin.in_software].map(u32::from);
    shape.constants().into_iter().chain(of_gpu).collect()
}
