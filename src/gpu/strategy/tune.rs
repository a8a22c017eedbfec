//! Measures the strategies of each recurrence, and remembers the fastest.

use std::ops::Range;
use std::sync::Weak;
use std::time::Duration;

use crate::error::Result;
use crate::flow::{Flow, Input};
use crate::gpu::GpuModel;
use crate::gpu::commands::Commands;
use crate::gpu::device::timer::{self, Timer};
use crate::gpu::explain::Named;
use crate::gpu::run::now;
use crate::gpu::sizes::RecurrentSize;
use crate::gpu::strategy::recurrence::{Recurrence, RecurrenceGroups, Stretch};
use crate::gpu::strategy::team::TeamBuffers;
use crate::gpu::strategy::tuned::Key;
use crate::gpu::workspace::{StageKind, Workspace, missing};
use crate::model::plan::PlannedCell;
use crate::schedule::Schedule;
use crate::settings::Strategy;
use crate::state::State;
use crate::tuning::{Candidate, TunedLayer, Tuning};

/// The steps of the first launches, which make shaders ready and show how fast a step is.
const WARM_UP_STEPS: usize = 4;

/// Seconds that a launch to be measured should take: far above what starting it costs, and no driver's patience ends.
const LAUNCH: f64 = 0.05;

/// How often each strategy is measured, in turn with the others, and the seconds after which no round is begun.
const ROUNDS: usize = 5;
const PATIENCE: f64 = 2.0;

/// What is measured: a recurrence over the buffers of a workspace.
struct Bench<'a> {
    recurrence: &'a Recurrence,
    groups: &'a RecurrenceGroups,
    schedule: &'a Schedule,
    size: &'a RecurrentSize,
    workspace: &'a Workspace,
    timer: Option<&'a Timer>,
}

/// The seconds of a launch, by the host's clock and by the GPU's; `None` where there is no such clock.
#[derive(Clone, Copy)]
struct Seconds {
    host: Option<f64>,
    gpu: Option<f64>,
}

impl Seconds {
    /// Both at their least.
    fn least(self, other: Self) -> Self {
        let least = |one: Option<f64>, other: Option<f64>| Some(one?.min(other?));
        Self {
            host: least(self.host, other.host),
            gpu: least(self.gpu, other.gpu),
        }
    }
}

impl GpuModel {
    /// Measures every strategy that a recurrence can be run by, over whatever the buffers hold, and remembers the fastest, in the tuning file too
    /// if one is named.
    pub(crate) async fn tune(&self, batch: usize, time_steps: usize) -> Result<Tuning> {
        let mut workspace = self.workspace(batch, time_steps).await?;
        let flow = Flow::new(&self.parts, Input::Full { batch, time_steps }, None)?;
        let timer = Timer::make(&self.gpu);
        self.gpu
            .guarded("preparing to tune", || {
                let zeros = |cell: &PlannedCell| State::zeros(batch, cell.cell.state_widths());
                let states = self.parts.cells.iter().map(zeros).collect::<Result<Vec<_>>>()?;
                self.upload_lists(&workspace, &flow)?;
                self.upload_values(&workspace, &flow, Input::Full { batch, time_steps }, &states)
            })
            .await?;
        let mut layers: Vec<TunedLayer> = Vec::new();
        let mut answers: Vec<(Key, Strategy)> = Vec::new();
        for named in self.named() {
            let schedule = flow.schedule(named.cell).ok_or_else(missing)?;
            if schedule.rows() == 0 {
                break; // then nothing of the batch is run
            }
            let size = (schedule.active(0), schedule.steps());
            let key = Key::new(named.recurrence, self.asked.precision, size);
            // layers of the same kind are measured once
            let known = answers.iter().position(|(known, _)| *known == key);
            let known = known.and_then(|known| layers.get(known)).cloned();
            let layer = match known {
                Some(known) => TunedLayer {
                    layer: named.name,
                    ..known
                },
                None => {
                    self.tune_layer(&workspace, timer.as_ref(), &flow, schedule, named)
                        .await?
                }
            };
            answers.push((key, layer.fastest));
            layers.push(layer);
        }
        workspace.lists_of = Weak::new(); // the lists are those of another flow now
        self.keep_workspace(workspace);
        // a choice of one is none, and without a clock nothing was measured
        let mut measured: Vec<(Key, Strategy)> = Vec::new();
        for ((key, strategy), layer) in answers.into_iter().zip(&layers) {
            if !layer.candidates.is_empty() && !measured.iter().any(|(known, _)| *known == key) {
                self.gpu.tuned().remember(key.clone(), strategy);
                measured.push((key, strategy));
            }
        }
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(path) = self.settings.wanted_tuning_file().filter(|_| !measured.is_empty()) {
            crate::gpu::strategy::tuning_file::write(
                path,
                &crate::gpu::strategy::tuned::gpu_fields(self.gpu.info()),
                &measured,
            )?;
        }
        let asked = self.asked.strategy.map(|(strategy, by)| {
            format!("{by} asks for the strategy {strategy}, which is taken whatever was measured")
        });
        let nothing = layers
            .is_empty()
            .then(|| "there is no recurrent layer with a step to run".to_owned());
        Ok(Tuning::new(layers, nothing.or(asked)))
    }

    async fn tune_layer(
        &self,
        workspace: &Workspace,
        timer: Option<&Timer>,
        flow: &Flow,
        schedule: &Schedule,
        named: Named<'_>,
    ) -> Result<TunedLayer> {
        let stage = flow
            .cell_stages
            .get(named.cell)
            .and_then(|&stage| workspace.stages.get(stage));
        let Some(StageKind::Recurrent { size, groups, .. }) = stage.map(|stage| &stage.kind) else {
            return Err(missing());
        };
        let bench = Bench {
            recurrence: named.recurrence,
            groups: groups.first().ok_or_else(missing)?,
            schedule,
            size,
            workspace,
            timer,
        };
        let can = |strategy: &Strategy| named.recurrence.can(*strategy).is_ok();
        let strategies: Vec<Strategy> = Strategy::ALL.iter().copied().filter(can).collect();
        let steps = match strategies.len() {
            0 | 1 => 0,
            _ => self.worthy_steps(&bench, &strategies).await?,
        };
        let mut least: Vec<Option<Seconds>> = vec![None; strategies.len()];
        let start = now();
        for _ in 0..ROUNDS {
            let spent = start.map_or(0.0, |start| start.elapsed().as_secs_f64());
            if steps == 0 || (spent > PATIENCE && least.iter().all(Option::is_some)) {
                break;
            }
            for (&strategy, least) in strategies.iter().zip(&mut least) {
                let seconds = self.measure(&bench, strategy, steps).await?;
                *least = Some(least.map_or(seconds, |before| before.least(seconds)));
            }
        }
        // one clock for all: some drivers offer time stamps and leave them at zero
        let by = |clock: fn(Seconds) -> Option<f64>| -> Option<Vec<f64>> {
            least
                .iter()
                .map(|least| least.and_then(clock).filter(|&seconds| seconds > 0.0))
                .collect()
        };
        let seconds = by(|seconds| seconds.gpu)
            .or_else(|| by(|seconds| seconds.host))
            .unwrap_or_default();
        let candidates: Vec<Candidate> = strategies
            .iter()
            .zip(&seconds)
            .map(|(&strategy, &seconds)| Candidate {
                strategy,
                step: Duration::try_from_secs_f64(seconds / steps.max(1) as f64).unwrap_or(Duration::MAX),
            })
            .collect();
        let fastest = strategies
            .iter()
            .zip(&seconds)
            .min_by(|(_, one), (_, other)| one.total_cmp(other));
        Ok(TunedLayer {
            layer: named.name,
            fastest: fastest.map_or(Strategy::Step, |(&strategy, _)| strategy),
            candidates,
        })
    }

    /// Makes the strategies ready, and gives the steps that are long enough to be measured by the slowest of them.
    async fn worthy_steps(&self, bench: &Bench<'_>, strategies: &[Strategy]) -> Result<usize> {
        let all = bench.schedule.steps().min(bench.size.segment_steps);
        let first = all.min(WARM_UP_STEPS);
        let mut slowest = 0.0_f64;
        for &strategy in strategies {
            self.measure(bench, strategy, first).await?;
            let seconds = self.measure(bench, strategy, first).await?;
            let seconds = seconds.gpu.filter(|&seconds| seconds > 0.0).or(seconds.host);
            slowest = slowest.max(seconds.unwrap_or(0.0));
        }
        let worthy = LAUNCH / (slowest / first.max(1) as f64);
        Ok((worthy as usize).clamp(first, all)) // an endless number becomes the largest there is
    }

    /// The seconds of one run of the first steps by a strategy.
    async fn measure(&self, bench: &Bench<'_>, strategy: Strategy, steps: usize) -> Result<Seconds> {
        let mut start = None;
        let work = || {
            let mut commands = Commands::new(&self.gpu, bench.workspace.params_bytes);
            if let Some(team) = &bench.workspace.team {
                commands.clear(&team.control, TeamBuffers::READ_BYTES);
            }
            bench.record(&mut commands, strategy, 0..steps);
            if let Some(team) = &bench.workspace.team {
                commands.copy(&team.control, 0..TeamBuffers::READ_BYTES, &team.staging, 0);
            }
            let mut encoder = self
                .gpu
                .device()
                .create_command_encoder(&wgpu::CommandEncoderDescriptor {
                    label: Some("cellstate.tune"),
                });
            commands.record(&self.gpu, &bench.workspace.params, bench.timer, &mut encoder)?;
            start = now();
            Ok(self.gpu.queue().submit([encoder.finish()]))
        };
        let submission = self.gpu.guarded("tuning", work).await?;
        let team = bench.workspace.team.as_ref();
        let stamps = bench.timer.map(|timer| (&timer.staging, timer::BYTES));
        let control = team.map(|team| (&team.staging, TeamBuffers::READ_BYTES));
        let wanted: Vec<_> = stamps.into_iter().chain(control).collect();
        let mut read = self.map(&wanted, submission).await?;
        let aborted = control
            .and_then(|_| read.pop())
            .is_some_and(|words| words.iter().any(|word| word.to_bits() != 0));
        let stamps = read.pop();
        let endless = aborted.then_some(f64::INFINITY); // it did not do what it was measured for
        Ok(Seconds {
            host: endless.or(start.map(|start| start.elapsed().as_secs_f64())),
            gpu: stamps
                .map(|stamps| endless.unwrap_or_else(|| Timer::seconds(&self.gpu, bytemuck::cast_slice(&stamps)))),
        })
    }
}

impl<'a> Bench<'a> {
    /// The recurrence alone, as a run does it: what is projected is what the buffers hold.
    fn record(&self, commands: &mut Commands<'a>, strategy: Strategy, steps: Range<usize>) {
        let chunk_steps = self.size.chunk_steps;
        for first in steps.clone().step_by(chunk_steps) {
            let stretch = Stretch {
                schedule: self.schedule,
                steps: first..(first + chunk_steps).min(steps.end),
                segment_step: 0,
                size: self.size,
                batch: self.workspace.batch,
                projected_pitch: chunk_steps * self.workspace.batch,
            };
            self.recurrence.record(commands, self.groups, &stretch, strategy);
        }
    }
}
