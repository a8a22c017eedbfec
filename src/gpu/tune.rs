//! Measures the strategies of each recurrence, and remembers the fastest.

use std::ops::Range;
use std::time::Duration;

use crate::error::Result;
use crate::gpu::commands::Commands;
use crate::gpu::device::mapped;
use crate::gpu::device::timer::{self, Timer};
use crate::gpu::explain::Named;
use crate::gpu::measure;
use crate::gpu::model::GpuModel;
use crate::gpu::recording::now;
use crate::gpu::stage::interface::Tunable;
use crate::gpu::stage::lists::upload_list;
use crate::gpu::stage::pieces::Pieces;
use crate::gpu::strategy::exchange::ExchangeBuffers;
use crate::gpu::strategy::list::EVERYTHING;
use crate::gpu::strategy::tuned::{Key, Tuned};
use crate::gpu::workspace::Workspace;
use crate::settings::Strategy;
use crate::tuning::{Candidate, TunedLayer, Tuning};

/// The steps of the first launches, which make shaders ready and show how fast a step is.
const WARM_UP_STEPS: usize = 4;

/// Seconds that a launch to be measured should take: far above what starting it costs, and no driver's patience ends.
const LAUNCH: f64 = 0.05;

/// How often each strategy is measured, in turn with the others, and the seconds after which no round is begun.
const ROUNDS: usize = 5;
const PATIENCE: f64 = 2.0;

/// What is measured: a recurrence over the buffers of a workspace, for a batch without a mask.
struct Bench<'a> {
    stage: Tunable<'a>,
    /// The row at which each step begins, and the steps of each sequence.
    starts: Vec<u32>,
    lengths: Vec<u32>,
    pieces: Pieces,
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
    /// Measures every strategy that a recurrence can be run by, over whatever the buffers hold, and remembers the fastest, in the
    /// tuning file too if one is named.
    pub(crate) async fn tune(&self, batch: usize, time_steps: usize) -> Result<Tuning> {
        let size = (batch, time_steps);
        measure::numbers(&self.gpu).await?;
        let sizes = self.sizes(size)?;
        let mut workspace = self.workspace(size).await?;
        let buffers = &mut workspace.value;
        buffers.forget_lists(); // those of the steps will be those of a batch without a mask
        let timer = Timer::make(&self.gpu);
        let mut layers: Vec<TunedLayer> = Vec::new();
        let mut answers: Vec<(Key, Strategy)> = Vec::new();
        let pieces = sizes.stages.iter().filter_map(|stage| stage.pieces());
        for ((named, stage), &pieces) in self.named().into_iter().zip(buffers.recurrences()).zip(pieces) {
            let (positions, steps) = (pieces.positions(), pieces.steps);
            if positions == 0 {
                break; // then nothing of the batch is run
            }
            let key = Key::new(named.recurrence, self.asked.precision, (positions, steps));
            // layers of the same kind are measured once
            let known = answers.iter().position(|(known, _)| *known == key);
            let known = known.and_then(|known| layers.get(known)).cloned();
            let layer = match known {
                Some(known) => TunedLayer {
                    layer: named.name,
                    ..known
                },
                None => {
                    let bench = Bench {
                        stage,
                        starts: (0..=steps).map(|step| (step * positions) as u32).collect(),
                        lengths: vec![steps as u32; positions],
                        pieces,
                        workspace: buffers,
                        timer: timer.as_ref(),
                    };
                    self.tune_layer(bench, named).await?
                }
            };
            answers.push((key, layer.fastest));
            layers.push(layer);
        }
        self.keep_workspace(workspace, size);
        self.remember(answers, &layers)?;
        let asked = self.asked.strategy.map(|(strategy, by)| {
            format!("{by} asks for the strategy {strategy}, which is taken whatever was measured")
        });
        let nothing = layers
            .is_empty()
            .then(|| "there is no recurrent layer with a step to run".to_owned());
        Ok(Tuning::new(layers, nothing.or(asked)))
    }

    /// Remembers the answers of layers, in the tuning file too if one is named.
    fn remember(&self, answers: Vec<(Key, Strategy)>, layers: &[TunedLayer]) -> Result<()> {
        // a choice of one is none, and without a clock nothing was measured
        let mut measured: Vec<(Key, Strategy)> = Vec::new();
        for ((key, strategy), layer) in answers.into_iter().zip(layers) {
            if !layer.candidates.is_empty() && !measured.iter().any(|(known, _)| *known == key) {
                self.gpu.shared::<Tuned>().remember(key.clone(), strategy);
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
        Ok(())
    }

    async fn tune_layer(&self, bench: Bench<'_>, named: Named<'_>) -> Result<TunedLayer> {
        let upload = || {
            upload_list(&mut &self.gpu, bench.stage.starts, &bench.starts);
            Ok(())
        };
        self.gpu.guarded("preparing to tune", upload).await?;
        let able = named.recurrence.able(bench.pieces.batch);
        let strategies: Vec<Strategy> = able.map(|(strategy, _)| strategy).collect();
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
            fastest: fastest.map_or(EVERYTHING, |(&strategy, _)| strategy),
            candidates,
        })
    }

    /// Makes the strategies ready, and gives the steps that are long enough to be measured by the slowest of them.
    async fn worthy_steps(&self, bench: &Bench<'_>, strategies: &[Strategy]) -> Result<usize> {
        let all = bench.pieces.steps.min(bench.stage.pieces.segment_steps);
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
            let mut commands = Commands::new(&self.gpu);
            if let Some(exchange) = &bench.workspace.exchange {
                commands.first.clear(&exchange.control, 0..ExchangeBuffers::READ_BYTES);
            }
            bench.record(&mut commands, strategy, 0..steps);
            if let Some(exchange) = &bench.workspace.exchange {
                commands
                    .last
                    .copy(&exchange.control, 0..ExchangeBuffers::READ_BYTES, &exchange.staging, 0);
            }
            let mut encoder = self.gpu.encoder("tune");
            commands.upload(&self.gpu, &bench.workspace.params)?;
            commands.encode(bench.timer, &mut encoder);
            start = now();
            Ok(self.gpu.queue().submit([encoder.finish()]))
        };
        let submission = self.gpu.guarded("tuning", work).await?;
        let exchange = bench.workspace.exchange.as_ref();
        let stamps = bench.timer.map(|timer| (&timer.staging, timer::BYTES));
        let control = exchange.map(|exchange| (&exchange.staging, ExchangeBuffers::READ_BYTES));
        let wanted: Vec<_> = stamps.into_iter().chain(control).collect();
        let mut read = mapped::read::<f32>(&self.gpu, &wanted, Some(submission)).await?;
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

impl Bench<'_> {
    /// The recurrence alone, as a run does it: what is projected is what the buffers hold.
    fn record(&self, commands: &mut Commands, strategy: Strategy, steps: Range<usize>) {
        let chunk_steps = self.stage.pieces.chunk_steps;
        for first in steps.clone().step_by(chunk_steps) {
            let steps = first..(first + chunk_steps).min(steps.end);
            let starts = (self.starts.as_slice(), self.lengths.as_slice());
            let chunk = self.stage.pieces.chunk(starts, steps, self.stage.hidden_pitch);
            self.stage
                .recurrence
                .record(commands, self.stage.groups, &chunk, strategy);
        }
    }
}
