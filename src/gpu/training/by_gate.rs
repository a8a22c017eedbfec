//! Products of a cell whose gates leave out values of their own: one for each gate, between the values that are left to it and its part of the
//! lanes.

use crate::gpu::training::product::{Factors, Product};
use crate::gpu::training::recorder::Matrix;
use crate::model::plan::Plan;

/// What the gates of a cell leave out of its input, or of its hidden state.
#[derive(Clone, Copy, Debug)]
pub(super) struct GateFactors<'a> {
    /// The position of each row.
    positions: &'a wgpu::Buffer,
    /// (position, gate and value)
    factors: Matrix<'a>,
    width: usize,
}

impl<'a> GateFactors<'a> {
    /// By position, gate and value from a value of a buffer on, of so many gates and values.
    pub(super) fn new(
        positions: &'a wgpu::Buffer,
        (buffer, first): (&'a wgpu::Buffer, usize),
        (gates, width): (usize, usize),
    ) -> Self {
        Self {
            positions,
            factors: Matrix::tight(buffer, gates * width).from(first),
            width,
        }
    }

    /// Those of the gates from this one on.
    pub(super) fn of_gates_from(self, gate: usize) -> Self {
        Self {
            factors: self.factors.from(gate * self.width),
            ..self
        }
    }

    fn of(self, gate: usize, of_c: bool) -> Factors<'a> {
        Factors {
            positions: self.positions,
            factors: self.of_gates_from(gate).factors,
            of_c,
        }
    }
}

/// Whether the gates of a cell leave out values of their own.
pub(super) fn leaves_out(plan: &Plan, cell: usize) -> bool {
    plan.cell_dropouts.get(cell).is_some_and(|of| of.by_gate.is_some())
}

impl<'a> Product<'a> {
    /// A product with the lanes of gates side by side in B, C and the bias, gate by gate if these leave something out of A.
    pub(super) fn by_gate(self, units: usize, left: Option<GateFactors<'a>>) -> Vec<Self> {
        let Some(left) = left else {
            return vec![self];
        };
        let [rows, columns, inner] = self.size;
        let of_gate = |gate: usize| Self {
            size: [rows, units, inner],
            b: self.b.from(gate * units),
            bias: self.bias.map(|(bias, first)| (bias, first + gate * units)),
            c: self.c.from(gate * units),
            factors: Some(left.of(gate, false)),
            ..self
        };
        (0..columns / units.max(1)).map(of_gate).collect()
    }

    /// A product whose sum runs over the lanes of gates, side by side in A and in B, gate by gate if these leave something out of C.
    pub(super) fn over_gates(self, units: usize, left: Option<GateFactors<'a>>) -> Vec<Self> {
        let Some(left) = left else {
            return vec![self];
        };
        let [rows, columns, inner] = self.size;
        let of_gate = |gate: usize| Self {
            size: [rows, columns, units],
            a: self.a.from(gate * units),
            b: self.b.from(gate * units),
            adds: self.adds || gate > 0,
            factors: Some(left.of(gate, true)),
            ..self
        };
        (0..inner / units.max(1)).map(of_gate).collect()
    }
}
