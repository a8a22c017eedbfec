//! The forms of a step by matrices: what a workgroup has, what that takes, and what a step by it costs.

use crate::gpu::commands::Workgroups;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::step_layer::{Allowed, Layer};

/// The side of a matrix, the invocations of a subgroup and those of a workgroup.
const SIDE: usize = 16;
pub(crate) const SUBGROUP: usize = 32;
const INVOCATIONS: usize = 256;

/// k of a slab; the first that fits.
const SLABS: [usize; 2] = [128, 64];

/// How a step is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatrixForm {
    /// Positions of a workgroup,
    pub(crate) rows: usize,
    /// and its fours of units, which are matrices of columns.
    pub(crate) quads: usize,
    /// k of a slab.
    pub(crate) slab: usize,
    /// Parts of k.
    pub(crate) parts: usize,
    /// Matrices of a subgroup from row to row; from column to column there are two.
    pub(crate) high: usize,
}

impl MatrixForm {
    /// Those that were the fastest of twenty on an H200: for many positions and units, and for fewer.
    const FASTEST: [Self; 2] = [
        Self {
            rows: 64,
            quads: 4,
            slab: 128,
            parts: 2,
            high: 2,
        },
        Self {
            rows: 32,
            quads: 2,
            slab: 128,
            parts: 4,
            high: 1,
        },
    ];

    /// All that kernels of this width and a device allow.
    pub(crate) fn all(width: usize, allowed: Allowed) -> Vec<Self> {
        let fits = |form: &Self| {
            width.is_multiple_of(form.slab)
                && width.is_multiple_of(4 * form.quads)
                && INVOCATIONS <= allowed.invocations
                && form.bytes() <= allowed.bytes
        };
        let fitting = |form: Self| SLABS.map(|slab| Self { slab, ..form }).into_iter().find(fits);
        Self::FASTEST.into_iter().filter_map(fitting).collect()
    }

    /// The bytes of workgroup memory: the slabs, and a matrix of sums of each subgroup.
    pub(crate) fn bytes(self) -> usize {
        let h = self.rows * (self.slab / 4 + 2) * 8;
        let weights = self.slab * (4 * self.quads + 2) * 8;
        h + weights + INVOCATIONS / SUBGROUP * 4 * (SIDE * 20 + 8)
    }

    /// The constants of the text.
    pub(crate) fn constants(self, width: usize) -> Vec<u32> {
        [
            width,
            self.rows,
            self.quads,
            self.slab,
            self.parts,
            self.high,
            self.slab / SIDE / self.parts,
            self.rows * self.slab / 4 / INVOCATIONS,
            self.slab * 4 * self.quads / INVOCATIONS,
        ]
        .map(|constant| constant as u32)
        .into()
    }

    /// The workgroups of a step of so many positions.
    pub(crate) fn workgroups(self, layer: Layer, positions: usize) -> Workgroups {
        let across = layer.directions * layer.width / (4 * self.quads);
        Workgroups::Across(across as u32, positions.div_ceil(self.rows) as u64)
    }

    /// The seconds of a step of so many positions: as those of the other forms, but that reading is all that counts. The matrix units
    /// multiply what was read faster than the next slab comes.
    pub(crate) fn seconds(self, numbers: &Numbers, layer: Layer, positions: usize) -> f64 {
        let across = layer.directions * layer.width / (4 * self.quads);
        let units = numbers.workgroups.max(1);
        let waves = (across * positions.div_ceil(self.rows)).div_ceil(units) as f64;
        let bytes = layer.width * (4 * self.quads * layer.weight_bytes + 4 * self.rows);
        let barriers = 2 * layer.width / self.slab + 4 * self.high;
        let one = barriers as f64 * numbers.barrier + (units * bytes) as f64 / numbers.cache_bytes;
        numbers.dispatch + numbers.trip + waves * one
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::gpu::strategy::numbers::H200;
    use crate::gpu::strategy::step_forms::{StepForm, StepForms};
    use crate::gpu::strategy::step_layer::{ROOM, lstm};

    /// The microseconds of a step of so many positions and units that were measured on the H200 (`docs/design.md`).
    #[test]
    fn what_was_measured_follows_from_the_numbers() {
        for ([positions, units], number, micros) in [([128, 1024], 0, 12.6), ([64, 512], 1, 7.06)] {
            let form = MatrixForm::all(units, ROOM)[number];
            let told = 1e6 * form.seconds(&H200, lstm(units, 8), positions);
            println!("{positions} x {units}: {told:.2} µs, measured {micros}");
            assert!(
                (0.7..1.3).contains(&(told / micros)),
                "{positions} x {units}: {told:.2} µs"
            );
        }
    }

    #[test]
    fn forms_keep_to_what_is_allowed() {
        let slabs = |width, bytes| {
            let allowed = Allowed { bytes, ..ROOM };
            let forms = MatrixForm::all(width, allowed);
            assert!(
                forms
                    .iter()
                    .all(|form| form.bytes() <= bytes && width.is_multiple_of(form.slab))
            );
            forms.iter().map(|form| form.slab).collect::<Vec<_>>()
        };
        assert_eq!(slabs(1024, 48 << 10), [128, 128]);
        assert_eq!(slabs(1024, 32 << 10), [64, 128]);
        assert_eq!(slabs(320, 48 << 10), [64, 64]);
        assert!(slabs(1024, 16 << 10).is_empty() && slabs(160, 48 << 10).is_empty() && slabs(32, 48 << 10).is_empty());
        let few = Allowed {
            invocations: 128,
            ..ROOM
        };
        assert!(MatrixForm::all(1024, few).is_empty());
    }

    /// Few positions go by the usual forms, many by matrices, and by those of the size.
    #[test]
    fn positions_decide() {
        for units in [128, 256, 512, 1024, 2048] {
            let layer = lstm(units, 8);
            let others = StepForms::few(layer, H200, &StepForm::all(layer, ROOM)).unwrap();
            let forms = MatrixForm::all(units, ROOM);
            let best = |positions| {
                let seconds = forms.iter().map(|form| form.seconds(&H200, layer, positions));
                seconds
                    .enumerate()
                    .min_by(|(_, one), (_, other)| one.total_cmp(other))
                    .unwrap()
            };
            for positions in [1, 8, 16, 24, 32, 33, 64, 128, 256, 512] {
                let (number, seconds) = best(positions);
                let others = others.seconds(positions).unwrap();
                println!(
                    "{positions} x {units}: {:.2} µs by form {number}, {:.2} µs by others",
                    1e6 * seconds,
                    1e6 * others
                );
                if positions == 1 {
                    assert!(seconds > 0.9 * others);
                }
                if positions >= 128 && units >= 512 {
                    assert!(seconds < 0.9 * others);
                }
            }
        }
    }
}
