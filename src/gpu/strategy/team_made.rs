//! Teams on a GPU, by texts that are made for a size class: `recurrent_team_made`, and `recurrent_team_wide` where that is faster.
//!
//! How a team is made up depends on the batch, so it is decided when a workspace is made for one: the make that takes the least time by the
//! numbers of the GPU, of which a pipeline is made and whose workgroups are counted then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::rows::VALUE;
use crate::gpu::shader::{Pipeline, Shader, Variant};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Cells, Group, Probing, Ready, Work};
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::residency::{self, Spin};
use crate::gpu::strategy::team_candidates::{Candidates, Counted};
use crate::gpu::strategy::team_launches::{HEAD, Launches};
use crate::gpu::strategy::team_make::Make;

/// How many makes are counted for a batch before one of those that were is taken: each is a text to be compiled.
const PROBES: usize = 2;

/// What was decided for a batch.
#[derive(Debug)]
struct Form {
    make: Make,
    pipeline: Arc<Pipeline>,
    /// Teams that run at the same time.
    most_teams: usize,
}

/// What has been found out.
#[derive(Debug, Default)]
struct Found {
    /// The forms, by the sequences that a workspace has room for; `None` where too few workgroups run at the same time for that. None is changed.
    forms: HashMap<usize, Option<Form>>,
    counted: Counted,
}

/// The strategy `team` on a GPU.
#[derive(Debug)]
pub(crate) struct MadeTeam {
    pub(super) candidates: Candidates,
    /// What the texts are made for but for the constants of a make.
    variant: Variant,
    /// Those of a single sequence.
    shader: &'static Shader,
    pipeline: Arc<Pipeline>,
    units: usize,
    kernel_width: usize,
    directions: usize,
    found: Mutex<Found>,
    /// For the tests: how often to ask, and how many workgroups a launch lacks.
    pub(super) most_polls: Option<u32>,
    pub(super) missing: usize,
}

impl MadeTeam {
    /// Why not, where it cannot run the cells.
    pub(crate) fn make(gpu: &Gpu, cells: &Cells<'_>, spin: Spin, numbers: Numbers) -> Result<Self, &'static str> {
        let candidates = Candidates::new(gpu, cells, spin, numbers)?;
        let best = candidates.best(&Counted::new(), 1, |_| true);
        let (make, _) = best.ok_or("so many units would need more workgroups than run at the same time")?;
        // all pipelines bind the same, and this one is what a single sequence needs
        let pipeline = gpu.pipeline_for(make.shader(), cells.variant(&make.constants(spin)));
        residency::make_ready(gpu, spin, make.shader());
        Ok(Self {
            candidates,
            variant: cells.variant(&[]),
            shader: make.shader(),
            pipeline,
            units: cells.cell.units,
            kernel_width: cells.kernel_width,
            directions: cells.directions,
            found: Mutex::default(),
            most_polls: None,
            missing: 0,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The make for a workspace with room for so many sequences, and its teams at once: what was decided, else what will be
    /// where enough workgroups run at the same time.
    fn decided(&self, batch: usize) -> Option<(Make, usize)> {
        let found = self.lock();
        match found.forms.get(&batch) {
            Some(form) => form.as_ref().map(|form| (form.make, form.most_teams)),
            None => self.candidates.best(&found.counted, batch, |_| true),
        }
    }

    /// Decides how so many sequences are run. The best make is counted; if that makes another one the best, that one is too.
    async fn decide(&self, gpu: &Gpu, batch: usize) -> Result<()> {
        for _ in 0..PROBES {
            let Some(make) = self.uncounted(batch) else { break };
            let variant = Variant {
                constants: make.constants(self.candidates.spin),
                ..self.variant.clone()
            };
            let known = gpu.known_pipelines();
            let compile = || Ok(gpu.pipeline_for(make.shader(), variant.clone()));
            let pipeline = gpu.guarded("making a shader for teams", compile).await;
            if pipeline.is_err() {
                gpu.forget_pipelines_but(&known);
            }
            let pipeline = pipeline?;
            let key = (make.shader().name, variant);
            let workgroups = residency::budget(gpu, self.candidates.spin, make.shader(), (&key, &pipeline)).await?;
            self.lock().counted.insert(make, (workgroups, pipeline));
        }
        let mut found = self.lock();
        if found.forms.contains_key(&batch) {
            return Ok(());
        }
        let counted = |make: &Make| found.counted.contains_key(make);
        let best = self.candidates.best(&found.counted, batch, counted);
        let form = best.and_then(|(make, most_teams)| {
            let (_, pipeline) = found.counted.get(&make)?;
            Some(Form {
                make,
                pipeline: Arc::clone(pipeline),
                most_teams,
            })
        });
        found.forms.insert(batch, form);
        Ok(())
    }

    /// The best make for so many sequences, unless it is decided how they are run or its workgroups were counted.
    fn uncounted(&self, batch: usize) -> Option<Make> {
        let found = self.lock();
        if found.forms.contains_key(&batch) {
            return None;
        }
        let (make, _) = self.candidates.best(&found.counted, batch, |_| true)?;
        (!found.counted.contains_key(&make)).then_some(make)
    }
}

impl Ready for MadeTeam {
    fn binds(&self) -> (&'static Shader, &Pipeline) {
        (self.shader, &self.pipeline)
    }

    /// Never: it is taken by the numbers of the GPU.
    fn suits(&self, _gpu: &Gpu, _positions: usize) -> Option<&'static str> {
        None
    }

    fn seconds(&self, work: Work) -> Option<f64> {
        let (make, most_teams) = self.decided(work.positions)?;
        Some(self.candidates.seconds(make, most_teams, work))
    }

    fn has_failed(&self, batch: usize) -> Option<&'static str> {
        let has_none = matches!(self.lock().forms.get(&batch), Some(None));
        has_none.then_some("too few of its workgroups run at the same time")
    }

    fn make_room<'a>(&'a self, gpu: &'a Gpu, batch: usize) -> Option<Probing<'a>> {
        (batch > 0).then(|| -> Probing<'a> { Box::pin(self.decide(gpu, batch)) })
    }

    fn exchange_bytes(&self, batch: usize, time_steps: usize) -> Option<u64> {
        Some((HEAD + self.candidates.words(batch, time_steps)) as u64 * VALUE)
    }

    fn dispatches(&self, positions: usize, steps: usize) -> usize {
        let Some((make, most_teams)) = self.decided(positions) else {
            return 0;
        };
        let (teams, launch_steps) = self.candidates.launch(make, most_teams, positions);
        make.rounds(teams, self.directions, positions) * steps.div_ceil(launch_steps)
    }

    fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        let found = self.lock();
        let Some(Some(form)) = found.forms.get(&chunk.batch) else {
            return; // every workspace was made with room for it, or it is not chosen
        };
        let (teams, steps) = self.candidates.launch(form.make, form.most_teams, chunk.batch);
        let polls = self.candidates.spin.most_polls(Some(&self.candidates.numbers), steps);
        let launches = Launches {
            pipeline: &form.pipeline,
            rows: form.make.rows(),
            members: form.make.members(),
            slice: form.make.slice(),
            words: form.make.words(),
            teams,
            steps,
            most_polls: self.most_polls.unwrap_or(polls),
            missing: self.missing,
            directions: self.directions,
            units: self.units,
            kernel_width: self.kernel_width,
        };
        form.make.record(&launches, (commands, group, chunk));
    }
}

#[cfg(test)]
#[path = "team_made_tests.rs"]
mod tests;
