//! How a team for many positions is made up, whose sums are added up within subgroups, and what that costs.

use crate::gpu::strategy::entry::Work;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::team_shape::Limits;

/// The positions of a team.
const HEIGHTS: [usize; 5] = [1, 2, 4, 8, 16];

/// Invocations of a workgroup, and the numbers that each of so many may keep in its registers; besides them it needs some forty.
const REGISTERS: [(usize, usize); 2] = [(256, 255), (512, 128)];
const BESIDES: usize = 40;

/// Members of a team with which an exchange takes twice as long as between two.
const MEMBERS: f64 = 250.0;

/// A team: `units` of a size class are shared out among workgroups, for so many positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// The positions,
    pub(crate) rows: usize,
    /// the units of the class,
    pub(crate) units: usize,
    /// those of a workgroup,
    pub(crate) slice: usize,
    /// and of a subgroup,
    pub(crate) own: usize,
    /// which has so many lanes.
    pub(crate) lanes_of_subgroup: usize,
    /// The positions that are summed up at a time,
    pub(crate) taken: usize,
    /// and how often that is done in a group, whose words are waited for at once.
    pub(crate) batches: usize,
    /// The groups that workgroup memory has room for: 1 or 2.
    pub(crate) tiles: usize,
    /// Whether the words of the next group are asked for before the sums of a group.
    pub(crate) is_ahead: bool,
    /// Whether an invocation waits for one of its words before it asks for all.
    pub(crate) is_one_first: bool,
}

impl Shape {
    /// All that a device allows whose subgroups have so many lanes, for cells of so many lanes.
    pub(crate) fn all(units: usize, lanes: usize, lanes_of_subgroup: usize, limits: Limits) -> Vec<Self> {
        let mut shapes = Vec::new();
        for own in [1, 2, 4] {
            let slices = (own..units).step_by(own);
            let slices = slices.filter(|&slice| units.is_multiple_of(slice) && units / slice <= limits.members);
            for slice in slices {
                for (rows, taken) in HEIGHTS.into_iter().flat_map(|rows| HEIGHTS.map(|taken| (rows, taken))) {
                    let groups = [1, 2, 4].into_iter();
                    let shapes_of_groups = groups.filter(|groups| rows.is_multiple_of(groups * taken));
                    let of_groups = shapes_of_groups.flat_map(|groups| {
                        [false, true].map(|is_ahead| Self {
                            rows,
                            units,
                            slice,
                            own,
                            lanes_of_subgroup,
                            taken,
                            batches: rows / (groups * taken),
                            tiles: groups.min(2),
                            is_ahead,
                            is_one_first: false,
                        })
                    });
                    shapes.extend(of_groups.filter(|shape| shape.fits(lanes, limits)));
                }
            }
        }
        shapes
    }

    /// Whether a device has room for it.
    pub(crate) fn fits(self, lanes: usize, limits: Limits) -> bool {
        let invocations = self.invocations();
        let room = REGISTERS
            .into_iter()
            .find(|&(most, _)| invocations <= most.min(limits.invocations));
        let kept = lanes * self.own * (4 * self.fours() + self.taken) + 4 * self.slots() * usize::from(self.is_ahead);
        self.taken <= 8
            && self.rows * self.own <= self.lanes_of_subgroup
            && self.bytes() <= limits.bytes
            && (!self.is_ahead || self.groups() > 1)
            && room.is_some_and(|(_, registers)| kept + BESIDES <= registers)
    }

    /// The workgroups.
    pub(crate) fn members(self) -> usize {
        self.units / self.slice.max(1)
    }

    /// The invocations of a workgroup.
    pub(crate) fn invocations(self) -> usize {
        self.slice / self.own.max(1) * self.lanes_of_subgroup
    }

    pub(crate) fn groups(self) -> usize {
        self.rows / (self.batches * self.taken).max(1)
    }

    /// Fours of k that a lane has.
    fn fours(self) -> usize {
        self.units.div_ceil(4 * self.lanes_of_subgroup.max(1))
    }

    /// Fours of h of a group that an invocation waits for.
    fn slots(self) -> usize {
        let pitch = self.fours() * self.lanes_of_subgroup;
        (self.batches * self.taken * pitch).div_ceil(self.invocations().max(1))
    }

    /// The words of a team in a step.
    pub(crate) fn words(self) -> usize {
        self.groups() * 4 * self.slots() * self.invocations()
    }

    /// The constants `ROWS` to `PAIRS_R1` of the text.
    pub(crate) fn constants(self) -> Vec<u32> {
        let digit = |size: usize, place: usize| if size > place { 2 } else { 1 };
        let units = [2, 1].map(|place| digit(self.own, place));
        let rows = [4, 2, 1].map(|place| digit(self.taken, place));
        let pairs = units.iter().chain(&rows).map(|digit| digit - 1);
        let rest = self.lanes_of_subgroup / (self.own * self.taken).max(1);
        let sizes = [self.rows, self.units, self.slice, self.lanes_of_subgroup];
        let work = [
            self.batches,
            self.tiles,
            usize::from(self.is_ahead),
            usize::from(self.is_one_first),
            self.fours(),
            self.slots(),
        ];
        let sizes = sizes.into_iter().chain(units).chain(rows).chain(work);
        let sizes = sizes
            .chain([rest.checked_ilog2().unwrap_or_default() as usize])
            .chain(pairs);
        sizes.map(|size| size as u32).collect()
    }

    /// The bytes of workgroup memory: h of the groups, and two scalars. WebGPU counts every variable up to 16 bytes.
    pub(crate) fn bytes(self) -> usize {
        self.tiles * 16 * self.slots() * self.invocations() + 32
    }

    /// The products of a workgroup in a step, for units of so many lanes.
    pub(crate) fn products(self, lanes: usize) -> usize {
        self.slice * 4 * self.fours() * self.lanes_of_subgroup * self.rows * lanes
    }
}

/// What the cost of a shape depends on besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost<'a> {
    pub(crate) numbers: &'a Numbers,
    pub(crate) lanes: usize,
    pub(crate) directions: usize,
}

impl Shape {
    /// The seconds of a step of so many teams at once.
    pub(crate) fn step_seconds(self, numbers: &Numbers, lanes: usize, teams: usize) -> f64 {
        let exchange = numbers.exchange * (1.0 + self.members() as f64 / MEMBERS);
        // a word is a trip of its own only for the compute unit that all of them have to pass
        let words = (4 * self.slots() * self.groups()) as f64 * numbers.exchange_word / 8.0;
        let sharing = (teams * self.members()).div_ceil(numbers.workgroups.max(1));
        let unit_products = numbers.products / numbers.workgroups as f64;
        let products = (sharing.max(1) * self.products(lanes)) as f64;
        exchange + words + 4.0 * self.groups() as f64 * numbers.barrier + products / unit_products
    }

    /// The seconds of a batch, of which `most_teams` run at once and a launch has so many steps.
    pub(crate) fn seconds(self, cost: Cost<'_>, work: Work, most_teams: usize, launch_steps: usize) -> f64 {
        let teams = cost.directions * work.positions.div_ceil(self.rows.max(1));
        let at_once = teams.clamp(1, most_teams.max(1));
        let rounds = teams.div_ceil(at_once) as f64;
        let mean = work.rows as f64 / (work.positions * work.steps).max(1) as f64;
        let steps = work.steps as f64 * rounds;
        let weights = (at_once * self.units * self.units * cost.lanes * 4) as f64;
        let launch = 2.0 * (cost.numbers.dispatch + cost.numbers.trip) + weights / cost.numbers.cache_bytes;
        let launches = rounds * work.steps.div_ceil(launch_steps.max(1)) as f64;
        // rows of all teams shrink alike; the exchange stays
        let step = self.step_seconds(cost.numbers, cost.lanes, at_once);
        let products = self.products(cost.lanes) as f64 * cost.numbers.workgroups as f64 / cost.numbers.products;
        steps * (step - (1.0 - mean) * products) + launches * launch
    }
}
