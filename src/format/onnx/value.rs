//! What a name in the graph stands for.

use std::sync::Arc;

use ndarray::{ArcArray, IxDyn};

use super::dim::Dim;

/// Numbers that are known when the file is read.
#[derive(Clone, Debug)]
pub(super) struct Floats {
    /// What the file calls their type; all are kept as float32.
    pub(super) kind: i32,
    pub(super) array: ArcArray<f32, IxDyn>,
}

/// Whole numbers, each known or a size of the input: shapes, axes, indices.
pub(super) type Integers = ArcArray<Dim, IxDyn>;

/// One number at every place of a shape, which is never written out.
#[derive(Clone, Debug)]
pub(super) struct Fill {
    pub(super) value: f32,
    pub(super) shape: Vec<Dim>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Floats(Floats),
    Integers(Integers),
    Fill(Fill),
    /// What the model makes of its input.
    Data(Data),
    /// An input of the graph that gives initial states, or a part of it.
    State(Arc<str>),
    /// An input of the graph that gives lengths.
    Lengths(Arc<str>),
    /// The same whole number for each sequence.
    Same(Dim),
    /// Where values of the model are above a number.
    Above(Data, f32),
}

/// Which time steps of a layer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// All that there are.
    All,
    /// The last one of the axis, and the first.
    LastStep,
    FirstStep,
    /// The final hidden state of each sequence (`Y_h`).
    Final,
    /// The final cell state (`Y_c`).
    Cell,
}

impl Pick {
    /// The same step where time runs the other way round.
    pub(super) fn turned(self) -> Self {
        match self {
            Self::LastStep => Self::FirstStep,
            Self::FirstStep => Self::LastStep,
            other => other,
        }
    }
}

/// A part of a stage's output that is as wide as one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) stage: usize,
    /// 0 or 1, for a stage with two directions.
    pub(super) direction: usize,
    pub(super) pick: Pick,
    pub(super) width: usize,
}

/// What stands along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// An axis of the input: its time steps, its sequences or its features.
    Input(usize),
    /// One value for each block.
    Directions,
    /// The values of a block; of all blocks, one behind the other, where there is no axis of directions.
    Features,
    /// Nothing: an axis of size 1.
    One,
    /// The time steps of a RepeatVector.
    Repeated(usize),
    /// Two axes as one, the first of them the outer one.
    Rows(Row, Row),
}

/// One of the axes that are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Input(usize),
    Repeated(usize),
}

impl Row {
    pub(super) fn of(axis: Axis) -> Option<Self> {
        match axis {
            Axis::Input(axis) => Some(Self::Input(axis)),
            Axis::Repeated(steps) => Some(Self::Repeated(steps)),
            _ => None,
        }
    }

    pub(super) fn axis(self) -> Axis {
        match self {
            Self::Input(axis) => Axis::Input(axis),
            Self::Repeated(steps) => Axis::Repeated(steps),
        }
    }
}

/// How blocks are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// Side by side.
    Concat,
    Sum,
    Product,
    Average,
}

/// How tokens were changed before they are looked up: `tf2onnx` lets negative ones count from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tokens {
    /// Numbers, no tokens.
    No,
    /// The tokens themselves, or those that count from the end of a table of so many rows added up.
    Plain,
    FromEnd(i64),
    /// 1 where a token is negative, and where it is not.
    Negative,
    NotNegative,
    /// The tokens, and those plus the rows of the table, where they are the ones meant; else 0.
    IfNotNegative,
    IfNegative(i64),
    /// The tokens plus the rows of the table.
    Plus(i64),
}

/// A tensor that the model makes of its input.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Data {
    pub(super) blocks: Vec<Block>,
    pub(super) join: Join,
    pub(super) axes: Vec<Axis>,
    /// Whether time runs the other way round than in the input.
    pub(super) turned: bool,
    pub(super) tokens: Tokens,
}

impl Data {
    /// The values along the axis of features.
    pub(super) fn width(&self) -> usize {
        let first = self.blocks.first().map_or(0, |block| block.width);
        if self.join != Join::Concat || self.axes.contains(&Axis::Directions) {
            return first;
        }
        let widths = self.blocks.iter().map(|block| block.width);
        widths.fold(0, usize::saturating_add)
    }

    /// The same blocks with other axes.
    pub(super) fn with_axes(&self, axes: Vec<Axis>) -> Self {
        Self { axes, ..self.clone() }
    }

    /// The one stage of all blocks.
    pub(super) fn stage(&self) -> Option<usize> {
        let (first, rest) = self.blocks.split_first()?;
        let same = rest.iter().all(|block| block.stage == first.stage);
        same.then_some(first.stage)
    }
}
