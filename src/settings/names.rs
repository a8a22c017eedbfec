//! What a caller may name instead of leaving it to the crate: a strategy of the GPU path, instructions of the CPU path.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A way to run the steps of a recurrent layer on a GPU. All of them give the same result, but for the last bits.
///
/// ```
/// # use cellstate::Strategy;
/// assert_eq!("solo".parse::<Strategy>()?, Strategy::Solo);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// One dispatch for each time step: every GPU, every size.
    Step,
    /// A workgroup owns some sequences for all their steps, in one dispatch: where a step is so small that dispatching it
    /// costs more than running it.
    Solo,
    /// Several workgroups share the units and hand each other the hidden state within one dispatch: where all of them run at
    /// the same time, on Vulkan and DX12 of NVIDIA and AMD. On discrete GPUs it is taken where it is reckoned to be the fastest, on others where it is named, or where
    /// [`Runner::tune`](crate::Runner::tune) has found it the fastest with a
    /// [`tuning_file`](crate::Settings::tuning_file). Where the workgroups turn out not to run at the same time the batch is
    /// run again by `Step`, whose last bits may be others: [`Output::was_replayed`](crate::Output::was_replayed).
    Team,
}

impl Strategy {
    /// All there are.
    ///
    /// ```
    /// # use cellstate::Strategy;
    /// let names: Vec<&str> = Strategy::ALL.iter().map(|strategy| strategy.name()).collect();
    /// assert_eq!(names, ["step", "solo", "team"]);
    /// ```
    pub const ALL: &'static [Self] = &[Self::Step, Self::Solo, Self::Team];

    /// The name: `step`, `solo`, `team`.
    ///
    /// ```
    /// # use cellstate::Strategy;
    /// assert_eq!(Strategy::Solo.name(), "solo");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Solo => "solo",
            Self::Team => "team",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Strategy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        by_name("strategy", name, Self::ALL, Self::name)
    }
}

/// The vector instructions of the CPU path.
///
/// ```
/// # use cellstate::Instructions;
/// assert_eq!("avx2".parse::<Instructions>()?, Instructions::Avx2);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Instructions {
    /// AVX-512 (F and VL), on x86-64.
    Avx512,
    /// AVX2 with FMA, on x86-64.
    Avx2,
    /// NEON, on AArch64.
    Neon,
    /// What every machine of the target has.
    Plain,
}

impl Instructions {
    /// All there are, whether this machine has them or not.
    ///
    /// ```
    /// # use cellstate::Instructions;
    /// let names: Vec<&str> = Instructions::ALL.iter().map(|path| path.name()).collect();
    /// assert_eq!(names, ["avx512", "avx2", "neon", "plain"]);
    /// ```
    pub const ALL: &'static [Self] = &[Self::Avx512, Self::Avx2, Self::Neon, Self::Plain];

    /// The name: `avx512`, `avx2`, `neon`, `plain`.
    ///
    /// ```
    /// # use cellstate::Instructions;
    /// assert_eq!(Instructions::Avx2.name(), "avx2");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Plain => "plain",
        }
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Instructions {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        by_name("instructions", name, Self::ALL, Self::name)
    }
}

fn by_name<T: Copy>(what: &str, name: &str, all: &[T], name_of: fn(T) -> &'static str) -> Result<T> {
    let wanted = name.trim();
    let found = all.iter().find(|&&one| name_of(one).eq_ignore_ascii_case(wanted));
    found.copied().ok_or_else(|| Error::Value {
        argument: what.to_owned(),
        expected: all.iter().map(|&one| name_of(one)).collect::<Vec<_>>().join(", "),
        found: format!("\"{name}\""),
        repair: "name one of these".to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for &strategy in Strategy::ALL {
            assert_eq!(strategy.to_string().parse::<Strategy>().unwrap(), strategy);
        }
        for &path in Instructions::ALL {
            assert_eq!(path.to_string().to_uppercase().parse::<Instructions>().unwrap(), path);
        }
        let error = "warp".parse::<Strategy>().unwrap_err().to_string();
        assert!(
            error.contains("step, solo, team") && error.contains("\"warp\""),
            "{error}"
        );
    }
}
