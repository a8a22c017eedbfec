//! `recurrent_step_wide`: a step of many positions and units. A workgroup keeps the weights of a few units in registers, and the rows of
//! h pass by.

use crate::gpu::device::Gpu;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::residency::NVIDIA;
use crate::gpu::strategy::step_layer::{Allowed, Layer, POSITIONS};

/// The invocations of a workgroup.
const INVOCATIONS: usize = 256;

/// The rows that are summed up at a time, the units of a lane, and the lanes of a subgroup that share k: as many as rows times units, so that
/// each comes to have one sum.
const TAKEN: usize = 4;
const OWN: usize = 2;
const LANES_K: usize = TAKEN * OWN;

/// Fours of k of a lane, at most: with four lanes a unit that is 128 registers.
const FOURS: usize = 4;

/// Rows whose sums wait, at most: whoever makes states waits for the slowest, which costs an H200 0.9 µs for each group.
const GROUP: usize = 32;

/// Positions of a workgroup: as many as run, so that weights are read once; or fewer, where the units are too few workgroups.
const BLOCKS: [usize; 2] = [POSITIONS, 32];

/// Lanes of a subgroup: of the GPU on which it was measured, and of software adapters.
const LANES: u32 = 32;
const LANES_IN_SOFTWARE: u32 = 8;

/// What of the cache's bytes a second the weights come at: there is nothing to do until they are there.
const WEIGHTS_OF_CACHE: f64 = 0.4;

/// The products of a compute unit, against those of the tiles that `Numbers::products` was measured with.
const SPEED: f64 = 1.4;

/// How a workgroup is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wide {
    pub(crate) lanes_of_subgroup: usize,
    /// Subgroups that share k.
    pub(crate) split: usize,
    /// Times [`TAKEN`] rows of h that workgroup memory has room for: one, or two with a barrier less.
    pub(crate) tiles: usize,
    /// Positions of a workgroup.
    pub(crate) block: usize,
}

/// The lanes of a subgroup, where a GPU runs the form: the text counts on subgroups that are whole, and on a driver's order of them,
/// which nobody has seen but on NVIDIA's GPUs by Vulkan, and in software, which is how tests reach it.
pub(crate) fn lanes(gpu: &Gpu) -> Option<usize> {
    let info = gpu.info();
    let wanted = match info.device_type {
        wgpu::DeviceType::Cpu => LANES_IN_SOFTWARE,
        _ => LANES,
    };
    let lanes = gpu.lanes_of_subgroup().filter(|&lanes| lanes == wanted)?;
    let is_known = info.vendor == NVIDIA || info.device_type == wgpu::DeviceType::Cpu;
    (is_known && info.backend == wgpu::Backend::Vulkan).then_some(lanes as usize)
}

impl Wide {
    /// Those for a layer that a device allows; none without subgroups.
    pub(crate) fn all(layer: Layer, allowed: Allowed, lanes: Option<usize>) -> Vec<Self> {
        let split = layer.width.div_ceil(4 * LANES_K * FOURS).next_power_of_two();
        let wide = |lanes_of_subgroup, tiles, block| Self {
            lanes_of_subgroup,
            split,
            tiles,
            block,
        };
        let fits = |wide: &Self| {
            let bytes: usize = wide.bytes(layer).into_iter().sum();
            wide.divides(layer) && wide.invocations() <= allowed.invocations && bytes <= allowed.bytes
        };
        let of_block = |block| {
            let tallest = |lanes| [2, 1].map(|tiles| wide(lanes, tiles, block)).into_iter().find(fits);
            lanes.and_then(tallest)
        };
        BLOCKS.into_iter().filter_map(of_block).collect()
    }

    /// Whether a layer can be shared out so.
    pub(crate) fn divides(self, layer: Layer) -> bool {
        self.lanes_of_subgroup >= LANES_K
            && self.split.is_power_of_two()
            && self.split * self.lanes_of_subgroup <= INVOCATIONS
            && self.slice().is_multiple_of(4)
            && layer.width.is_multiple_of(self.slice())
            && self.group() >= TAKEN
    }

    pub(crate) fn invocations(self) -> usize {
        INVOCATIONS
    }

    /// Units of a workgroup.
    pub(crate) fn slice(self) -> usize {
        INVOCATIONS / (LANES_K * self.split.max(1)) * OWN
    }

    /// Rows whose sums wait, so that no invocation makes more than one state of them.
    fn group(self) -> usize {
        GROUP.min(INVOCATIONS / self.slice().max(1))
    }

    /// The constants of the text, in the order in which `step.rs` names them.
    pub(crate) fn constants(self, layer: Layer) -> Vec<usize> {
        let (of_lane, of_rows) = (4 * LANES_K * self.split.max(1), TAKEN * layer.width / 4);
        let is_even = layer.width.is_multiple_of(of_lane) && of_rows.is_multiple_of(INVOCATIONS);
        vec![
            layer.width,
            self.block,
            self.group(),
            self.lanes_of_subgroup,
            self.split,
            self.tiles,
            usize::from(layer.units == layer.width),
            usize::from(is_even),
            layer.width.div_ceil(of_lane),
            of_rows.div_ceil(INVOCATIONS),
        ]
    }

    /// The bytes of h and of sums in workgroup memory.
    pub(crate) fn bytes(self, layer: Layer) -> [usize; 2] {
        [
            self.tiles * TAKEN * 4 * layer.width,
            self.split * self.group() * self.slice() * 4 * layer.lanes,
        ]
    }

    /// The seconds of a step of so many positions: the dispatch, the weights of a workgroup, and its rows one after the other, of which
    /// each is multiplied while others are asked for.
    pub(crate) fn seconds(self, numbers: &Numbers, layer: Layer, positions: usize) -> f64 {
        let across = layer.directions * layer.units.div_ceil(self.slice().max(1));
        let units = numbers.workgroups.max(1);
        let waves = (across * positions.div_ceil(self.block.max(1))).div_ceil(units) as f64;
        let of_cache = |bytes: usize| (units * bytes) as f64 / numbers.cache_bytes;
        let weights = of_cache(layer.width * self.slice() * layer.weight_bytes) / WEIGHTS_OF_CACHE;
        let products = (units * layer.width * self.slice() * layer.lanes) as f64 / (SPEED * numbers.products);
        let barriers = 2.0 / self.tiles.max(1) as f64 / TAKEN as f64 + 1.0 / self.group().max(1) as f64;
        let row = products.max(of_cache(4 * layer.width)) + barriers * numbers.barrier;
        let rows = positions.min(self.block).next_multiple_of(TAKEN) as f64;
        numbers.dispatch + numbers.trip + waves * (weights + rows * row)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::gpu::strategy::numbers::H200;
    use crate::gpu::strategy::step_forms::{Kind, StepForm, StepForms};
    use crate::gpu::strategy::step_layer::{ROOM, lstm};

    fn few(layer: Layer, lanes: Option<usize>) -> StepForms {
        let mut all = StepForm::all(layer, ROOM);
        all.extend(StepForm::wide(layer, ROOM, lanes));
        StepForms::few(layer, H200, &all).unwrap()
    }

    /// Steps of 1024 units on the H200: microseconds by positions.
    #[test]
    fn what_was_measured_follows_from_the_numbers() {
        let forms = Wide::all(lstm(1024, 16), ROOM, Some(32));
        assert_eq!(forms.iter().map(|form| form.slice()).collect::<Vec<_>>(), [8, 8]);
        for (positions, micros) in [(128, 38.1), (16, 14.4)] {
            let told = 1e6 * forms[0].seconds(&H200, lstm(1024, 16), positions);
            let ratio: f64 = told / micros;
            assert!(
                (0.8..1.2).contains(&ratio),
                "{positions}: {told:.2} µs, measured {micros}"
            );
        }
    }

    /// The wide form is for many units; where another form is as fast it is left out.
    #[test]
    fn many_positions_of_many_units_go_by_the_wide_form() {
        for units in [128, 256, 384, 512, 640, 768, 1024, 2048] {
            let (with, without) = (few(lstm(units, 16), Some(32)), few(lstm(units, 16), None));
            for positions in [1, 4, 8, 16, 32, 64, 128, 256, 512] {
                let (_, form) = with.by_positions(positions).unwrap();
                let seconds = [&with, &without].map(|forms| 1e6 * forms.seconds(positions).unwrap());
                println!("{positions} x {units}: {seconds:.2?} µs by {form:?}");
                let is_wide = matches!(form.kind, Kind::Wide(_));
                assert!(!is_wide || seconds[0] < seconds[1], "{form:?}");
                assert!(
                    !is_wide || positions > 4 && units >= 512,
                    "{positions} x {units}: {form:?}"
                );
                assert!(is_wide || units != 1024 || positions < 64, "{positions}: {form:?}");
            }
        }
    }

    /// Subgroups of another size, and a workgroup's memory that is too small, leave it out.
    #[test]
    fn it_is_offered_only_where_it_fits() {
        let count = |units, bytes, lanes| Wide::all(lstm(units, 16), Allowed { bytes, ..ROOM }, lanes).len();
        assert_eq!(count(1024, 48 << 10, Some(32)), 2);
        assert_eq!(count(1024, 48 << 10, None), 0);
        assert_eq!(count(1024, 16 << 10, Some(32)), 0);
        assert_eq!(count(2048, 48 << 10, Some(32)), 0);
        assert_eq!(count(1024, 48 << 10, Some(4)), 0);
        assert_eq!(count(100, 48 << 10, Some(32)), 0);
    }
}
