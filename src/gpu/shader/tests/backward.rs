//! The texts of the way back.

use super::texts::{FLOOR, cells};
use super::*;
use crate::gpu::strategy::solo_shape::Shape;
use crate::gpu::training::rule::{RESET, ROWWISE_OF_GRU, ROWWISE_OF_LSTM, ROWWISE_OF_SIMPLE_RNN, SCAN, SCAN_ROWWISE};
use crate::gpu::training::step_back::{
    STEP_ALONE_OF_GRU, STEP_ALONE_OF_LSTM, STEP_ALONE_OF_SIMPLE_RNN, STEP_OF_GRU, STEP_OF_LSTM, STEP_OF_SIMPLE_RNN,
    TURN_FOURS, alone_constants,
};
use crate::gpu::training::{
    counted, gradient_sizes, loss, penalties, product, repack, row_gradients, scatter, solo_back, sums, update,
};
use crate::gpu::weights::class_of;

/// Every shader of the way back that runs no rule, each with some sets of its constants,
fn plain() -> Vec<(&'static Shader, Vec<Vec<u32>>)> {
    vec![
        (
            &product::SHADER,
            vec![vec![0, 0, 1, 1], vec![1, 0, 1, 0], vec![0, 1, 0, 0]],
        ),
        (
            &product::MASKED,
            vec![vec![0, 0, 1, 1, 0], vec![1, 0, 0, 0, 0], vec![0, 1, 0, 0, 1]],
        ),
        (
            &product::ALONE,
            vec![vec![0, 0, 1, 1, 8], vec![1, 0, 1, 0, 4], vec![0, 1, 0, 0, 8]],
        ),
        (&product::ALONE_IN_FOURS, vec![vec![0, 0, 1, 1, 4], vec![1, 0, 1, 0, 8]]),
        (&sums::PARTS, vec![Vec::new()]),
        (&sums::COLUMNS, vec![vec![0, 0], vec![1, 0], vec![1, 1]]),
        (&scatter::SHADER, vec![Vec::new()]),
        (
            &row_gradients::ACTIVATION,
            vec![vec![0, 1, 0, 0], vec![1, 32, 0x3f00_0000, 0]],
        ),
        (&row_gradients::SOFTMAX, vec![vec![15], vec![16]]),
        (&row_gradients::NORMALIZE, vec![vec![0, 0, 0], vec![32, 0x3f00_0000, 0]]),
        (&row_gradients::BATCH, vec![vec![0, 0, 0], vec![32, 0x3f00_0000, 0]]),
        (&row_gradients::BATCH_ROWS, vec![vec![0], vec![1]]),
        (&repack::SHADER, vec![vec![0], vec![1]]),
        (&repack::IN_FOURS, vec![Vec::new()]),
        (&row_gradients::MULTIPLY, vec![Vec::new()]),
        (&gradient_sizes::SHADER, vec![Vec::new()]),
        (&penalties::SHADER, vec![Vec::new()]),
        (&loss::BY_FEATURE, vec![vec![0], vec![1], vec![2], vec![3]]),
        (&loss::BY_CLASS, vec![vec![0], vec![1]]),
        (
            &update::SHADER,
            vec![
                vec![0, 1, 0, 0, 0, 0, 0],
                vec![1, 0, 0, 0, 0, 0, 0],
                vec![1, 0, 1, 0, 0, 0, 0],
                vec![2, 0, 0, 0, 0, 0, 0],
                vec![2, 0, 0, 1, 1, 0, 0],
                vec![3, 0, 0, 0, 0, 0, 0],
                vec![3, 0, 0, 0, 0, 1, 0],
                vec![4, 0, 0, 0, 0, 0, 0],
                vec![5, 0, 0, 0, 0, 0, 1],
            ],
        ),
        (
            &update::IN_FOURS,
            vec![
                vec![0, 1, 0, 0, 0, 0, 0],
                vec![2, 0, 0, 1, 1, 0, 0],
                vec![3, 0, 0, 0, 0, 1, 1],
                vec![5, 0, 0, 0, 0, 0, 0],
            ],
        ),
        (&counted::SHADER, vec![Vec::new()]),
        (&TURN_FOURS, vec![Vec::new()]),
        (&solo_back::TURN, vec![vec![4, 4], vec![3, 4], vec![1, 1]]),
    ]
}

/// and those that run one: for cells without an obstacle, and for those with one.
type OfCell = (&'static str, &'static [&'static Shader], &'static [&'static Shader]);
const OF_CELLS: [OfCell; 3] = [
    (
        "lstm",
        &[&STEP_OF_LSTM, &STEP_ALONE_OF_LSTM, &SCAN],
        &[&ROWWISE_OF_LSTM, &SCAN_ROWWISE, &SCAN],
    ),
    ("gru", &[&STEP_OF_GRU, &STEP_ALONE_OF_GRU], &[&ROWWISE_OF_GRU, &RESET]),
    (
        "simple_rnn",
        &[&STEP_OF_SIMPLE_RNN, &STEP_ALONE_OF_SIMPLE_RNN],
        &[&ROWWISE_OF_SIMPLE_RNN],
    ),
];

/// All texts.
pub(super) fn texts() -> Vec<Text> {
    let text = |name: String, shader, constants| Text {
        name,
        shader,
        variant: Variant {
            constants,
            ..Variant::default()
        },
    };
    let mut texts = Vec::new();
    for (shader, sets) in plain() {
        let sets = sets.into_iter().enumerate();
        texts.extend(sets.map(|(number, set)| text(format!("{}.{number}", shader.name), shader, set)));
    }
    for (name, cell) in cells() {
        let of_kind = OF_CELLS.iter().find(|(kind, ..)| name.starts_with(kind));
        let (_, plain, rowwise) = of_kind.unwrap();
        let shaders = if cell.obstacle().is_some() { rowwise } else { plain };
        for shader in *shaders {
            let name = format!("{}.{name}", shader.name);
            texts.push(text(name, shader, alone_constants(shader, &cell, [4, 2])));
        }
        if cell.obstacle().is_none() {
            let shader = solo_back::solo_of(&cell);
            let width = (class_of(&cell), solo_back::stride(&cell));
            for rows in [1, 4] {
                let shape = Shape::of_back(width, rows, FLOOR).unwrap();
                let constants = solo_back::solo_constants(shader, &cell, shape);
                texts.push(text(format!("{}.{name}.{rows}", shader.name), shader, constants));
            }
        }
    }
    texts
}

/// The steps have one file and three names.
#[test]
fn every_shader_of_the_way_back_stands_in_a_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders/backward");
    let told: BTreeSet<&str> = texts().iter().map(|text| text.shader.source).collect();
    let mut found = BTreeSet::new();
    for file in fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
        let shared = [
            "kept_whole.wgsl",
            "kept_masked.wgsl",
            "product_values.wgsl",
            "product_ones.wgsl",
            "product_own.wgsl",
            "product_twos.wgsl",
            "product_fours.wgsl",
            "values_ones.wgsl",
            "values_fours.wgsl",
            "step_values.wgsl",
            "types.wgsl",
            "update_types.wgsl",
            "log_1p.wgsl",
            "chunk.wgsl",
            "rule.wgsl",
            "derivatives.wgsl",
            "unit_lanes.wgsl",
            "unit_states.wgsl",
            "solo_values.wgsl",
            "cell",
        ];
        if !shared.iter().any(|name| file.ends_with(name)) {
            found.insert(fs::read_to_string(file).unwrap());
        }
    }
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert!(found == told, "the files of shaders/backward and the texts");
}
