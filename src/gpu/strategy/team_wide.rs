//! `recurrent_team_wide`: teams for many positions, on a GPU whose subgroups add up the sums.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::rows::VALUE;
use crate::gpu::shader::{Pipeline, Shader, Variant};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Cells, Group, Probing, Ready, Work};
use crate::gpu::strategy::launch::{Params, most_steps};
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::residency::{self, Spin};
use crate::gpu::strategy::team_launches::{BINDINGS, HEAD};
use crate::gpu::strategy::team_shape::Limits;
use crate::gpu::strategy::team_wide_launches::WideLaunches;
use crate::gpu::strategy::team_wide_shape::{Cost, Shape};

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_team_wide",
    source: include_str!("../../../shaders/recurrent_team_wide.wgsl"),
    shared: &[
        include_str!("../../../shaders/shared/finish.wgsl"),
        include_str!("../../../shaders/shared/words.wgsl"),
        include_str!("../../../shaders/shared/wide.wgsl"),
    ],
    runs_cell: true,
    params: ("Launch", size_of::<Params>()),
    bindings: BINDINGS,
    constants: &[
        "ROWS",
        "UNITS",
        "SLICE",
        "LANES_OF_SUBGROUP",
        "UNITS_2",
        "UNITS_1",
        "ROWS_4",
        "ROWS_2",
        "ROWS_1",
        "BATCHES",
        "TILES",
        "AHEAD",
        "ONE_FIRST",
        "FOURS",
        "SLOTS",
        "REST",
        "PAIRS_U2",
        "PAIRS_U1",
        "PAIRS_R4",
        "PAIRS_R2",
        "PAIRS_R1",
        "COHERENT",
        "IN_TURN",
    ],
};

/// The constants of the text for a shape.
pub(crate) fn constants(shape: Shape, spin: Spin) -> Vec<u32> {
    let of_gpu = [spin.is_coherent, spin.in_software].map(u32::from);
    shape.constants().into_iter().chain(of_gpu).collect()
}

/// The steps of a batch for which a shape is chosen: so many that what a launch costs hardly counts.
const STEPS: usize = 256;

/// How many shapes are counted for a batch before one of those that were is taken.
const PROBES: usize = 3;

/// What was decided for a batch.
#[derive(Debug)]
struct Form {
    shape: Shape,
    pipeline: Arc<Pipeline>,
    /// Teams that run at the same time.
    most_teams: usize,
}

/// What has been found out.
#[derive(Debug, Default)]
struct Found {
    /// The forms, by the sequences that a workspace has room for. None is changed.
    forms: HashMap<usize, Form>,
    /// Of each shape that was counted the workgroups of a launch, and its pipeline.
    counted: HashMap<Shape, (usize, Arc<Pipeline>)>,
    /// Whether there was a batch for which too few workgroups run at the same time, whatever their shape.
    has_failed: bool,
}

/// Teams for many positions.
#[derive(Debug)]
pub(crate) struct WideTeam {
    pub(super) shapes: Vec<Shape>,
    pub(super) numbers: Numbers,
    pub(super) spin: Spin,
    /// What the texts are made for but for the constants of a shape.
    variant: Variant,
    /// That of a single sequence.
    pipeline: Arc<Pipeline>,
    units: usize,
    lanes: usize,
    kernel_width: usize,
    directions: usize,
    /// Words of `exchange` after its head, at most.
    exchange_words: usize,
    found: Mutex<Found>,
    /// For the tests: how often to ask, and how many workgroups a launch lacks.
    pub(super) most_polls: Option<u32>,
    pub(super) missing: usize,
}

/// Words of `exchange` after its head, at most: of few launches, each of which empties its words and reads the weights.
const EXCHANGE: usize = 1 << 22;

fn most_words(gpu: &Gpu) -> usize {
    let asked = std::env::var("SWEEP_TEAM_EXCHANGE").ok(); // SWEEP
    let asked = asked.and_then(|log| log.parse::<u32>().ok()).map(|log| 1_usize << log); // SWEEP
    let most = asked.unwrap_or(EXCHANGE).min((gpu.largest_binding() / VALUE) as usize); // SWEEP
    most.saturating_sub(HEAD)
}

/// The shape that the environment asks for: rows, slice, own, taken, batches, ahead, first.
fn swept(units: usize, lanes_of_subgroup: usize) -> Option<Shape> {
    let asked = std::env::var("SWEEP_TEAM_WIDE").ok()?; // SWEEP
    let sizes: Vec<usize> = asked.split(',').filter_map(|size| size.trim().parse().ok()).collect(); // SWEEP
    let [rows, slice, own, taken, batches, ahead, first] = sizes[..] else {
        return None;
    }; // SWEEP
    Some(Shape {
        rows,
        units,
        slice,
        own,
        lanes_of_subgroup,
        taken,
        batches,
        tiles: (rows / (taken * batches)).clamp(1, 2),
        is_ahead: ahead == 1,
        is_one_first: first == 1,
    })
}

impl WideTeam {
    /// Why not, where it cannot run the cells.
    pub(crate) fn make(gpu: &Gpu, cells: &Cells<'_>, spin: Spin, numbers: Numbers) -> Result<Self, &'static str> {
        let lanes_of_subgroup = gpu.lanes_of_subgroup().ok_or("its subgroups are of no fixed size")? as usize;
        let limits = gpu.limits();
        if (limits.max_storage_buffers_per_shader_stage as usize) < BINDINGS.len() {
            return Err("the device was opened with too few storage buffers for a shader");
        }
        let most = limits.max_compute_invocations_per_workgroup;
        let lanes = cells.cell.lanes().len();
        let limits = Limits {
            bytes: limits.max_compute_workgroup_storage_size as usize,
            invocations: most.min(limits.max_compute_workgroup_size_x) as usize,
            members: spin.most_members,
        };
        let mut shapes = Shape::all(cells.kernel_width, lanes, lanes_of_subgroup, limits);
        // SWEEP
        if let Some(shape) = swept(cells.kernel_width, lanes_of_subgroup) {
            shapes = vec![shape]; // SWEEP
        }
        let exchange_words = most_words(gpu);
        shapes.retain(|shape| shape.words() <= exchange_words);
        let first = *shapes
            .first()
            .ok_or("so many units would need more workgroups than may wait for each other")?;
        // all pipelines bind the same
        let pipeline = gpu.pipeline_for(&SHADER, cells.variant(&constants(first, spin)));
        Ok(Self {
            shapes,
            numbers,
            spin,
            variant: cells.variant(&[]),
            pipeline,
            units: cells.cell.units,
            lanes,
            kernel_width: cells.kernel_width,
            directions: cells.directions,
            exchange_words,
            found: Mutex::default(),
            most_polls: None,
            missing: 0,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The teams of a launch in a workspace with room for so many sequences, at most, and its steps.
    pub(super) fn launch(&self, shape: Shape, most_teams: usize, batch: usize) -> (usize, usize) {
        let teams = (self.directions * batch).clamp(1, most_teams.max(1));
        let fitting = self.exchange_words / (teams * shape.words()).max(1);
        (teams, fitting.min(most_steps(shape.products(1))).max(1))
    }

    fn seconds_of(&self, shape: Shape, most_teams: usize, work: Work) -> f64 {
        let cost = Cost {
            numbers: &self.numbers,
            lanes: self.lanes,
            directions: self.directions,
        };
        let (_, steps) = self.launch(shape, most_teams, work.positions);
        shape.seconds(cost, work, most_teams, steps)
    }

    /// Of those wanted the shape that takes the least time for so many sequences, with its teams at once.
    fn best(&self, found: &Found, batch: usize, is_wanted: impl Fn(&Shape) -> bool) -> Option<(Shape, usize)> {
        let work = Work {
            positions: batch,
            steps: STEPS,
            rows: batch * STEPS,
        };
        let unknown = match self.spin.in_software {
            true => self.spin.most_members,
            false => self.numbers.workgroups,
        };
        let workgroups = |shape: Shape| found.counted.get(&shape).map_or(unknown, |&(workgroups, _)| workgroups);
        let wanted = self.shapes.iter().copied().filter(is_wanted);
        let with_teams = wanted.map(|shape| (shape, workgroups(shape) / shape.members().max(1)));
        let running = with_teams.filter(|&(_, teams)| teams > 0);
        let timed = running.map(|(shape, teams)| (shape, teams, self.seconds_of(shape, teams, work)));
        let least = timed.min_by(|(_, _, one), (_, _, other)| one.total_cmp(other));
        least.map(|(shape, teams, _)| (shape, teams))
    }

    /// The shape for a workspace with room for so many sequences, and its teams at once: what was decided, else what will be
    /// where enough workgroups run at the same time.
    pub(super) fn shape(&self, batch: usize) -> Option<(Shape, usize)> {
        let found = self.lock();
        match found.forms.get(&batch) {
            Some(form) => Some((form.shape, form.most_teams)),
            None => self.best(&found, batch, |_| true),
        }
    }

    /// Decides how so many sequences are run. The best shape is counted; if that makes another one the best, that one is too.
    async fn decide(&self, gpu: &Gpu, batch: usize) -> Result<()> {
        for _ in 0..PROBES {
            let Some(shape) = self.uncounted(batch) else { break };
            let variant = Variant {
                constants: constants(shape, self.spin),
                ..self.variant.clone()
            };
            let known = gpu.known_pipelines();
            let make = || Ok(gpu.pipeline_for(&SHADER, variant.clone()));
            let pipeline = gpu.guarded("making a shader for teams", make).await;
            if pipeline.is_err() {
                gpu.forget_pipelines_but(&known);
            }
            let pipeline = pipeline?;
            let key = (SHADER.name, variant);
            let workgroups = residency::all_seen(gpu, self.spin, &SHADER, (&key, &pipeline)).await?;
            self.lock().counted.insert(shape, (workgroups, pipeline));
        }
        let mut found = self.lock();
        if found.forms.contains_key(&batch) {
            return Ok(());
        }
        let best = self.best(&found, batch, |shape| found.counted.contains_key(shape));
        let form = best.and_then(|(shape, most_teams)| {
            let (_, pipeline) = found.counted.get(&shape)?;
            Some(Form {
                shape,
                pipeline: Arc::clone(pipeline),
                most_teams,
            })
        });
        match form {
            Some(form) => drop(found.forms.insert(batch, form)),
            None => found.has_failed = true,
        }
        Ok(())
    }

    /// The best shape for so many sequences, unless it is decided how they are run or its workgroups were counted.
    fn uncounted(&self, batch: usize) -> Option<Shape> {
        let found = self.lock();
        if found.forms.contains_key(&batch) {
            return None;
        }
        let (shape, _) = self.best(&found, batch, |_| true)?;
        (!found.counted.contains_key(&shape)).then_some(shape)
    }
}

impl Ready for WideTeam {
    fn binds(&self) -> (&'static Shader, &Pipeline) {
        (&SHADER, &self.pipeline)
    }

    /// Never: it is taken by the numbers of the GPU.
    fn suits(&self, _gpu: &Gpu, _positions: usize) -> Option<&'static str> {
        None
    }

    fn seconds(&self, work: Work) -> Option<f64> {
        let (shape, most_teams) = self.shape(work.positions)?;
        Some(self.seconds_of(shape, most_teams, work))
    }

    fn has_failed(&self) -> Option<&'static str> {
        (self.lock().has_failed).then_some("too few of its workgroups run at the same time")
    }

    fn make_room<'a>(&'a self, gpu: &'a Gpu, batch: usize) -> Option<Probing<'a>> {
        (batch > 0).then(|| -> Probing<'a> { Box::pin(self.decide(gpu, batch)) })
    }

    fn exchange_bytes(&self, batch: usize, time_steps: usize) -> Option<u64> {
        let (shape, most_teams) = self.shape(batch)?;
        let (teams, steps) = self.launch(shape, most_teams, batch);
        Some((HEAD + steps.min(time_steps) * teams * shape.words()) as u64 * VALUE)
    }

    fn dispatches(&self, positions: usize, steps: usize) -> usize {
        let Some((shape, most_teams)) = self.shape(positions) else {
            return 0;
        };
        let (teams, launch_steps) = self.launch(shape, most_teams, positions);
        let rounds = match teams / self.directions.max(1) {
            0 => self.directions * positions.div_ceil(shape.rows),
            tiles => positions.div_ceil(tiles * shape.rows),
        };
        rounds * steps.div_ceil(launch_steps)
    }

    fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        let found = self.lock();
        let Some(form) = found.forms.get(&chunk.batch) else {
            return; // every workspace was made with room for it
        };
        let (teams, steps) = self.launch(form.shape, form.most_teams, chunk.batch);
        let polls = self.spin.most_polls(Some(&self.numbers), steps);
        let launches = WideLaunches {
            pipeline: &form.pipeline,
            shape: form.shape,
            teams,
            steps,
            most_polls: self.most_polls.unwrap_or(polls),
            missing: self.missing,
            directions: self.directions,
            units: self.units,
            kernel_width: self.kernel_width,
        };
        launches.record(commands, group, chunk);
    }
}

#[cfg(test)]
#[path = "team_wide_tests.rs"]
mod tests;
