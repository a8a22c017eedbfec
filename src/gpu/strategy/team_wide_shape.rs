//! How a team is made up whose sums are added up within subgroups, and what that costs.

use crate::gpu::strategy::entry::Work;
use crate::gpu::strategy::team_shape::{Cost, Limits, launch_seconds};

/// The positions of a team.
const HEIGHTS: [usize; 5] = [1, 2, 4, 8, 16];

/// The positions of a group, at most: with eight, or with two, an H200 was slower.
const TALLEST_GROUP: usize = 4;

/// The fewest positions for which one more team is worth its while.
const FEW: usize = 4;

/// The units of a subgroup. With one, or with four, an H200 was slower.
pub(crate) const OWN: usize = 2;

/// Invocations of a workgroup, at most; the numbers that each may keep in its registers; and those that it needs besides.
const INVOCATIONS: usize = 256;
const REGISTERS: usize = 255;
const BESIDES: usize = 40;

/// The multiplications of lanes that a text writes out, at most: with twice as many an H200's driver took half a second.
const PRODUCTS: usize = 128;

/// What a step takes besides its products, in exchanges, and how many workgroups of a launch and members of a team cost one exchange
/// more. Like [`SPEED`], fitted to six shapes that were measured on an H200: within 5 % of each.
const BASE: f64 = 0.88;
const WORKGROUPS: f64 = 160.0;
const MEMBERS: f64 = 750.0;

/// The products of a compute unit, against those of the tiles that `Numbers::products` was measured with.
const SPEED: f64 = 0.86;

/// A team: `units` of a size class are shared out among workgroups, for so many positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// The positions,
    pub(crate) rows: usize,
    /// the units of the class,
    pub(crate) units: usize,
    /// those of a workgroup,
    pub(crate) slice: usize,
    /// the lanes of a subgroup,
    pub(crate) lanes_of_subgroup: usize,
    /// and the positions of a group, which are summed up at a time and whose words are waited for at once.
    pub(crate) group: usize,
}

impl Shape {
    /// All that a device allows whose subgroups have so many lanes, for cells of so many lanes.
    pub(crate) fn all(units: usize, lanes: usize, lanes_of_subgroup: usize, limits: Limits) -> Vec<Self> {
        let slices = (OWN..units).step_by(OWN);
        let slices = slices.filter(|&slice| units.is_multiple_of(slice) && units / slice <= limits.members);
        let shapes = slices.flat_map(|slice| {
            HEIGHTS.map(|rows| {
                let shape = |group| Self {
                    rows,
                    units,
                    slice,
                    lanes_of_subgroup,
                    group,
                };
                let groups = HEIGHTS.into_iter().rev();
                let groups = groups.filter(|&group| group <= rows.min(TALLEST_GROUP));
                groups.map(shape).find(|shape| shape.fits(lanes, limits))
            })
        });
        shapes.flatten().collect()
    }

    /// Whether a device has room for it.
    fn fits(self, lanes: usize, limits: Limits) -> bool {
        let words = 4 * self.slots();
        let kept = lanes * OWN * (4 * self.fours() + self.group) + words;
        self.rows * OWN <= self.lanes_of_subgroup
            && self.invocations() <= INVOCATIONS.min(limits.invocations)
            && self.bytes() <= limits.bytes
            && kept + BESIDES <= REGISTERS
            && OWN * self.group * 4 * self.fours() <= PRODUCTS
    }

    /// The workgroups.
    pub(crate) fn members(self) -> usize {
        self.units / self.slice.max(1)
    }

    /// The invocations of a workgroup.
    pub(crate) fn invocations(self) -> usize {
        self.slice / OWN * self.lanes_of_subgroup
    }

    fn groups(self) -> usize {
        self.rows / self.group.max(1)
    }

    /// Groups that workgroup memory has room for.
    fn tiles(self) -> usize {
        self.groups().min(2)
    }

    /// Fours of k that a lane has.
    fn fours(self) -> usize {
        self.units.div_ceil(4 * self.lanes_of_subgroup.max(1))
    }

    /// Fours of h of a group that an invocation waits for.
    fn slots(self) -> usize {
        let pitch = self.fours() * self.lanes_of_subgroup;
        (self.group * pitch).div_ceil(self.invocations().max(1))
    }

    /// The words of a team in a step.
    pub(crate) fn words(self) -> usize {
        self.groups() * 4 * self.slots() * self.invocations()
    }

    /// The constants `ROWS` to `PAIRS_R1` of the text.
    pub(crate) fn constants(self) -> [u32; 12] {
        let [rows_2, rows_1] = [2, 1].map(|place| if self.group > place { 2 } else { 1 });
        let rest = self.lanes_of_subgroup / (OWN * self.group).max(1);
        [
            self.rows,
            self.units,
            self.slice,
            self.lanes_of_subgroup,
            rows_2,
            rows_1,
            self.tiles(),
            self.fours(),
            self.slots(),
            rest.checked_ilog2().unwrap_or_default() as usize,
            rows_2 - 1,
            rows_1 - 1,
        ]
        .map(|size| size as u32)
    }

    /// The bytes of workgroup memory: h of the groups, and two scalars. WebGPU counts every variable up to 16 bytes.
    pub(crate) fn bytes(self) -> usize {
        self.tiles() * 16 * self.slots() * self.invocations() + 32
    }

    /// The products of a workgroup in a step of so many positions, for units of so many lanes.
    pub(crate) fn products(self, lanes: usize, rows: usize) -> usize {
        self.slice * 4 * self.fours() * self.lanes_of_subgroup * rows * lanes
    }

    /// The teams for so many positions in each of so many directions, at most.
    pub(crate) fn teams(self, directions: usize, positions: usize) -> usize {
        directions * positions.div_ceil(FEW.min(self.rows).max(1))
    }

    /// The teams of each direction that share so many positions, of those that run at the same time.
    pub(crate) fn pace(self, positions: usize, at_once: usize) -> usize {
        positions.div_ceil(FEW.min(self.rows).max(1)).clamp(1, at_once.max(1))
    }

    /// The seconds of a step of so many teams at once that have so many positions each.
    fn step_seconds(self, cost: Cost<'_>, teams: usize, rows: f64) -> f64 {
        let numbers = cost.numbers;
        let workgroups = teams * self.members();
        let exchange = BASE + workgroups as f64 / WORKGROUPS + self.members() as f64 / MEMBERS;
        // workgroups that share a compute unit share its arithmetic
        let sharing = workgroups.div_ceil(numbers.workgroups.max(1)).max(1);
        let speed = SPEED * numbers.products / numbers.workgroups as f64;
        let products = (sharing * self.products(cost.lanes, 1)) as f64 * rows;
        numbers.exchange * exchange + products / speed
    }

    /// The seconds of a batch, of which `most_teams` run at once and a launch has so many steps.
    pub(crate) fn seconds(self, cost: Cost<'_>, work: Work, most_teams: usize, launch_steps: usize) -> f64 {
        let directions = cost.directions.max(1);
        let tiles = (most_teams / directions).max(1);
        // where not even one team of each direction runs at the same time, they run one after the other
        let together = directions.min(most_teams.max(1));
        let in_turn = directions.div_ceil(together);
        let positions = work.positions.clamp(1, tiles * self.rows);
        let rounds = work.positions.div_ceil(tiles * self.rows).max(1) as f64;
        let pace = self.pace(positions, tiles);
        // The first round has the longest sequences, those behind it are as long as the mean. In a single one the rows of all teams shrink
        // alike, by groups.
        let mean = work.rows as f64 / (work.positions * work.steps).max(1) as f64;
        let steps = (in_turn * work.steps) as f64 * (1.0 + (rounds - 1.0) * mean);
        let rows = positions.div_ceil(pace).next_multiple_of(self.group.max(1)) as f64;
        let rows = rows * (mean + rounds - 1.0) / rounds;
        let rows = rows.max(self.group as f64);
        let at_once = pace * together;
        let launches = rounds * (in_turn * work.steps.div_ceil(launch_steps.max(1))) as f64;
        steps * self.step_seconds(cost, at_once, rows) + launches * launch_seconds(cost, self.units, at_once)
    }
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
        for (rows, units, slice, group, teams, measured) in [
            (1, 512, 16, 1, 1, 1.10),
            (1, 512, 8, 1, 1, 1.20),
            (4, 256, 16, 4, 8, 1.79),
            (8, 256, 8, 4, 4, 1.92),
            (16, 512, 16, 4, 4, 5.80),
            (8, 512, 16, 4, 4, 3.53),
        ] {
            let shape = Shape {
                rows,
                units,
                slice,
                lanes_of_subgroup: 32,
                group,
            };
            assert!(Shape::all(units, 4, 32, ROOM).contains(&shape), "{shape:?}");
            let step = 1e6 * shape.step_seconds(cost, teams, rows as f64);
            println!("{shape:?}: {step:.2} µs a step, measured {measured}");
            assert!((0.9..1.1).contains(&(step / measured)), "{shape:?}: {step}");
        }
    }

    /// Every shape has all units and all weights, within what the device allows.
    #[test]
    fn shapes_have_everything_and_fit() {
        for units in [4, 8, 12, 32, 48, 112, 128, 160, 256, 480, 512, 576] {
            for (lanes_of_subgroup, lanes) in [(32, 4), (8, 4), (32, 1), (16, 1)] {
                for shape in Shape::all(units, lanes, lanes_of_subgroup, ROOM) {
                    let [rows, _, slice, _, rows_2, rows_1, tiles, fours, slots, rest, ..] =
                        shape.constants().map(|size| size as usize);
                    assert_eq!((slice * shape.members(), rows_2 * rows_1), (units, shape.group));
                    assert!(rows.is_multiple_of(shape.group) && rows * OWN <= lanes_of_subgroup);
                    assert!(4 * fours * lanes_of_subgroup >= units, "{shape:?}");
                    assert!(
                        slots * shape.invocations() >= shape.group * fours * lanes_of_subgroup,
                        "{shape:?}"
                    );
                    assert_eq!((shape.group * OWN) << rest, lanes_of_subgroup, "{shape:?}");
                    assert!((1..=2).contains(&tiles) && shape.bytes() <= ROOM.bytes, "{shape:?}");
                    assert!(shape.words() >= rows * units && shape.invocations() <= 256);
                }
            }
        }
        assert!(!Shape::all(512, 4, 32, ROOM).is_empty());
    }

    /// Shorter sequences take less, and more rounds take more.
    #[test]
    fn what_does_not_fit_at_once_costs_more() {
        let numbers = numbers::H200;
        let shapes = Shape::all(512, 4, 32, ROOM).into_iter();
        let tallest = shapes.max_by_key(|shape| (shape.rows, shape.slice)).unwrap();
        let seconds = |directions, most_teams, rows| {
            let cost = Cost {
                numbers: &numbers,
                lanes: 4,
                directions,
            };
            let work = Work {
                positions: 64,
                steps: 100,
                rows,
            };
            tallest.seconds(cost, work, most_teams, 100)
        };
        assert!(seconds(1, 2, 6400) > 1.6 * seconds(1, 4, 6400));
        assert!(seconds(2, 1, 6400) > 1.6 * seconds(2, 2, 6400));
        assert!(seconds(1, 4, 3200) < 0.7 * seconds(1, 4, 6400));
    }
}
