//! The cells in shaders: the one table of their texts and constants.

use crate::activation::Activation;
use crate::cell::{Cell, Rule};

/// What a shader that runs steps has to know of a cell: the text of its rule, and the constants that are set in it and in
/// `shared/unit.wgsl`. Options are constants, so that the compiler drops what a cell does not do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CellText {
    pub(crate) source: &'static str,
    /// Numbers that a unit sums up: 4 or 1.
    pub(crate) lanes: usize,
    pub(crate) constants: Vec<(&'static str, u32)>,
}

/// The constants of the activations of a cell, in the order of [`Cell::activations`].
const ACTIVATIONS: [[&str; 3]; 3] = [
    ["ACTIVATION", "ALPHA", "BETA"],
    ["RECURRENT_ACTIVATION", "RECURRENT_ALPHA", "RECURRENT_BETA"],
    ["OUTPUT_ACTIVATION", "OUTPUT_ALPHA", "OUTPUT_BETA"],
];

impl CellText {
    pub(crate) fn of(cell: &Cell) -> Self {
        let (source, own) = match &cell.rule {
            Rule::Lstm(options) => (
                include_str!("../../../shaders/cell/lstm.wgsl"),
                Some(("INPUT_FORGET", u32::from(options.input_forget))),
            ),
            Rule::Gru(_) => (include_str!("../../../shaders/cell/gru.wgsl"), None),
            Rule::SimpleRnn(_) => (include_str!("../../../shaders/cell/simple_rnn.wgsl"), None),
        };
        let activations = cell.activations();
        let of_activations = ACTIVATIONS
            .iter()
            .zip(&activations)
            .flat_map(|(names, activation)| names.iter().copied().zip(activation.constants()));
        let lanes = cell.lanes().len();
        let clip = cell.clip();
        let of_all = [
            ("LANES", lanes as u32),
            ("HAS_CELL_STATE", cell.has_cell_state().into()),
            ("HAS_UNIT_WEIGHTS", cell.has_unit_parameters().into()),
            ("MULTIPLIES_RESET", cell.multiplies_reset().into()),
            ("HAS_PROJECTION", cell.has_projection().into()),
            (
                "HAS_ROWS",
                activations.iter().any(|&one| Activation::is_rowwise(one)).into(),
            ),
            ("HAS_CLIP", clip.is_some().into()),
            ("CLIP", clip.unwrap_or(0.0).to_bits()),
        ];
        Self {
            source,
            lanes,
            constants: of_all.into_iter().chain(own).chain(of_activations).collect(),
        }
    }
}
