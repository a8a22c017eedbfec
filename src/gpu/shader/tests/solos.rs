//! The texts of solo have the size that the host thinks.

use super::*;
use crate::gpu::strategy::solo_made;
use crate::gpu::strategy::solo_shape::{Limits, Shape};
use texts::FLOOR;

/// What the host takes the workgroups of a size class for is what they are, on the portable floor and on a device with room for
/// more: these are made only where the device says so, and are as valid.
#[test]
fn the_workgroups_of_solo_made_have_the_size_that_the_host_thinks() {
    let more = Limits {
        invocations: 1024,
        size: [1024, 1024],
        bytes: 48 << 10,
    };
    let cells = texts::cells();
    for (name, cell) in cells.iter().filter(|(name, _)| ["lstm", "simple_rnn"].contains(name)) {
        let (cell, lanes) = (CellText::of(cell), cell.lanes().len());
        for (limits, widths) in [(FLOOR, [4, 12, 64, 80]), (more, [32, 112, 128, 192])] {
            for (width, form) in widths.into_iter().flat_map(|width| Form::ALL.map(|form| (width, form))) {
                for rows in solo_made::HEIGHTS {
                    let shape = Shape::of((width, lanes, form), rows, limits);
                    let Some(shape) = shape.filter(|_| form == Form::Full || lanes == 4) else {
                        continue;
                    };
                    let mut text = made(&solo_made::SHADER, &cell, &shape.constants());
                    text.variant.form = form;
                    let (held, size) = held(&text);
                    assert_eq!(size, [width, shape.parts].map(|size| size as u32), "{name}: {shape:?}");
                    assert!(width * shape.parts <= limits.invocations && held <= limits.bytes);
                    assert_eq!(held, shape.bytes(), "{name}: {shape:?}");
                    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32);
                    validator.validate(&text.module()).unwrap();
                }
            }
        }
    }
}

/// What the host takes a workgroup of `recurrent_solo` for is what it is.
#[test]
fn the_workgroups_of_solo_have_the_size_that_the_host_thinks() {
    for (_, cell) in texts::cells() {
        let (cell, lanes) = (CellText::of(&cell), cell.lanes().len());
        for invocations in [256, 1024] {
            for units in [1, 3, 8, 31, 32, 33, 64, 65, 96, 128, 256, 1000] {
                let Ok(workgroup) = solo::workgroup(units, invocations) else {
                    assert!(units > 32, "{units} units do not fit");
                    continue;
                };
                assert!(
                    workgroup.width >= units && workgroup.parts * workgroup.weights >= units,
                    "{workgroup:?}"
                );
                for rows in [1, 8] {
                    let (held, size) = held(&made(&solo::SHADER, &cell, &workgroup.constants(rows)));
                    assert_eq!(size, [workgroup.width, workgroup.parts].map(|size| size as u32));
                    assert!(workgroup.width * workgroup.parts <= invocations);
                    let told = solo::bytes(workgroup, rows, lanes);
                    assert_eq!(held, told, "{units} units: {workgroup:?}");
                }
            }
        }
    }
}
