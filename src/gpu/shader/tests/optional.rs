//! Texts that need what WebGPU does not have.

use super::*;
use crate::gpu::stage::matrix_projection;

/// No other text asks for an extension; one that does asks before all else.
#[test]
fn only_optional_texts_ask_for_extensions() {
    for text in all() {
        let made = text.text();
        let enables = ["enable f16;\n", "enable wgpu_cooperative_matrix;\n"].concat();
        let has_matrices = texts::BY_MATRICES.contains(&text.shader.name);
        assert_eq!(made.starts_with(&enables), has_matrices, "{}", text.name);
        let asked = made.lines().filter(|line| line.trim().starts_with("enable ")).count();
        assert_eq!(asked, if has_matrices { 2 } else { 0 }, "{}", text.name);
    }
}

/// What the host checks against the limits of a device is what the text takes.
#[test]
fn the_workgroups_of_matrices_have_the_size_that_the_host_thinks() {
    let of_projection = |text: &Text| text.shader.name == matrix_projection::SHADER.name;
    for text in all().into_iter().filter(of_projection) {
        let (bytes, [invocations, _]) = held(&text);
        assert_eq!(bytes as u32, matrix_projection::WORKGROUP_BYTES);
        let subgroup = text.variant.constants[0];
        assert_eq!(invocations, matrix_projection::SUBGROUPS * subgroup);
        // each of the 1024 vec4 of a slab is loaded by one invocation
        assert_eq!(invocations * text.variant.constants[1], 1024);
        let room = [invocations, invocations, matrix_projection::WORKGROUP_BYTES];
        assert!(matrix_projection::of_subgroup(subgroup, room).is_ok());
        for less in 0..3 {
            let mut room = room;
            room[less] -= 1;
            assert!(matrix_projection::of_subgroup(subgroup, room).is_err());
        }
    }
    for subgroup in [0, 1, 8, 16, 33, 128] {
        assert!(matrix_projection::of_subgroup(subgroup, [u32::MAX; 3]).is_err());
    }
}
