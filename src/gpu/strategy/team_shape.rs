//! How a team is made up whose sums go through workgroup memory, and what that costs.

use crate::gpu::strategy::entry::Work;
use crate::gpu::strategy::numbers::Numbers;

/// The positions of a team.
const HEIGHTS: [usize; 4] = [1, 2, 4, 8];

/// Invocations of a workgroup, and the rows of the recurrent kernel that each of so many keeps in its registers: four numbers a row,
/// and the sums and the words need as much again.
const REGISTERS: [(usize, usize); 2] = [(256, 32), (512, 24)];

/// The multiplications of lanes that a text writes out, at most: an H200's driver took a quarter of a second for so many.
const PRODUCTS: usize = 128;

/// What a step takes besides its products and the words beyond the first of each invocation, in exchanges, and what each part takes to
/// be added up, in barriers. Like [`SPEED`], fitted to 16 shapes that were measured on an H200: within 10 % of each.
const BASE: f64 = 0.54;
const PART: f64 = 0.285;

/// The products of a compute unit, against those of the tiles that [`Numbers::products`] was measured with: h comes from workgroup memory
/// for each of them.
const SPEED: f64 = 0.65;

/// What a device allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of workgroup memory, and invocations of a workgroup along x.
    pub(crate) bytes: usize,
    pub(crate) invocations: usize,
    /// Workgroups of a team.
    pub(crate) members: usize,
}

/// A team: `units` of a size class are shared out among workgroups, for so many positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// The positions,
    pub(crate) rows: usize,
    /// the units of the class,
    pub(crate) units: usize,
    /// those of a workgroup,
    pub(crate) slice: usize,
    /// and the invocations that share the sum of one.
    pub(crate) parts: usize,
}

impl Shape {
    /// All that a device allows. None holds more weights than there are registers for.
    pub(crate) fn all(units: usize, lanes: usize, limits: Limits) -> Vec<Self> {
        let mut shapes = Vec::new();
        let slices = (1..units).filter(|&slice| units.is_multiple_of(slice) && units / slice <= limits.members);
        for slice in slices {
            for (most, weights) in REGISTERS {
                let fits = |&parts: &usize| {
                    units.is_multiple_of(4 * parts)
                        && units / parts <= weights
                        && slice * parts <= most.min(limits.invocations)
                };
                // the more parts the fewer words has each invocation to wait for
                let Some(parts) = (1..=units / 4).rev().find(fits) else {
                    continue;
                };
                let shape = |rows| Self {
                    rows,
                    units,
                    slice,
                    parts,
                };
                let fitting = HEIGHTS.into_iter().map(shape);
                let fitting = fitting.filter(|shape| shape.rows * shape.units / parts <= PRODUCTS);
                let fitting = fitting.filter(|shape| shape.bytes(lanes) <= limits.bytes && !shapes.contains(shape));
                let fitting: Vec<Self> = fitting.collect();
                shapes.extend(fitting);
            }
        }
        shapes
    }

    /// The workgroups.
    pub(crate) fn members(self) -> usize {
        self.units / self.slice.max(1)
    }

    /// The invocations of a workgroup.
    pub(crate) fn invocations(self) -> usize {
        self.slice * self.parts
    }

    /// The words that an invocation waits for.
    fn words(self) -> usize {
        (self.rows * self.units).div_ceil(self.invocations().max(1))
    }

    /// The constants `ROWS` to `STATES` of the text.
    pub(crate) fn constants(self) -> [usize; 7] {
        let parts = self.parts.max(1);
        let states = self.rows.div_ceil(parts);
        let weights = self.units / parts;
        [self.rows, self.units, self.slice, parts, weights, self.words(), states]
    }

    /// The bytes of workgroup memory: h, the sums of all parts, and two scalars. WebGPU counts every variable up to 16 bytes.
    pub(crate) fn bytes(self, lanes: usize) -> usize {
        let tile = 4 * self.words() * self.invocations();
        let sums = 4 * lanes * self.parts * self.rows * self.slice;
        tile.next_multiple_of(16) + sums.next_multiple_of(16) + 32
    }

    /// The products of a workgroup in a step, for units of so many lanes.
    pub(crate) fn products(self, lanes: usize) -> usize {
        self.slice * self.units * self.rows * lanes
    }

    /// The teams for so many positions in each of so many directions.
    pub(crate) fn teams(self, directions: usize, positions: usize) -> usize {
        directions * positions.div_ceil(self.rows.max(1))
    }

    /// The seconds of a step of so many teams at once: the words go round, then each workgroup adds up its parts.
    fn step_seconds(self, cost: Cost<'_>, teams: usize) -> f64 {
        let numbers = cost.numbers;
        let words = numbers.exchange_word * (self.words() as f64 - 1.0);
        let parts = PART * numbers.barrier * self.parts as f64;
        // workgroups that share a compute unit share its arithmetic
        let sharing = (teams * self.members()).div_ceil(numbers.workgroups.max(1));
        let speed = SPEED * numbers.products / numbers.workgroups as f64;
        let products = (sharing.max(1) * self.products(cost.lanes)) as f64;
        BASE * numbers.exchange + words + parts + products / speed
    }

    /// The seconds of a batch, of which `most_teams` run at once and a launch has so many steps.
    pub(crate) fn seconds(self, cost: Cost<'_>, work: Work, most_teams: usize, launch_steps: usize) -> f64 {
        let all = self.teams(cost.directions, work.positions).max(1);
        let at_once = all.min(most_teams.max(1));
        let rounds = all.div_ceil(at_once) as f64;
        // the first round has the longest sequences, those behind it are as long as the mean
        let mean = work.rows as f64 / (work.positions * work.steps).max(1) as f64;
        let steps = work.steps as f64 * (1.0 + (rounds - 1.0) * mean);
        let launches = rounds * work.steps.div_ceil(launch_steps.max(1)) as f64;
        steps * self.step_seconds(cost, at_once) + launches * launch_seconds(cost, self.units, at_once)
    }
}

/// The seconds of a launch of so many teams besides its steps: it is a dispatch behind emptied words, and reads the weights.
pub(crate) fn launch_seconds(cost: Cost<'_>, units: usize, teams: usize) -> f64 {
    let numbers = cost.numbers;
    let weights = (teams * units * units * cost.lanes * 4) as f64;
    2.0 * (numbers.dispatch + numbers.trip) + weights / numbers.cache_bytes
}

/// What the cost of a shape depends on besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost<'a> {
    pub(crate) numbers: &'a Numbers,
    pub(crate) lanes: usize,
    pub(crate) directions: usize,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::gpu::strategy::numbers;

    const ROOM: Limits = Limits {
        bytes: 48 << 10,
        invocations: 1024,
        members: 128,
    };

    /// What the crate's own teams took on an H200, microseconds a step: the batch without its other stages, by its steps.
    #[test]
    fn the_model_reproduces_what_was_measured() {
        let numbers = numbers::H200;
        let cost = Cost {
            numbers: &numbers,
            lanes: 4,
            directions: 1,
        };
        for ([rows, units, slice, parts], teams, measured) in [
            ([1, 128, 8, 32], 1, 0.985),
            ([1, 128, 16, 16], 1, 0.755),
            ([1, 128, 32, 8], 1, 0.71),
            ([1, 128, 32, 4], 1, 0.713),
            ([1, 128, 64, 8], 1, 0.84),
            ([1, 512, 8, 64], 1, 1.68),
            ([1, 512, 16, 32], 1, 1.467),
            ([1, 512, 8, 32], 1, 1.29),
            ([1, 512, 16, 16], 1, 1.276),
            ([2, 256, 32, 16], 16, 1.55),
            ([8, 256, 16, 16], 4, 3.445),
            ([4, 256, 16, 32], 6, 2.0),
            ([4, 256, 16, 16], 6, 2.072),
            ([8, 256, 8, 32], 3, 3.127),
            ([8, 256, 8, 16], 3, 4.744),
            ([4, 512, 16, 32], 3, 2.85),
        ] {
            let shape = Shape {
                rows,
                units,
                slice,
                parts,
            };
            let step = 1e6 * shape.step_seconds(cost, teams);
            println!("{shape:?}: {step:.2} µs a step, measured {measured}");
            assert!((0.9..1.1).contains(&(step / measured)), "{shape:?}: {step}");
        }
    }

    /// Every shape has all units and all weights, within what the device allows.
    #[test]
    fn shapes_have_everything_and_fit() {
        let small = Limits {
            bytes: 16 << 10,
            invocations: 256,
            members: 128,
        };
        for units in [4, 8, 12, 16, 32, 48, 112, 128, 160, 256, 480, 512, 576, 1024] {
            for (limits, lanes) in [(ROOM, 4), (small, 4), (ROOM, 1)] {
                let shapes = Shape::all(units, lanes, limits);
                assert!(!shapes.is_empty(), "{units} units");
                for shape in shapes {
                    let [rows, _, slice, parts, weights, words, states] = shape.constants();
                    assert_eq!((slice * shape.members(), parts * weights), (units, units), "{shape:?}");
                    assert!(weights % 4 == 0 && weights <= 32, "{shape:?}");
                    assert!(shape.invocations() <= limits.invocations.min(512), "{shape:?}");
                    assert!(shape.invocations() <= 256 || weights <= 24, "{shape:?}");
                    assert!((2..=128).contains(&shape.members()), "{shape:?}");
                    assert!(
                        words * shape.invocations() >= rows * units && states * parts >= rows,
                        "{shape:?}"
                    );
                    assert!(shape.bytes(lanes) <= limits.bytes, "{shape:?}");
                }
            }
        }
        // the sketch that hung: 8 bytes too many
        let hung = Shape {
            rows: 8,
            units: 512,
            slice: 16,
            parts: 16,
        };
        assert!(hung.bytes(4) > 48 << 10 && !Shape::all(512, 4, ROOM).contains(&hung));
    }

    /// Twice the rounds take twice the time, and sequences of half the length less.
    #[test]
    fn what_does_not_fit_at_once_costs_more() {
        let numbers = numbers::H200;
        let cost = Cost {
            numbers: &numbers,
            lanes: 4,
            directions: 1,
        };
        let shape = Shape {
            rows: 4,
            units: 256,
            slice: 16,
            parts: 16,
        };
        let work = |rows| Work {
            positions: 32,
            steps: 100,
            rows,
        };
        let once = shape.seconds(cost, work(3200), 8, 1000);
        let twice = shape.seconds(cost, work(3200), 4, 1000);
        assert!(once.is_finite() && twice > 1.6 * once, "{once} {twice}");
        assert!(shape.seconds(cost, work(1600), 4, 1000) < 0.9 * twice);
    }
}
