//! How many workgroups a dispatch has, folded over its axes.

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
