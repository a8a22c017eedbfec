//! Which strategy runs a recurrence: the one place where it is decided.

use super::device::Gpu;
use super::recurrence::Recurrence;
use crate::error::{Error, Result};
use crate::settings::Strategy;

/// A strategy, and why it was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) strategy: Strategy,
    pub(crate) reason: String,
}

/// Up to so many bytes of recurrent weights the cache of one core or compute unit can be trusted to keep them.
const SOLO_BYTES: usize = 64 << 10;

/// Below so many operations of a step it is not arithmetic that costs, but handing h on; and so many steps pay for starting
/// a team. Both are estimates: there has been no GPU to measure them on.
const TEAM_OPERATIONS: usize = 100_000_000;
const TEAM_STEPS: usize = 16;

/// The environment variable that names a strategy to be taken wherever an LSTM can be run by it.
const STRATEGY_VARIABLE: &str = "CELLSTATE_STRATEGY";

/// The strategy that the environment names.
///
/// # Errors
///
/// [`Error::Value`] if there is none of that name.
pub(crate) fn of_environment() -> Result<Option<Strategy>> {
    match std::env::var(STRATEGY_VARIABLE) {
        Ok(name) if !name.is_empty() => name.parse().map(Some),
        _ => Ok(None),
    }
}

/// Whether there is any use in making the strategy team ready: it was asked for, or a GPU may find it the fastest. A software
/// adapter does not.
pub(crate) fn may_choose_team(gpu: &Gpu, units: usize, asked: Option<Strategy>) -> bool {
    let is_worthwhile = 16 * units * units > SOLO_BYTES && 8 * units * units < TEAM_OPERATIONS;
    asked == Some(Strategy::Team) || is_worthwhile && gpu.info().device_type != wgpu::DeviceType::Cpu
}

/// The strategy for `positions` sequences of at most `steps` steps.
pub(crate) fn choose(
    gpu: &Gpu,
    recurrence: &Recurrence,
    forced: Option<Strategy>,
    (positions, steps): (usize, usize),
) -> Choice {
    let choice = |strategy, reason: &str| Choice {
        strategy,
        reason: reason.to_owned(),
    };
    let can = |strategy| recurrence.can(strategy).is_ok();
    if let Some(strategy) = forced.filter(|&strategy| can(strategy)) {
        return choice(strategy, "it was asked for by name");
    }
    let bytes = 16 * recurrence.units * recurrence.units;
    if can(Strategy::Solo) && bytes <= SOLO_BYTES {
        return choice(Strategy::Solo, "dispatching a step costs more than running it");
    }
    let operations = 8 * positions.saturating_mul(recurrence.units * recurrence.units);
    let is_short = operations < TEAM_OPERATIONS && steps >= TEAM_STEPS;
    let in_software = gpu.info().device_type == wgpu::DeviceType::Cpu;
    if is_short && !in_software && can(Strategy::Team) && gpu.counters().aborted_teams() == 0 {
        return choice(
            Strategy::Team,
            "workgroups that share the units run a step faster than it is dispatched",
        );
    }
    choice(Strategy::Step, "every GPU can do it")
}

/// Refuses a strategy that the settings name and a recurrence cannot do.
pub(crate) fn check(gpu: &Gpu, recurrences: &[Recurrence], forced: Option<Strategy>) -> Result<()> {
    let Some(strategy) = forced else { return Ok(()) };
    for recurrence in recurrences {
        if let Err(why) = recurrence.can(strategy) {
            return Err(Error::Unsupported {
                layer: format!("LSTM with {} units", recurrence.units),
                option: format!("the strategy {strategy} on {}: {why}", gpu.name()),
                instead: "leave it out of the settings, and another is chosen".to_owned(),
            });
        }
    }
    Ok(())
}
