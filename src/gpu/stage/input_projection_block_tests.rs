//! Every block of a GPU at every edge, on any adapter: against the product in f64, and against what software adapters run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use super::tests::{Product, adapters, bits};
use super::*;
use crate::drawn::is_drawn;
use crate::gpu::stage::projection_block::{MadeFor, Size};
use crate::gpu::strategy::numbers::H200;

/// Around the edges of tiles, of slabs and of parts; columns in vec4.
const ROWS: [usize; 10] = [1, 2, 7, 63, 64, 65, 127, 128, 129, 200];
const COLUMNS: [usize; 8] = [1, 15, 16, 17, 31, 32, 33, 65];
const INPUTS: [usize; 8] = [1, 3, 4, 15, 16, 17, 33, 100];

const WHOLE: usize = 1 << 20;

/// A block with its pipeline: the large tile with one place for a slab, and with two where the adapter has room for that.
fn pipelines(gpu: &Gpu, blocks: &Blocks) -> Vec<(Block, Arc<Pipeline>)> {
    let mut pipelines: Vec<_> = Block::ALL
        .into_iter()
        .filter(|block| blocks.has_tiles || !matches!(block, Block::LargeTile | Block::SmallTile))
        .map(|block| (block, blocks.pipeline(gpu, block)))
        .collect();
    if blocks.has_tiles {
        let made_for = MadeFor {
            is_double: false,
            is_software: gpu.info().device_type == wgpu::DeviceType::Cpu,
        };
        let pipeline = blocks.pipeline_made_for(gpu, Block::LargeTile, made_for);
        pipelines.push((Block::LargeTile, pipeline));
    }
    pipelines
}

/// The rows of a product by each block that it can run by.
fn by_blocks(gpu: &Gpu, product: &Product, rows: &[Vec<f32>]) -> Vec<(Block, Vec<Vec<f32>>)> {
    let Ways::Gpu(blocks) = &product.projection.ways else {
        panic!("a product with numbers")
    };
    let made = pipelines(gpu, blocks).into_iter();
    made.map(|(block, pipeline)| {
        let workgroups = block.workgroups(blocks.size(rows.len()));
        (block, product.projected(gpu, (&pipeline, workgroups), rows))
    })
    .collect()
}

fn on_gpu(gpu: &Gpu, form: Form, inputs: usize, columns: usize, activation: (Activation, usize)) -> Product {
    Product::cut(gpu, (form, Some(H200)), inputs, columns, activation)
}

fn assert_close(name: &str, got: &[Vec<f32>], rows: &[Vec<f32>], activation: impl Fn(f64) -> f64) {
    for (number, (row, got)) in rows.iter().zip(got).enumerate() {
        for (column, &got) in got.iter().enumerate() {
            let (want, size) = Product::expected(row, column);
            // each addition rounds by half a unit of the last place at most
            let tolerance = (size * (row.len() + 8) as f64 + 1.0) * f64::from(f32::EPSILON) / 2.0;
            let want = activation(want);
            let error = (f64::from(got) - want).abs();
            assert!(
                error <= tolerance,
                "{name}, [{number}, {column}]: {got}, expected {want}"
            );
        }
    }
}

/// Columns that end within a vec4 as well; and full precision and halves in turn, since both run the same text.
#[test]
fn every_block_at_every_edge_is_the_product() {
    for gpu in adapters() {
        for (number, inputs) in INPUTS.into_iter().enumerate() {
            for (other, vectors) in COLUMNS.into_iter().enumerate() {
                if !is_drawn(number + other / 2, 2) {
                    continue;
                }
                let columns = 4 * vectors - (number + other) % 4;
                // each is compiled, which is what takes long in software
                let form = if inputs > 17 {
                    Form::Full
                } else {
                    Form::ALL[(number + other) % 2]
                };
                let product = on_gpu(&gpu, form, inputs, columns, (Activation::Linear, WHOLE));
                for (place, rows) in ROWS.into_iter().enumerate() {
                    // every pair of edges meets, though not every three
                    if (number + other + place) % 3 > 0 && rows > 7 {
                        continue;
                    }
                    let rows = product.rows(rows);
                    for (block, got) in by_blocks(&gpu, &product, &rows) {
                        let name = format!("{block:?} {form:?}: {} x {inputs} x {columns}", rows.len());
                        assert_close(&name, &got, &rows, |sum| sum);
                    }
                }
            }
        }
    }
}

/// Tiles sum in the same order, whatever their size and the places of their slabs; and halves are what they were rounded to.
#[test]
fn tiles_agree_bit_by_bit() {
    for gpu in adapters() {
        for (rows, inputs, columns) in [(129, 100, 130), (65, 17, 63), (1, 33, 261)] {
            let [full, halves] = Form::ALL.map(|form| on_gpu(&gpu, form, inputs, columns, (Activation::Linear, WHOLE)));
            let rows = full.rows(rows);
            let tiles = |product: &Product| -> Vec<Vec<Vec<u32>>> {
                let got = by_blocks(&gpu, product, &rows).into_iter();
                let is_tile = |block: Block| matches!(block, Block::LargeTile | Block::SmallTile);
                got.filter(|&(block, _)| is_tile(block))
                    .map(|(_, got)| bits(&got))
                    .collect()
            };
            let (full, halves) = (tiles(&full), tiles(&halves));
            assert_eq!(full.len(), 3);
            assert!(
                full.iter().chain(&halves).all(|got| *got == full[0]),
                "{inputs} x {columns}"
            );
        }
    }
}

/// A kernel in parts, one of them cut within a slab; and one whose parts are too small for slabs, which no tile runs.
#[test]
fn parts_of_a_kernel_go_on_where_the_one_before_has_ended() {
    for gpu in adapters() {
        for (rows_of_a_part, blocks) in [(16, 6), (36, 6), (64, 6), (8, 3)] {
            let activation = (Activation::Tanh, rows_of_a_part);
            let product = on_gpu(&gpu, Form::Full, 100, 70, activation);
            assert!(product.projection.parts() > 1);
            let rows = product.rows(66);
            let got = by_blocks(&gpu, &product, &rows);
            assert_eq!(got.len(), blocks);
            for (block, got) in got {
                let name = format!("{block:?}, parts of {rows_of_a_part} rows");
                assert_close(&name, &got, &rows, f64::tanh);
            }
        }
    }
}

/// NaN and infinity stay in their rows, also from the last one, which those past the end repeat.
#[test]
fn what_is_no_number_stays_in_its_row() {
    for gpu in adapters() {
        let product = on_gpu(&gpu, Form::Full, 21, 66, (Activation::Linear, WHOLE));
        let clean = product.rows(9);
        let expected = by_blocks(&gpu, &product, &clean);
        for spoilt in [0, 3, 8] {
            for spoiler in [f32::NAN, f32::INFINITY] {
                let mut dirty = clean.clone();
                dirty[spoilt][20] = spoiler;
                let got = by_blocks(&gpu, &product, &dirty);
                for ((block, expected), (_, got)) in expected.iter().zip(got) {
                    for (row, (expected, got)) in bits(expected).iter().zip(&got).enumerate() {
                        let is_right = match row == spoilt {
                            true => got.iter().all(|value| !value.is_finite()),
                            false => bits(std::slice::from_ref(got)) == [expected.clone()],
                        };
                        assert!(is_right, "{block:?}, row {row}, {spoiler} in {spoilt}");
                    }
                }
            }
        }
    }
}

/// What a projection records by itself: the block of the least time, with the pipeline that was made for the workspace.
#[test]
fn a_workspace_has_the_blocks_that_its_rows_need() {
    for gpu in adapters() {
        let product = on_gpu(&gpu, Form::Full, 64, 256, (Activation::Linear, WHOLE));
        let buffer =
            |vectors: usize| gpu.make_buffer("test", vectors as u64 * 16, crate::gpu::device::buffer::Use::Storage);
        let params = gpu.make_buffer("test", 256, crate::gpu::device::buffer::Use::Uniform);
        let (source, target) = (buffer(300 * 16), buffer(300 * 64));
        let groups = product.projection.groups(&gpu, "test", &params, [&source], &target);
        let Ways::Gpu(blocks) = &product.projection.ways else {
            panic!("a product with numbers")
        };
        for rows in 1..=300 {
            let block = blocks.block(rows);
            assert!(
                groups.blocks.iter().any(|(made, _)| *made == block),
                "{rows} rows: {block:?}"
            );
        }
        let Size { rows, columns, quads } = blocks.size(300);
        assert_eq!([rows, columns, quads], [300, 64, 16]);
    }
}

/// Written out as it is for a GPU: the small tile and four rows stand for the others, which take a software adapter long to compile.
#[test]
fn what_is_written_out_for_a_gpu_is_the_product() {
    for gpu in adapters() {
        let product = on_gpu(&gpu, Form::Full, 300, 34, (Activation::Linear, WHOLE));
        let Ways::Gpu(blocks) = &product.projection.ways else {
            panic!("a product with numbers")
        };
        for block in [Block::SmallTile, Block::FourRows] {
            let made_for = MadeFor {
                is_double: false,
                is_software: false,
            };
            let pipeline = blocks.pipeline_made_for(&gpu, block, made_for);
            let rows = product.rows(65);
            let workgroups = block.workgroups(blocks.size(rows.len()));
            let got = product.projected(&gpu, (&pipeline, workgroups), &rows);
            assert_close(&format!("{block:?}"), &got, &rows, |sum| sum);
        }
    }
}
