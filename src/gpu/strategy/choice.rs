//! Which strategy runs a recurrence: the one place where it is decided.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::strategy::entry::{Entry, Work};
use crate::gpu::strategy::list;
use crate::gpu::strategy::recurrence::Recurrence;
use crate::gpu::strategy::residency::Spin;
use crate::gpu::strategy::tuned::{Key, Tuned};
use crate::settings::{Precision, Settings, Strategy};

/// A strategy, and why it was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) strategy: Strategy,
    pub(crate) reason: Cow<'static, str>,
}

/// What the caller asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The strategy that the settings name, else the one that the environment names, and who names it.
    pub(crate) strategy: Option<(Strategy, &'static str)>,
    pub(crate) precision: Precision,
    /// Whether workgroups may wait for each other: not where the host cannot see that one has waited in vain.
    pub(crate) may_wait: bool,
}

/// The environment variable that names a strategy to be taken wherever a layer can be run by it.
const STRATEGY_VARIABLE: &str = "CELLSTATE_STRATEGY";

impl Asked {
    /// # Errors
    ///
    /// [`Error::Value`] if the environment names a strategy that there is none of.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let named = match settings.wanted_strategy() {
            Some(strategy) => Some((strategy, "Settings::strategy")),
            None => of_environment(std::env::var_os(STRATEGY_VARIABLE).as_deref())?
                .map(|strategy| (strategy, STRATEGY_VARIABLE)),
        };
        Ok(Self {
            strategy: named,
            precision: settings.wanted_precision(),
            may_wait: true,
        })
    }
}

impl Asked {
    /// The strategy that is asked for.
    pub(crate) fn named(self) -> Option<Strategy> {
        self.strategy.map(|(strategy, _)| strategy)
    }
}

/// What the environment variable says; nothing where it is empty. Bytes that are no text are no name either.
fn of_environment(said: Option<&OsStr>) -> Result<Option<Strategy>> {
    let Some(name) = said.filter(|name| !name.is_empty()).map(OsStr::to_string_lossy) else {
        return Ok(None);
    };
    let strategy = name.parse().map_err(|error| match error {
        Error::Value { expected, found, .. } => Error::Value {
            argument: STRATEGY_VARIABLE.to_owned(),
            expected,
            found,
            repair: format!(
                "name one of these, or unset the environment variable {STRATEGY_VARIABLE}, and one is chosen"
            ),
        },
        other => other,
    });
    strategy.map(Some)
}

/// The strategies that are to be made ready. One whose workgroups wait for each other is so unasked only where it was measured
/// to be the fastest, or resembles that, and nobody names another, for its shaders take long to compile; elsewhere for who names
/// it, and on a GPU for `Runner::tune` where answers are kept.
pub(crate) fn wanted(gpu: &Gpu, settings: &Settings, asked: Asked) -> Vec<&'static Entry> {
    let tuned = settings.wanted_tuning_file().is_some() && gpu.info().device_type != wgpu::DeviceType::Cpu;
    wanted_of(asked, (tuned, Spin::is_default(gpu)))
}

fn wanted_of(asked: Asked, (tuned, is_default): (bool, bool)) -> Vec<&'static Entry> {
    let waiting = tuned || (asked.strategy.is_none() && is_default);
    let is_wanted = |entry: &&Entry| !entry.waits || waiting || asked.named() == Some(entry.name);
    list::ALL.into_iter().filter(is_wanted).collect()
}

/// The strategy for a batch in a workspace with room for so many sequences: what is asked for by name, else what was measured, else
/// what takes the least time by the numbers of the GPU, else what suits the size.
pub(crate) fn choose(gpu: &Gpu, recurrence: &Recurrence, asked: Asked, (batch, work): (usize, Work)) -> Choice {
    let may = |strategy| asked.may_wait || !list::waits(strategy);
    let can = |strategy| may(strategy) && recurrence.can(strategy, Some(batch)).is_ok();
    if let Some((strategy, by)) = asked.strategy.filter(|&(strategy, _)| can(strategy)) {
        return Choice {
            strategy,
            reason: format!("{by} asks for it").into(),
        };
    }
    let tuned = gpu
        .shared::<Tuned>()
        .of(|| Key::new(recurrence, asked.precision, (work.positions, work.steps)));
    // workgroups that once waited in vain may do so again
    let trusted = |strategy| !list::waits(strategy) || gpu.counters().aborted_teams() == 0;
    if let Some((strategy, from)) = tuned.filter(|&(strategy, _)| can(strategy) && trusted(strategy)) {
        return Choice {
            strategy,
            reason: from.reason().into(),
        };
    }
    // a formula alone is no reason to let workgroups wait for each other where nobody has measured that they run at the same time
    let unasked = |strategy| !list::waits(strategy) || (Spin::is_default(gpu) && trusted(strategy));
    let estimates = recurrence
        .estimates(batch, work)
        .filter(|&(strategy, _)| may(strategy) && unasked(strategy));
    if let Some((strategy, seconds)) = estimates.min_by(|(_, one), (_, other)| one.total_cmp(other)) {
        return Choice {
            strategy,
            reason: format!(
                "it takes the least time by the numbers of the GPU, {:.0} µs",
                seconds * 1e6
            )
            .into(),
        };
    }
    let (strategy, reason) = recurrence.suited(gpu, (batch, work.positions), may);
    Choice {
        strategy,
        reason: reason.into(),
    }
}

/// Refuses a strategy that the settings name and a recurrence cannot do, in a workspace with room for so many sequences if that is known.
pub(crate) fn check(
    gpu: &Gpu,
    recurrences: &[Arc<Recurrence>],
    forced: Option<Strategy>,
    batch: Option<usize>,
) -> Result<()> {
    let Some(strategy) = forced else { return Ok(()) };
    for recurrence in recurrences {
        if let Err(why) = recurrence.can(strategy, batch) {
            return Err(Error::Unsupported {
                layer: format!("{} with {} units", recurrence.cell.class(), recurrence.cell.units),
                option: format!("the strategy {strategy} on {}: {why}", gpu.name()),
                instead: "leave it out of the settings, and another is chosen".to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_strategy_or_is_refused() {
        let said = |name: &str| of_environment(Some(OsStr::new(name)));
        assert_eq!(of_environment(None).unwrap(), None);
        assert_eq!(said("").unwrap(), None);
        assert_eq!(said("Team ").unwrap(), Some(Strategy::Team));
        for nonsense in ["warp", "step,solo", " "] {
            let error = said(nonsense).unwrap_err().to_string();
            for part in [STRATEGY_VARIABLE, "step, solo, team", nonsense, "unset"] {
                assert!(error.contains(part), "{error}");
            }
        }
    }

    #[test]
    fn teams_are_made_ready_for_who_may_take_them() {
        let has_team = |named: Option<Strategy>, gpu| {
            let asked = Asked {
                strategy: named.map(|strategy| (strategy, "a test")),
                precision: Precision::Full,
                may_wait: true,
            };
            let wanted = wanted_of(asked, gpu);
            assert!(wanted.iter().any(|entry| entry.name == list::EVERYTHING));
            wanted.iter().any(|entry| entry.name == Strategy::Team)
        };
        for (named, [plain, default, tuned]) in [
            (None, [false, true, true]),
            (Some(Strategy::Step), [false, false, true]),
            (Some(Strategy::Team), [true, true, true]),
        ] {
            assert_eq!(has_team(named, (false, false)), plain);
            assert_eq!(has_team(named, (false, true)), default);
            assert_eq!(has_team(named, (true, false)), tuned);
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_name_nothing() {
        use std::os::unix::ffi::OsStrExt;
        assert!(of_environment(Some(OsStr::from_bytes(b"\xff"))).is_err());
    }
}
