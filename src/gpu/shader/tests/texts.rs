//! Every text that the host may make of the shaders, but for the sizes: each shader with each cell, by each of its options, in
//! each form.

use super::*;
use crate::activation::Activation;
use crate::cell::gru::GruOptions;
use crate::cell::lstm::LstmOptions;
use crate::cell::simple_rnn::SimpleRnnOptions;
use crate::cell::{Cell, Rule};
use crate::gpu::stage::projection_block::{self, Block, MadeFor, Size};
use crate::gpu::stage::{
    batch_normalization, carry, dropout, gather, input_projection, lookup, masked, matrix_projection, reshape,
    row_transform, softmax,
};
use crate::gpu::strategy::launch::Workgroup;
use crate::gpu::strategy::residency::Spin;
use crate::gpu::strategy::solo_shape::{Limits, Shape};
use crate::gpu::strategy::{
    solo, solo_made, step, step_matrix, team_kept, team_parts, team_shape, team_wide, team_wide_shape,
};

/// How workgroups wait for each other on a software adapter, and where loads are not coherent.
pub(super) const IN_SOFTWARE: Spin = Spin {
    most_members: 2,
    in_software: true,
    is_coherent: true,
};
pub(super) const ON_DX12: Spin = Spin {
    most_members: 128,
    in_software: false,
    is_coherent: false,
};

/// Every shader there is, each with a file of its name.
pub(super) const ALL: [&Shader; 27] = [
    &batch_normalization::MOMENTS,
    &batch_normalization::SUMS,
    &carry::SHADER,
    &dropout::SHADER,
    &gather::SHADER,
    &input_projection::SHADER,
    &lookup::SHADER,
    &masked::PROJECTION,
    &matrix_projection::SHADER,
    &projection_block::TILE,
    &projection_block::FEW,
    &reshape::SHADER,
    &row_transform::NORMALIZE,
    &row_transform::SHADER,
    &softmax::SHADER,
    &step::SHADER,
    &step::SPLIT,
    &step::TILE,
    &step::WIDE,
    &step_matrix::SHADER,
    &step::ROWWISE,
    &solo::SHADER,
    &solo_made::SHADER,
    &team_kept::SHADER,
    &team_parts::SHADER,
    &team_wide::SHADER,
    &crate::gpu::measure::SHADER,
];

/// Those that run every cell, whatever its units need of each other.
const OF_ALL: [&str; 3] = [step::ROWWISE.name, masked::STEP.name, masked::PROJECTION.name];

/// Those that run a cell and are made for a size class, with their loops written out.
const MADE: [&str; 7] = [
    "recurrent_step_matrix",
    "recurrent_step_split",
    "recurrent_step_tile",
    "recurrent_step_wide",
    "recurrent_solo_made",
    "recurrent_team_made",
    "recurrent_team_wide",
];

/// Those that multiply by the matrix units of a GPU.
pub(super) const BY_MATRICES: [&str; 2] = ["matrix_projection", "recurrent_step_matrix"];

/// What each device lets a workgroup have.
pub(super) const FLOOR: Limits = Limits {
    invocations: MOST_INVOCATIONS as usize,
    size: [256, 256],
    bytes: MOST_WORKGROUP_BYTES as usize,
};

/// A shader, and what its text is made for.
pub(super) struct Text {
    pub(super) name: String,
    pub(super) shader: &'static Shader,
    pub(super) variant: Variant,
}

impl Text {
    pub(super) fn text(&self) -> String {
        self.shader.text(false, &self.variant)
    }

    /// Whether it needs what WebGPU does not have. Such texts run only where they are asked for, and each has one without beside it.
    pub(super) fn is_optional(&self) -> bool {
        let of_subgroups = [team_wide::SHADER.name, step::WIDE.name];
        BY_MATRICES.contains(&self.shader.name) || of_subgroups.contains(&self.shader.name)
    }

    /// Whether it is made for CPUs, whose subgroups share what they read. No browser runs it.
    pub(super) fn shares(&self) -> bool {
        let name = self.shader.name;
        name.contains("_alone") || (name == step::SHADER.name && self.variant.constants.ends_with(&[1]))
    }

    pub(super) fn module(&self) -> naga::Module {
        let text = self.text();
        naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|error| panic!("{}: {}", self.name, error.emit_to_string(&text)))
    }
}

/// Each kind of cell, plain and with its options.
pub(super) fn cells() -> Vec<(&'static str, Cell)> {
    let lstm = LstmOptions::new();
    let gru = GruOptions::new();
    let rnn = SimpleRnnOptions::new();
    let elu = Activation::EluWith { alpha: 0.75 };
    let rules = [
        ("lstm", Rule::Lstm(lstm)),
        (
            "lstm_options",
            Rule::Lstm(LstmOptions {
                activation: elu,
                output_activation: Activation::Softsign,
                peepholes: true,
                clip: Some(3.0),
                input_forget: true,
                ..lstm
            }),
        ),
        (
            "lstm_softmax",
            Rule::Lstm(LstmOptions {
                recurrent_activation: Activation::Softmax,
                peepholes: true,
                ..lstm
            }),
        ),
        (
            "lstm_projection",
            Rule::Lstm(LstmOptions {
                projection: Some(3),
                peepholes: true,
                ..lstm
            }),
        ),
        ("gru", Rule::Gru(gru)),
        ("gru_clip", Rule::Gru(GruOptions { clip: Some(2.0), ..gru })),
        (
            "gru_reset_before",
            Rule::Gru(GruOptions {
                reset_after: false,
                ..gru
            }),
        ),
        (
            "gru_softmax",
            Rule::Gru(GruOptions {
                activation: Activation::LogSoftmax,
                reset_after: false,
                clip: Some(2.0),
                ..gru
            }),
        ),
        ("simple_rnn", Rule::SimpleRnn(rnn)),
        (
            "simple_rnn_options",
            Rule::SimpleRnn(SimpleRnnOptions {
                activation: elu,
                clip: Some(1.0),
                ..rnn
            }),
        ),
        (
            "simple_rnn_softmax",
            Rule::SimpleRnn(SimpleRnnOptions {
                activation: Activation::Softmax,
                ..rnn
            }),
        ),
    ];
    let cell = |rule| Cell {
        rule,
        features: 2,
        units: 7,
        output: 7,
    };
    rules.into_iter().map(|(name, rule)| (name, cell(rule))).collect()
}

/// The constants of a block of the projection.
pub(super) fn block(block: Block, is_double: bool, activation: [u32; 3]) -> Vec<u32> {
    let size = Size {
        rows: 200,
        columns: 65,
        quads: 64,
    };
    let made_for = MadeFor {
        is_double,
        is_software: false,
    };
    block.text(size, made_for, activation).1
}

/// A small team for many positions, and the one for 64 sequences of 512 units.
pub(super) fn wide_shapes() -> [team_wide_shape::Shape; 2] {
    let small = team_wide_shape::Shape {
        rows: 8,
        units: 24,
        slice: 8,
        lanes_of_subgroup: 32,
        group: 2,
    };
    let large = team_wide_shape::Shape {
        rows: 16,
        units: 512,
        slice: 16,
        group: 4,
        ..small
    };
    [small, large]
}

/// Some sets of values of the constants of a shader: the least, some, the most.
fn sizes(shader: &Shader, lanes: usize, form: Form) -> Vec<Vec<u32>> {
    // one position, and as many as find room in the least memory of a workgroup
    let of_workgroups = |workgroups: [Workgroup; 2], tiles| {
        let tallest = |workgroup: Workgroup| {
            let fits = |rows: &usize| workgroup.bytes(*rows, tiles, lanes) + 32 <= MOST_WORKGROUP_BYTES as usize;
            [8, 4, 2].into_iter().find(fits).unwrap_or(1)
        };
        let [small, large] = workgroups;
        vec![small.constants(1).to_vec(), large.constants(tallest(large)).to_vec()]
    };
    let made = |[rows, units, slice, parts]: [usize; 4], spin| {
        let shape = team_shape::Shape {
            rows,
            units,
            slice,
            parts,
        };
        team_parts::constants(shape, spin)
    };
    match shader.name {
        "carry" | "dropout" | "gather" | "lookup" | "reshape" | "recurrent_step_rowwise" => vec![Vec::new()],
        "masked_projection" => vec![vec![if lanes == 1 { 1 } else { 3 }]],
        "recurrent_step_masked" => vec![vec![1, if lanes == 1 { 1 } else { 3 }], vec![2, lanes as u32]],
        "input_projection" => vec![vec![1, 1, 0, 0, 0], vec![8, 64, 32, 0x3f00_0000, 0]],
        "matrix_projection" => [32, 64]
            .map(|subgroup| matrix_projection::of_subgroup(subgroup, [u32::MAX; 3]).unwrap())
            .to_vec(),
        "input_projection_tile" => vec![
            block(Block::LargeTile, false, [0; 3]),
            block(Block::SmallTile, false, [32, 0x3f00_0000, 0]),
        ],
        "input_projection_few" => vec![
            block(Block::OneRow, false, [0; 3]),
            block(Block::EightRows, false, [32, 0x3f00_0000, 0]),
        ],
        "batch_sums" | "batch_moments" => vec![vec![0], vec![1]],
        "softmax" => vec![vec![15], vec![16]],
        "transform" => vec![vec![1, 0, 0, 0], vec![0, 32, 0x3f00_0000, 0]],
        "normalize" => vec![vec![0, 0, 0], vec![32, 0x3f00_0000, 0]],
        "measure" => (0..3).map(|kind| vec![kind]).collect(),
        "recurrent_step" => vec![vec![1, 1, 0], vec![8, 1, 0], vec![4, 8, 1], vec![8, 4, 1]],
        "recurrent_step_split" | "recurrent_step_tile" => steps::sizes(shader, lanes),
        "recurrent_step_matrix" => steps::matrices(),
        "recurrent_step_wide" => steps::wide(lanes),
        "recurrent_solo" => of_workgroups([3, 64].map(|units| solo::workgroup(units, 256).unwrap()), 2),
        // the tallest, and one whose weights are in registers, workgroup memory and cache
        "recurrent_solo_made" => [(4, 1), (64, 4), (128, 1)]
            .map(|(width, rows)| {
                let shape = Shape::of((width, lanes, form), rows, FLOOR).unwrap();
                shape.constants().to_vec()
            })
            .into(),
        "recurrent_team" => {
            let alone = team_kept::Shape::of(3, 2, 256).unwrap().workgroup;
            let shared = Workgroup {
                width: 8,
                parts: 32,
                weights: 8,
            };
            of_workgroups([alone, shared], 2)
        }
        "recurrent_team_made" => vec![made([1, 4, 2, 1], IN_SOFTWARE), made([4, 64, 8, 16], ON_DX12)],
        "recurrent_team_wide" => wide_shapes().map(|shape| team_wide::constants(shape, ON_DX12)).into(),
        other => panic!("sizes of {other}"),
    }
}

/// All of them.
pub(super) fn all() -> Vec<Text> {
    let mut texts = Vec::new();
    for shader in ALL.into_iter().chain([&masked::STEP]) {
        let cells = match shader.runs_cell {
            true => cells().into_iter().map(Some).collect(),
            false => vec![None],
        };
        for cell in cells {
            let lanes = cell.as_ref().map_or(4, |(_, cell)| cell.lanes().len());
            let hindered = cell.as_ref().is_some_and(|(_, cell)| cell.obstacle().is_some());
            if hindered && !OF_ALL.contains(&shader.name) {
                continue;
            }
            // long texts take long to compile in a browser: one set of options of each number of lanes, states and weights
            let some = ["lstm_options", "gru", "simple_rnn"];
            if MADE.contains(&shader.name) && !cell.as_ref().is_some_and(|(name, _)| some.contains(name)) {
                continue;
            }
            let halves = lanes == 4 && shader.name != step::ROWWISE.name;
            for form in Form::ALL.into_iter().filter(|&form| form == Form::Full || halves) {
                // it multiplies halves alone
                if form == Form::Full && BY_MATRICES.contains(&shader.name) {
                    continue;
                }
                for (size, constants) in sizes(shader, lanes, form).into_iter().enumerate() {
                    let of_cell = cell.as_ref().map_or("", |(name, _)| name);
                    texts.push(Text {
                        name: format!("{}.{of_cell}.{form:?}.{size}", shader.name).to_lowercase(),
                        shader,
                        variant: Variant {
                            form,
                            cell: cell.as_ref().map(|(_, cell)| CellText::of(cell)),
                            constants,
                        },
                    });
                }
            }
        }
    }
    texts.extend(backward::texts());
    texts
}
