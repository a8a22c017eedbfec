//! Every tile at every edge: against the product in f64, and against each other bit by bit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::env;

use super::*;
use crate::gpu::commands::record_bytes;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::device::buffer::Use;
use crate::gpu::device::mapped::Mapped;
use crate::half_precision::{from_half_bits, half_bits};

const ROWS: [usize; 10] = [1, 2, 3, 7, 8, 9, 63, 64, 65, 129];
const INPUTS: [usize; 7] = [1, 3, 4, 5, 31, 33, 257];
const COLUMNS: [usize; 6] = [1, 3, 63, 64, 65, 257];

/// Rows before those that are read, and before those that are written.
const SOURCE_ROW: usize = 2;
const TARGET_ROW: usize = 3;

/// What no projection may overwrite, nor leave where it should have written.
const UNTOUCHED: f32 = 12345.0;

/// The adapters that the environment names, else all.
pub(super) fn adapters() -> Vec<Gpu> {
    let names = env::var("CELLSTATE_ADAPTERS").unwrap_or_default().to_lowercase();
    let names: Vec<&str> = names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let mut all = pollster::block_on(Adapter::all());
    all.retain(|adapter| names.is_empty() || names.iter().any(|name| adapter.name().to_lowercase().contains(name)));
    if all.is_empty() {
        let required = env::var("CELLSTATE_REQUIRE_GPU").is_ok_and(|value| value == "1");
        assert!(!required, "CELLSTATE_REQUIRE_GPU=1, but there is no GPU adapter");
        println!("skipped: no GPU adapter");
    }
    all.iter()
        .map(|adapter| pollster::block_on(adapter.open()).unwrap())
        .collect()
}

/// Values between -1 and 1, the same for the same place.
fn value(place: usize) -> f32 {
    let mixed = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// A product of a size, with the rows and the weights that its values come from.
pub(super) struct Product {
    inputs: usize,
    columns: usize,
    pub(super) projection: Projection,
}

impl Product {
    fn new(gpu: &Gpu, form: Form, inputs: usize, columns: usize, activation: Activation) -> Self {
        let most = rows_of_a_binding(gpu, form, columns.div_ceil(4));
        Self::cut(gpu, (form, None), inputs, columns, (activation, most))
    }

    /// With the numbers of a GPU, if it is to run by its forms, and so many rows of the kernel in a part.
    pub(super) fn cut(
        gpu: &Gpu,
        form: (Form, Option<Numbers>),
        inputs: usize,
        columns: usize,
        activation: (Activation, usize),
    ) -> Self {
        let vectors = columns.div_ceil(4);
        let lanes = |place: &dyn Fn(usize) -> f32, column: usize| {
            std::array::from_fn(|lane| match column * 4 + lane {
                column if column < columns => place(column),
                _ => 0.0,
            })
        };
        let projection = Projection::cut(
            gpu,
            "test",
            form,
            &Weights {
                row_values: inputs,
                inputs: 0..inputs,
                column_vectors: vectors,
                width: columns,
                kernel: &|k, column| lanes(&|column| Self::weight(k, column), column),
                bias: Some(&|column| lanes(&Self::bias, column)),
            },
            activation,
        );
        Self {
            inputs,
            columns,
            projection,
        }
    }

    /// A half-precision number, so that every form can hold it.
    fn weight(k: usize, column: usize) -> f32 {
        from_half_bits(half_bits(value(1_000_000 + k * 1000 + column)))
    }

    fn bias(column: usize) -> f32 {
        value(2_000_000 + column)
    }

    pub(super) fn rows(&self, rows: usize) -> Vec<Vec<f32>> {
        let row = |row: usize| (0..self.inputs).map(|k| value(row * 1000 + k)).collect();
        (0..rows).map(row).collect()
    }

    /// The rows projected by a tile, without the padding of the columns.
    fn by(&self, gpu: &Gpu, tile: Tile, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
        self.projected(gpu, self.projection.by_tile(tile, rows.len()).unwrap(), rows)
    }

    /// The same by any pipeline.
    pub(super) fn projected(&self, gpu: &Gpu, way: (&Arc<Pipeline>, Workgroups), rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let (source_stride, target_stride) = (padded(self.inputs), padded(self.columns));
        // around the rows there is NaN, so that none of it can get in unseen
        let mut source = vec![f32::NAN; (SOURCE_ROW + rows.len() + 1) * source_stride];
        for (packed, row) in source.chunks_exact_mut(source_stride).skip(SOURCE_ROW).zip(rows) {
            packed.fill(0.0);
            packed[..row.len()].copy_from_slice(row);
        }
        let target = vec![UNTOUCHED; (TARGET_ROW + rows.len() + 1) * target_stride];
        let upload = |values: &[f32]| {
            let bytes: &[u8] = bytemuck::cast_slice(values);
            let buffer = gpu.make_buffer("test", bytes.len() as u64, Use::Storage);
            gpu.queue().write_buffer(&buffer, 0, bytes);
            buffer
        };
        let (source, projected) = (upload(&source), upload(&target));
        let records = self.projection.parts() as u64 + 1;
        let params = gpu.make_buffer("test", records * record_bytes(gpu), Use::Uniform);
        let groups = self.projection.groups(gpu, "test", &params, [&source], &projected);
        let mut commands = Commands::new(gpu);
        let span = Span {
            source_row: SOURCE_ROW,
            target_row: TARGET_ROW,
            rows: rows.len(),
        };
        self.projection.record_by(way, &mut commands, &groups, (0, span));
        let bytes = target.len() as u64 * 4;
        let readback = gpu.make_buffer("test", bytes, Use::Readback);
        commands.last.copy(&projected, 0..bytes, &readback, 0);
        let mut encoder = gpu.encoder("test");
        commands.upload(gpu, &params).unwrap();
        commands.encode(None, &mut encoder);
        gpu.queue().submit([encoder.finish()]);
        let mapped = Mapped::request(&readback, bytes);
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
        pollster::block_on(mapped).unwrap();
        let view = readback.slice(..bytes).get_mapped_range().unwrap();
        let got: Vec<Vec<f32>> = bytemuck::cast_slice::<u8, f32>(&view)
            .chunks_exact(target_stride)
            .map(<[f32]>::to_vec)
            .collect();
        let (before, rest) = got.split_at(TARGET_ROW);
        let (projected, after) = rest.split_at(rows.len());
        assert!(
            before.iter().chain(after).flatten().all(|&value| value == UNTOUCHED),
            "a row that is not of the span was written"
        );
        projected.iter().map(|row| row[..self.columns].to_vec()).collect()
    }

    /// One value in f64, and the sum of the magnitudes that it is made of, to which its rounding is in proportion.
    pub(super) fn expected(row: &[f32], column: usize) -> (f64, f64) {
        let bias = f64::from(Self::bias(column));
        row.iter().enumerate().fold((bias, bias.abs()), |(sum, size), (k, &x)| {
            let term = f64::from(x) * f64::from(Self::weight(k, column));
            (sum + term, size + term.abs())
        })
    }
}

pub(super) fn bits(rows: &[Vec<f32>]) -> Vec<Vec<u32>> {
    let row = |row: &Vec<f32>| row.iter().map(|value| value.to_bits()).collect();
    rows.iter().map(row).collect()
}

#[test]
fn every_tile_at_every_edge_is_the_product_and_bit_for_bit_the_same() {
    for gpu in adapters() {
        for inputs in INPUTS {
            for columns in COLUMNS {
                let product = Product::new(&gpu, Form::Full, inputs, columns, Activation::Linear);
                let halves = Product::new(&gpu, Form::Half, inputs, columns, Activation::Linear);
                for rows in ROWS {
                    let rows = product.rows(rows);
                    let first = product.by(&gpu, Tile::ALL[0], &rows);
                    let name = format!("{}: {} x {inputs} x {columns}", gpu.name(), rows.len());
                    for (number, (row, got)) in rows.iter().zip(&first).enumerate() {
                        for (column, &got) in got.iter().enumerate() {
                            let (want, size) = Product::expected(row, column);
                            // each addition rounds by half a unit of the last place at most
                            let tolerance = size * (inputs + 4) as f64 * f64::from(f32::EPSILON) / 2.0;
                            let error = (f64::from(got) - want).abs();
                            assert!(
                                error <= tolerance,
                                "{name}, [{number}, {column}]: {got}, expected {want}"
                            );
                        }
                    }
                    for tile in Tile::ALL {
                        for (form, product) in [("full", &product), ("halves", &halves)] {
                            let got = product.by(&gpu, tile, &rows);
                            assert_eq!(bits(&got), bits(&first), "{name}, {tile:?}, {form}");
                        }
                    }
                }
            }
        }
    }
}

/// A batch is its rows one by one, by whatever tile the number of rows chooses; activation included.
#[test]
fn a_row_has_the_same_bits_alone() {
    for gpu in adapters() {
        for activation in [Activation::Linear, Activation::Tanh] {
            let product = Product::new(&gpu, Form::Full, 33, 65, activation);
            for rows in 1..=17 {
                let rows = product.rows(rows);
                let whole = product.by(&gpu, Tile::of(rows.len()), &rows);
                for (row, whole) in rows.iter().zip(whole) {
                    let alone = product.by(&gpu, Tile::of(1), std::slice::from_ref(row));
                    assert_eq!(bits(&alone), bits(&[whole]), "{}: {} rows", gpu.name(), rows.len());
                }
            }
        }
    }
}

/// NaN and infinity stay in their rows: also from the last row, which those past the end repeat.
#[test]
fn what_is_no_number_stays_in_its_row() {
    for gpu in adapters() {
        let product = Product::new(&gpu, Form::Full, 5, 66, Activation::Linear);
        for tile in Tile::ALL {
            for rows in [1, 2, 3, 7, 9, 17] {
                let clean = product.rows(rows);
                let expected = bits(&product.by(&gpu, tile, &clean));
                for spoilt in 0..rows {
                    for spoiler in [f32::NAN, f32::INFINITY] {
                        let mut dirty = clean.clone();
                        dirty[spoilt][3] = spoiler;
                        let got = product.by(&gpu, tile, &dirty);
                        for (row, (got, expected)) in got.iter().zip(&expected).enumerate() {
                            if row == spoilt {
                                assert!(
                                    got.iter().all(|value| !value.is_finite()),
                                    "{tile:?}, row {row} of {rows}"
                                );
                            } else {
                                let got: Vec<u32> = got.iter().map(|value| value.to_bits()).collect();
                                assert_eq!(&got, expected, "{tile:?}, row {row} of {rows}, {spoiler} in {spoilt}");
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The tile of a number of rows is no higher than it has to be, and the passes that the host allows for are the most.
#[test]
fn the_lowest_tile_that_holds_all_rows() {
    for rows in 0..100 {
        let tile = Tile::of(rows);
        let holds = |tile: &&Tile| tile.rows() >= rows;
        let expected = Tile::ALL.iter().find(holds).unwrap_or(&Tile::ALL[3]);
        assert_eq!(tile, *expected, "{rows} rows");
    }
    for tile in Tile::ALL {
        for inputs in INPUTS {
            let made = padded(inputs) / 4 * (1 + tile.rows()) + 2 * tile.rows();
            assert!(made <= passes(inputs), "{tile:?}, {inputs} inputs");
        }
    }
    assert!(
        SHADER.source.contains("const MOST_ROWS: u32 = 8u;"),
        "the highest tile fits the arrays of the shader"
    );
    assert!(SHADER.source.contains("const INVOCATIONS: u32 = 64u;") && INVOCATIONS == 64);
}
