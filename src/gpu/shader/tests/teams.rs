//! The texts of teams: their workgroups.

use super::*;
use crate::gpu::strategy::{team_kept, team_parts, team_shape, team_wide};

/// The same for `recurrent_team`.
#[test]
fn the_workgroups_of_teams_have_the_size_that_the_host_thinks() {
    for (_, cell) in texts::cells() {
        let (cell, lanes) = (CellText::of(&cell), cell.lanes().len());
        for units in [1, 3, 8, 31, 64, 65, 128, 256, 500] {
            let shape = team_kept::Shape::of(units, 2, 256).unwrap();
            let workgroup = shape.workgroup;
            for rows in [1, 8] {
                let (held, size) = held(&made(&team_kept::SHADER, &cell, &workgroup.constants(rows)));
                assert_eq!(size, [workgroup.width, workgroup.parts].map(|size| size as u32));
                assert_eq!(held, shape.bytes(rows, lanes), "{units} units: {shape:?}");
            }
        }
    }
}

/// The same for `recurrent_team_made`: what the host takes for the memory of a shape is what a driver has to give, to the byte.
#[test]
fn the_teams_of_a_gpu_have_the_size_that_the_host_thinks() {
    let limits = team_shape::Limits {
        bytes: 48 << 10,
        invocations: 1024,
        members: 128,
    };
    let cells = texts::cells();
    for (_, cell) in [&cells[0], &cells[8]] {
        let (cell, lanes) = (CellText::of(cell), cell.lanes().len());
        for units in [4, 48, 128, 256] {
            for shape in team_shape::Shape::all(units, lanes, limits) {
                let text = made(
                    &team_parts::SHADER,
                    &cell,
                    &team_parts::constants(shape, texts::ON_DX12),
                );
                let (held, size) = held(&text);
                assert_eq!(size, [shape.invocations() as u32, 1], "{shape:?}");
                assert_eq!(held, shape.bytes(lanes), "{shape:?}");
            }
        }
    }
}

/// The same for `recurrent_team_wide`, within the memory that an H200 gives a workgroup.
#[test]
fn the_teams_for_many_positions_have_the_size_that_the_host_thinks() {
    let cells = texts::cells();
    for (_, cell) in [&cells[0], &cells[8]] {
        for shape in texts::wide_shapes() {
            let text = made(
                &team_wide::SHADER,
                &CellText::of(cell),
                &team_wide::constants(shape, texts::ON_DX12),
            );
            let (held, size) = held(&text);
            assert_eq!(size, [shape.invocations() as u32, 1], "{shape:?}");
            assert_eq!(held, shape.bytes(), "{shape:?}");
            assert!(shape.invocations() <= 256 && held <= 48 << 10, "{shape:?}");
        }
    }
}
