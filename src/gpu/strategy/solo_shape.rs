//! The workgroups of `recurrent_solo_made` and of `solo_back`: where each weight is kept, and what a step takes then.

use crate::gpu::device::Gpu;
use crate::gpu::strategy::launch::most_steps;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::weights::Form;

/// The constants of `kept_weights.wgsl` and of `recurrent_solo_made.wgsl`.
pub(crate) const CONSTANTS: &[&str] = &[
    "WIDTH",
    "PARTS",
    "REGISTERS",
    "SHARED",
    "CACHED",
    "HALVES",
    "WHOLES",
    "PACKED",
    "UNPACKED",
    "OUTS",
    "ACROSS",
];

/// The parts that may share a sum, the most first. With more, the weights that an invocation can keep become few.
const PARTS: [usize; 3] = [4, 2, 1];

/// The registers of a compute unit, which its invocations share (NVIDIA: 65,536 of four bytes; AMD has as many or more),
const REGISTERS: usize = 1 << 16;

/// those that an invocation should be given, at most,
const REGISTERS_OF_INVOCATION: usize = 160;

/// and those that it needs for addresses, h and what is between.
const OTHER_REGISTERS: usize = 20;

/// The bytes of weights that a workgroup reads from the cache in each step, at most.
const CACHED_BYTES: usize = 128 << 10;

/// The multiplications of lanes that a text writes out, at most: a driver should compile it in less than half a second.
const PRODUCTS: usize = 256;

/// Workgroups of a compute unit, at most.
const TOGETHER: usize = 8;

/// What a step takes besides its products, in barriers: two, and the activations of a unit, which follow each other, for about two more.
/// From the 0.80 and 0.83 µs of a sketch on an H200 (`docs/design.md`).
const BARRIERS: usize = 3;

/// How much faster a compute unit reads what its own cache has than what all compute units share: an estimate.
const NEAR_CACHE: f64 = 4.0;

/// What a device lets a workgroup have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) invocations: usize,
    /// Of its two axes.
    pub(crate) size: [usize; 2],
    pub(crate) bytes: usize,
}

impl Limits {
    pub(crate) fn of(gpu: &Gpu) -> Self {
        let limits = gpu.limits();
        Self {
            invocations: limits.max_compute_invocations_per_workgroup as usize,
            size: [limits.max_compute_workgroup_size_x, limits.max_compute_workgroup_size_y].map(|size| size as usize),
            bytes: limits.max_compute_workgroup_storage_size as usize,
        }
    }
}

/// How many workgroups a step has, and which share of the steps of all positions has to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) workgroups: usize,
    pub(crate) share: f64,
}

/// A workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The units of the size class,
    pub(crate) width: usize,
    pub(crate) lanes: usize,
    pub(crate) form: Form,
    /// the invocations that share a sum,
    pub(crate) parts: usize,
    /// and the positions.
    pub(crate) rows: usize,
    /// Rows of the recurrent kernel that an invocation keeps in registers, in workgroup memory, and reads from the cache.
    pub(crate) registers: usize,
    pub(crate) shared: usize,
    pub(crate) cached: usize,
    /// Whether halves stay halves in the registers.
    pub(crate) packed: bool,
    way: Way,
}

/// Which way the steps go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Forward,
    Back,
}

impl Shape {
    /// The workgroup that reads the least from the cache; `None` where that is too much, or a workgroup finds no room.
    pub(crate) fn of(weights: (usize, usize, Form), rows: usize, limits: Limits) -> Option<Self> {
        Self::of_way(weights, (rows, Way::Forward), limits)
    }

    /// The same for steps backwards.
    pub(crate) fn of_back((width, lanes): (usize, usize), rows: usize, limits: Limits) -> Option<Self> {
        Self::of_way((width, lanes, Form::Full), (rows, Way::Back), limits)
    }

    fn of_way((width, lanes, form): (usize, usize, Form), (rows, way): (usize, Way), limits: Limits) -> Option<Self> {
        if width == 0 || !width.is_multiple_of(4) {
            return None;
        }
        let [most_width, most_parts] = limits.size;
        let can = |parts: &usize| {
            (width / 4).is_multiple_of(*parts)
                && width * parts <= limits.invocations
                && width <= most_width
                && *parts <= most_parts
                && width / parts * rows <= PRODUCTS
        };
        let empty = |parts| Self {
            width,
            lanes,
            form,
            parts,
            rows,
            registers: 0,
            shared: 0,
            cached: 0,
            packed: false,
            way,
        };
        let shapes = PARTS
            .into_iter()
            .filter(can)
            .filter_map(|parts| empty(parts).filled(limits));
        shapes
            .filter(|shape| shape.cached_bytes() <= CACHED_BYTES)
            .min_by_key(Self::cached_bytes)
    }

    /// With the weights where they find room. Halves are unpacked once a launch, unless they find room nowhere near then.
    fn filled(self, limits: Limits) -> Option<Self> {
        let memory = limits.bytes.checked_sub(self.bytes())?;
        let fill = |packed: bool| {
            let registers = self.free_registers() / if packed { self.lanes / 2 } else { self.lanes };
            let registers = registers.min(self.depth());
            let rest = self.depth() - registers;
            let shared = (memory / self.row_bytes()).min(rest);
            Self {
                registers,
                shared,
                cached: rest - shared,
                packed,
                ..self
            }
        };
        let unpacked = fill(false);
        match self.form {
            Form::Half if unpacked.cached > 0 => Some(fill(true)),
            _ => Some(unpacked),
        }
    }

    pub(crate) fn invocations(self) -> usize {
        self.width * self.parts
    }

    /// Rows of the recurrent kernel of a part.
    fn depth(self) -> usize {
        self.width / self.parts
    }

    /// Positions that a part finishes.
    pub(crate) fn outs(self) -> usize {
        self.rows.div_ceil(self.parts)
    }

    /// Registers of an invocation besides those with weights: sums, states, and lanes of `projected` of the next step; backwards what the rule
    /// reads of this step and of the next one.
    fn used_registers(self) -> usize {
        let of_position = match self.way {
            Way::Forward => self.lanes + 2,
            Way::Back => 2 * (2 * self.lanes + 2) + 2,
        };
        OTHER_REGISTERS + self.rows * self.lanes + self.outs() * of_position
    }

    fn free_registers(self) -> usize {
        let all = (REGISTERS / self.invocations()).min(REGISTERS_OF_INVOCATION);
        all.saturating_sub(self.used_registers())
    }

    /// The bytes of a row of the recurrent kernel of each part.
    fn row_bytes(self) -> usize {
        self.form.bytes(self.lanes) as usize * self.invocations()
    }

    fn cached_bytes(&self) -> usize {
        self.cached * self.row_bytes()
    }

    /// The bytes of workgroup memory.
    pub(crate) fn bytes(self) -> usize {
        let sums = self.rows * self.width;
        // forward a unit leaves h, and a part the sums of all lanes; backwards it is the other way round
        let [of_unit, of_part] = match self.way {
            Way::Forward => [4, 4 * self.lanes],
            Way::Back => [4 * self.lanes, 4],
        };
        let partial = (sums * (self.parts - 1)).max(1) * of_part;
        let shared = (self.shared * self.row_bytes()).max(self.form.bytes(self.lanes) as usize);
        // WebGPU counts every variable up to 16 bytes
        [of_unit * sums, partial, shared]
            .map(|bytes| bytes.next_multiple_of(16))
            .iter()
            .sum()
    }

    /// The values of [`CONSTANTS`].
    pub(crate) fn constants(self) -> [u32; 11] {
        let halves = usize::from(self.form == Form::Half);
        let packed = usize::from(self.packed);
        let across = self.rows.min(self.parts);
        [
            self.width,
            self.parts,
            self.registers,
            self.shared,
            self.cached,
            halves,
            1 - halves,
            packed,
            1 - packed,
            self.outs(),
            across,
        ]
        .map(|size| size as u32)
    }

    /// The steps of one launch, on a GPU whose loops may have so many passes.
    pub(crate) fn launch_steps(self, most_passes: usize) -> usize {
        let passes = 1 + self.outs() * self.parts;
        let most_passes = (most_passes / 2).saturating_sub(self.rows) / passes;
        most_steps(self.width * self.width * self.rows).min(most_passes).max(1)
    }

    /// Workgroups that a compute unit runs at the same time.
    fn together(self) -> usize {
        let kept = self.registers * if self.packed { self.lanes / 2 } else { self.lanes };
        let registers = (self.used_registers() + kept) * self.invocations();
        (REGISTERS / registers).clamp(1, TOGETHER)
    }

    /// How often all compute units are filled with workgroups, one after the other.
    fn rounds(self, numbers: &Numbers, load: Load) -> f64 {
        let rounds = load.workgroups.div_ceil(numbers.workgroups * self.together());
        (rounds as f64 * load.share).max(1.0)
    }

    /// The seconds of a step, by the numbers of a GPU.
    pub(crate) fn step_seconds(self, numbers: &Numbers, load: Load) -> f64 {
        let units = numbers.workgroups as f64;
        let products = numbers.products / units;
        // with one lane each product needs h from workgroup memory, which takes as long
        let row = (self.width * self.width * self.lanes.max(2)) as f64 / products;
        let rows_of_lanes = match self.way {
            Way::Forward => 1,
            Way::Back => 3, // they are read and written, and so are states and gradients
        };
        let lanes = (rows_of_lanes * 4 * self.width * self.lanes) as f64 * units / numbers.cache_bytes;
        let cached = self.cached_bytes() as f64 * units / numbers.cache_bytes / NEAR_CACHE;
        let halves = match (self.form, self.packed) {
            (Form::Full, _) => 0,
            (Form::Half, false) => self.shared + self.cached,
            (Form::Half, true) => self.depth(),
        };
        let unpacking = (halves * self.invocations() * self.lanes) as f64 / products;
        let busy = self.rows as f64 * row.max(lanes) + cached + unpacking;
        let waiting = (BARRIERS + self.outs()) as f64 * numbers.barrier;
        let beside = load.workgroups.div_ceil(numbers.workgroups).min(self.together());
        let beside = (beside as f64 * load.share).max(1.0);
        (waiting + beside * busy) * self.rounds(numbers, load)
    }

    /// The seconds of a launch besides those of its steps.
    pub(crate) fn launch_seconds(self, numbers: &Numbers, load: Load) -> f64 {
        let weights = (self.depth() * self.row_bytes()) as f64 * numbers.workgroups as f64;
        let reading = 3.0 * numbers.trip + weights / numbers.cache_bytes;
        numbers.dispatch + reading * self.rounds(numbers, load)
    }
}
