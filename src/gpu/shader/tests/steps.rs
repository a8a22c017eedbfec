//! The texts of the forms of a step on a GPU.

use super::*;
use crate::gpu::strategy::step_forms::{Kind, StepForm};
use crate::gpu::strategy::step_layer::{Allowed, Layer};
use crate::gpu::strategy::step_matrix;
use crate::gpu::strategy::step_matrix_form::MatrixForm;
use crate::gpu::strategy::step_wide::Wide;

/// What every device allows, and what a larger one does.
const FLOOR: Allowed = Allowed {
    invocations: MOST_INVOCATIONS as usize,
    bytes: MOST_WORKGROUP_BYTES as usize,
};
const LARGER: Allowed = Allowed {
    invocations: 256,
    bytes: 48 << 10,
};

fn layer(width: usize, lanes: usize) -> Layer {
    Layer {
        directions: 2,
        units: width,
        width,
        lanes,
        weight_bytes: 4 * lanes,
    }
}

fn forms(shader: &Shader, layer: Layer, allowed: Allowed) -> Vec<StepForm> {
    let mut forms = StepForm::all(layer, allowed);
    forms.retain(|form| (form.kind == Kind::Tile) == (shader.name == step::TILE.name));
    forms
}

/// The first form and the last one of a small layer and of a larger one, that keep to the floor.
pub(super) fn sizes(shader: &Shader, lanes: usize) -> Vec<Vec<u32>> {
    let mut sizes = Vec::new();
    for width in [16, 96] {
        let layer = layer(width, lanes);
        let forms = forms(shader, layer, FLOOR);
        let ends = [forms.first(), forms.last()].into_iter().flatten();
        sizes.extend(ends.map(|form| form.constants(layer)));
    }
    sizes.dedup();
    sizes
}

/// Wide forms for subgroups of 32: as they are taken, and another of two units a lane.
fn wide_forms(layer: Layer) -> Vec<StepForm> {
    let mut forms = StepForm::wide(layer, LARGER, Some(32));
    let other = Wide {
        lanes_of_subgroup: 32,
        split: 4,
        tiles: 1,
        block: 64,
    };
    forms.extend(other.divides(layer).then(|| StepForm::of(other)));
    forms
}

/// The smallest and the largest layer that have some.
pub(super) fn wide(lanes: usize) -> Vec<Vec<u32>> {
    let forms = |width| {
        let layer = layer(width, lanes);
        wide_forms(layer).into_iter().map(move |form| form.constants(layer))
    };
    [128, 1024].into_iter().flat_map(forms).collect()
}

#[test]
fn the_workgroups_of_wide_steps_have_the_size_that_the_host_thinks() {
    let some = ["lstm_options", "gru", "simple_rnn"];
    for (_, cell) in texts::cells().into_iter().filter(|(name, _)| some.contains(name)) {
        let (cell, lanes) = (CellText::of(&cell), cell.lanes().len());
        for (width, count) in [(128, 2), (512, 3), (640, 2), (1024, 3)] {
            let layer = layer(width, lanes);
            let forms = wide_forms(layer);
            assert!(forms.len() >= count, "{width} units: {forms:?}");
            for form in forms {
                let text = made(&step::WIDE, &cell, &form.constants(layer));
                let (bytes, size) = held(&text);
                assert_eq!(size, [form.invocations() as u32, 1], "{form:?}");
                assert_eq!(bytes, form.bytes(layer), "{width} units: {form:?}");
                assert!(bytes <= LARGER.bytes, "{width} units: {form:?}");
            }
        }
    }
}

/// By matrices: every form, by both slabs.
fn matrix_forms() -> impl Iterator<Item = (usize, MatrixForm)> {
    let forms = |width| {
        MatrixForm::all(width, LARGER)
            .into_iter()
            .map(move |form| (width, form))
    };
    [64, 1024].into_iter().flat_map(forms)
}

pub(super) fn matrices() -> Vec<Vec<u32>> {
    matrix_forms().map(|(width, form)| form.constants(width)).collect()
}

/// The host checks what a text takes against the limits of the device before the text is made.
#[test]
fn the_workgroups_of_steps_by_matrices_have_the_size_that_the_host_thinks() {
    let (_, cell) = texts::cells().swap_remove(0);
    assert_eq!(matrix_forms().count(), 4);
    for (width, form) in matrix_forms() {
        let text = made(&step_matrix::SHADER, &CellText::of(&cell), &form.constants(width));
        let text = Text {
            variant: Variant {
                form: Form::Half,
                ..text.variant
            },
            ..text
        };
        let (bytes, size) = held(&text);
        assert_eq!(size, [256, 1], "{form:?}");
        assert_eq!(bytes, form.bytes(), "{form:?}");
        // each subgroup has matrices of its own, and each invocation has as much to load as the others
        let subgroups = form.parts * (form.rows / 16 / form.high) * (form.quads / 2);
        assert_eq!(subgroups * 32, 256, "{form:?}");
        assert_eq!(form.slab % (16 * form.parts), 0, "{form:?}");
        assert_eq!(
            [form.rows * form.slab / 4 % 256, form.slab * 4 * form.quads % 256],
            [0; 2],
            "{form:?}"
        );
        assert!(form.rows * form.quads <= 256, "{form:?}");
    }
}

/// Beyond the floor a form is made only where the device allows it, and there is one for every size that keeps to the floor. All
/// of them are valid and of the size that the host thinks.
#[test]
fn the_workgroups_of_a_step_have_the_size_that_the_host_thinks() {
    let mut beyond = 0;
    let some = ["lstm_options", "gru", "simple_rnn"];
    for (_, cell) in texts::cells().into_iter().filter(|(name, _)| some.contains(name)) {
        let (cell, lanes) = (CellText::of(&cell), cell.lanes().len());
        for width in [4, 12, 48, 80, 160, 512, 1024] {
            let layer = layer(width, lanes);
            assert!(!StepForm::all(layer, FLOOR).is_empty(), "{width} units on the floor");
            for allowed in [FLOOR, LARGER] {
                for form in StepForm::all(layer, allowed) {
                    let shader = if form.kind == Kind::Tile {
                        &step::TILE
                    } else {
                        &step::SPLIT
                    };
                    let text = made(shader, &cell, &form.constants(layer));
                    let (bytes, size) = held(&text);
                    assert_eq!(size, [form.invocations() as u32, 1], "{form:?}");
                    assert_eq!(bytes, form.bytes(layer), "{width} units: {form:?}");
                    assert!(bytes <= allowed.bytes && form.invocations() <= allowed.invocations);
                    beyond += usize::from(bytes > FLOOR.bytes);
                    let valid = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&text.module());
                    assert!(valid.is_ok(), "{width} units: {form:?}: {valid:?}");
                }
            }
        }
    }
    assert!(beyond > 0);
}
