//! Which instructions a run uses.

#[cfg(target_arch = "aarch64")]
use super::simd::Neon;
#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Plain, Simd, Work};
use crate::error::{Error, Result};
use crate::settings::Instructions;

/// The environment variable that names the path: `plain`, `avx2`, `avx512` or `neon`.
const PATH_VARIABLE: &str = "CELLSTATE_CPU";

/// The instructions that a run uses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path {
    /// What every machine of the target has.
    Plain(Plain),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

impl Path {
    /// The paths that this machine has, the fastest first.
    pub(crate) fn all() -> Vec<Self> {
        let mut paths = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            paths.extend(Avx512::detect().map(Self::Avx512));
            paths.extend(Avx2::detect().map(Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        paths.extend(Neon::detect().map(Self::Neon));
        paths.push(Self::Plain(Plain));
        paths
    }

    /// The wanted path, else the one that the environment names, else the fastest.
    pub(crate) fn choose(wanted: Option<Instructions>) -> Result<Self> {
        let named = match wanted {
            Some(instructions) => instructions.name().into(),
            None => std::env::var_os(PATH_VARIABLE).unwrap_or_default(),
        };
        let named = named.to_string_lossy();
        let paths = Self::all();
        let found = paths.iter().find(|path| named.is_empty() || path.name() == named);
        found.copied().ok_or_else(|| Error::Value {
            argument: match wanted {
                Some(_) => "instructions".to_owned(),
                None => PATH_VARIABLE.to_owned(),
            },
            expected: format!(
                "the name of a path that this machine has: {}",
                paths.iter().map(|path| path.name()).collect::<Vec<_>>().join(", ")
            ),
            found: format!("{named:?}"),
            repair: match wanted {
                Some(_) => "leave them out of the settings, and the fastest are taken".to_owned(),
                None => format!("unset the environment variable {PATH_VARIABLE}, and the fastest are taken"),
            },
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain(_) => "plain",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
        }
    }

    /// (numbers of a vector, rows of a tile)
    pub(crate) fn tile(self) -> (usize, usize) {
        fn of<S: Simd>(_: S) -> (usize, usize) {
            (S::WIDTH, S::ROWS)
        }
        match self {
            Self::Plain(simd) => of(simd),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => of(simd),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => of(simd),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => of(simd),
        }
    }

    /// Whether weights of half precision are read faster than full ones, where there are many of them. AVX2 with F16C was
    /// slower with halves: a single stream by 15 %, and tiles of rows took twice as long.
    pub(crate) fn has_halves(self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => false,
        }
    }

    pub(crate) fn run<W: Work>(self, work: W) {
        match self {
            Self::Plain(simd) => simd.run(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.run(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.run(work),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => simd.run(work),
        }
    }
}
