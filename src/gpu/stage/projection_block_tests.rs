//! The choice of a block, and what its time is reckoned to be.
#![allow(clippy::panic, reason = "tests fail by panicking")]

use super::*;
use crate::gpu::strategy::numbers::H200;

fn size(rows: usize, columns: usize, inputs: usize) -> Size {
    Size {
        rows,
        columns: columns / 4,
        quads: inputs / 4,
    }
}

/// The seconds of the block that takes the least time for `inputs` values and `columns` vec4.
fn seconds(rows: usize, columns: usize, inputs: usize) -> f64 {
    let size = Size {
        rows,
        columns,
        quads: inputs.div_ceil(4),
    };
    best(size, true, &H200).seconds(size, &H200)
}

/// Measured on an H200 by sketches of the tiles: `docs/benchmarks.md`.
#[test]
fn the_times_are_those_that_were_measured() {
    for (block, rows, columns, inputs, measured) in [
        (Block::LargeTile, 16384, 2048, 256, 36.9e12),
        (Block::LargeTile, 65536, 4096, 512, 40.6e12),
        (Block::SmallTile, 16384, 2048, 256, 35.2e12),
    ] {
        let seconds = block.seconds(size(rows, columns, inputs), &H200);
        let rate = (2 * rows * columns * inputs) as f64 / seconds;
        let ratio = rate / measured;
        assert!(
            (0.7..1.3).contains(&ratio),
            "{block:?}: {rate} operations a second, measured {measured}"
        );
    }
}

#[test]
fn many_rows_take_tiles_and_few_do_not() {
    let block = |rows, columns, inputs| best(size(rows, columns, inputs), true, &H200);
    for (rows, columns, inputs) in [(16384, 2048, 256), (65536, 4096, 512), (8192, 1024, 128)] {
        assert_eq!(
            block(rows, columns, inputs),
            Block::LargeTile,
            "{rows} x {inputs} x {columns}"
        );
    }
    for rows in 1..=32 {
        for (columns, inputs) in [(512, 64), (2048, 256), (4096, 1024)] {
            let block = block(rows, columns, inputs);
            assert!(matches!(block.kind(), Kind::Rows(_)), "{rows} rows: {block:?}");
        }
    }
    assert_eq!(block(1, 4096, 1024), Block::OneRow);
    // without whole slabs there is no tile
    let few = best(size(16384, 2048, 256), false, &H200);
    assert!(matches!(few.kind(), Kind::Rows(_)));
}

/// More rows never take less time, but for those that are rounded up anyway; and a projection of few rows takes no longer than some trips to memory.
#[test]
fn the_time_grows_with_the_rows() {
    for (columns, inputs) in [(4, 4), (128, 64), (512, 100), (4096, 1024)] {
        let mut before = 0.0;
        let mut rows = 1;
        while rows < 100_000 {
            let seconds = seconds(rows, columns / 4, inputs);
            assert!(
                seconds >= before,
                "{rows} x {inputs} x {columns}: {seconds} after {before}"
            );
            before = seconds;
            rows = rounded(rows + 1);
        }
    }
    assert!(seconds(1, 128, 256) < 6e-6);
    assert!(seconds(32, 1024, 1024) < 40e-6);
}

#[test]
fn rounded_rows_are_few_and_near() {
    let mut seen = 0;
    let mut rows = 1;
    while rows < 1 << 20 {
        assert_eq!(rounded(rows), rows);
        rows = rounded(rows + 1);
        seen += 1;
    }
    assert!(seen < 160, "{seen}");
    for rows in 1..3000 {
        assert!((rows..=rows + rows / 8).contains(&rounded(rows)), "{rows}");
    }
}

/// Every constant of a text fits its workgroup, whatever the size.
#[test]
fn the_workgroups_of_few_rows_have_all_their_invocations() {
    for columns in [1, 65, 1 << 20, 9 << 20] {
        for quads in [0, 1, 9, 16, 1000] {
            let size = Size {
                rows: 9,
                columns,
                quads,
            };
            let made_for = MadeFor {
                is_double: false,
                is_software: false,
            };
            for block in Block::ALL {
                let Kind::Rows(rows) = block.kind() else { continue };
                let (_, constants) = block.text(size, made_for, [0; 3]);
                let [columns_of, parts, rounds, held, ..] = constants[..] else {
                    panic!("ten constants")
                };
                assert_eq!((columns_of * parts) as usize, INVOCATIONS);
                assert_eq!((rounds * held) as usize, rows);
                assert!((held * columns_of) as usize <= INVOCATIONS, "{size:?}, {block:?}");
                assert!(
                    columns.div_ceil(columns_of as usize) <= MOST_ACROSS,
                    "{size:?}, {block:?}"
                );
            }
        }
    }
}
