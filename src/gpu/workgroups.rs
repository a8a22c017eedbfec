//! How many workgroups a dispatch has, folded over its axes.

use crate::gpu::device::Gpu;

#[cfg(test)]
thread_local! {
    /// The most workgroups along an axis in what this thread records, so that few of them are folded as many are.
    pub(crate) static FOLDED: std::cell::Cell<u32> = const { std::cell::Cell::new(u32::MAX) };
}

/// The most workgroups along an axis of a dispatch.
pub(crate) fn most(gpu: &Gpu) -> u32 {
    let most = gpu.limits().max_compute_workgroups_per_dimension;
    #[cfg(test)]
    let most = most.min(FOLDED.get());
    most
}

/// How many workgroups a dispatch has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Workgroups {
    /// So many, folded over x and y.
    Flat(u64),
    /// So many along x, and so many items folded over y and z.
    Across(u32, u64),
}

impl Workgroups {
    pub(crate) fn spread(self, most: u32) -> [u32; 3] {
        let fold = |count: u64| {
            let rows = count.div_ceil(u64::from(most)).max(1);
            (count.div_ceil(rows) as u32, rows as u32)
        };
        match self {
            Self::Flat(count) => {
                let (x, y) = fold(count);
                [x, y, 1]
            }
            Self::Across(x, count) => {
                let (y, z) = fold(count);
                [x, y, z]
            }
        }
    }
}
