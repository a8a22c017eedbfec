//! How the team of a strategy is made up.

/// Rows of the recurrent kernel that an invocation of a GPU keeps in its registers, at most.
pub(crate) const WEIGHTS: usize = 32;

/// Invocations of a workgroup on a GPU, at most: with so many registers each, a core has room for few more.
pub(crate) const INVOCATIONS: usize = 256;

/// How a team is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// Workgroups of a team, and the units of each.
    pub(crate) members: usize,
    pub(crate) slice: usize,
    /// Invocations of a part.
    pub(crate) width: usize,
    pub(crate) parts: usize,
    /// Rows of the recurrent kernel of a part.
    pub(crate) weights: usize,
}

impl Shape {
    /// The team of the fewest workgroups that can keep the weights in registers. In software registers are memory anyway,
    /// there the team is as large as may be and has a single part.
    pub(crate) fn of(units: usize, budget: usize, most_invocations: usize, in_software: bool) -> Option<Self> {
        let fitting = |members: &usize| {
            let slice = units.div_ceil(*members);
            let width = slice.next_multiple_of(8);
            let most = if in_software { most_invocations } else { INVOCATIONS };
            let parts = match in_software {
                true => 1,
                false => (most / width.max(1)).min(units.div_ceil(4)),
            };
            let weights = units.div_ceil(parts.max(1)).next_multiple_of(4);
            let fits = width * parts.max(1) <= most && (in_software || weights <= WEIGHTS);
            fits.then_some(Self {
                members: units.div_ceil(slice.max(1)),
                slice,
                width,
                parts: units.div_ceil(weights.max(1)),
                weights,
            })
        };
        if units == 0 || budget < 2 {
            return None;
        }
        match in_software {
            true => fitting(&budget),
            false => (2..=budget).find_map(|members| fitting(&members)),
        }
    }

    /// The bytes of workgroup memory for so many positions.
    pub(crate) fn bytes(self, rows: usize) -> usize {
        let tile = rows * self.parts * self.weights / 4;
        let vectors = match self.parts {
            1 => 2 * tile + 1,
            parts => tile + parts * rows * self.width + 1,
        };
        // and two scalars, which WebGPU counts as 16 bytes each
        vectors * 16 + 32
    }

    /// The constants that stand in the texts of both shaders of teams.
    pub(crate) fn constants(self, rows: usize) -> [u32; 4] {
        [rows, self.width, self.parts, self.weights].map(|size| size as u32)
    }
}
