//! How large the flows of a size can get: by formula, without a list.

use super::Source;
use crate::layer::bidirectional::MergeMode;
use crate::model::plan::{Operation, Plan};

/// The most that the flow of a batch of (batch, time_steps) has, whatever its mask and its tokens: what a batch without a mask
/// has, whose tokens are all different. It is O(layers) to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FlowSize {
    pub(crate) batch: usize,
    /// The values of a row of the input.
    pub(crate) features: usize,
    /// The rows of the input that are read.
    pub(crate) input_rows: usize,
    pub(crate) stages: Vec<StageSize>,
    pub(crate) outputs: Vec<OutputSize>,
    /// For each schedule its steps. The recurrent stages that see the same mask have one.
    pub(crate) schedules: Vec<usize>,
}

/// The most that a stage has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StageSize {
    pub(crate) kind: StageKind,
    pub(crate) rows: usize,
    pub(crate) width: usize,
}

/// What a stage does, and where its rows come from. Each of its lists names one row for each row that the stage makes, but for a
/// Reshape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StageKind {
    Recurrent {
        cell: usize,
        input: Source,
        /// The number of its schedule. Its order, its lengths and its steps are those of all stages of this number.
        schedule: usize,
    },
    Dense {
        dense: usize,
        input: Source,
    },
    Transform {
        transform: usize,
        input: Source,
    },
    /// Only in training.
    Dropout {
        dropout: usize,
        input: Source,
    },
    Reshape {
        input: Source,
        /// Entries of its list.
        entries: usize,
    },
    Merge {
        merge: MergeMode,
        forward: Source,
        backward: Source,
    },
}

/// The most that an output of the model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputSize {
    pub(crate) source: Source,
    /// Entries of its list.
    pub(crate) entries: usize,
    pub(crate) width: usize,
}

/// The output of a layer as the next one sees it.
#[derive(Clone, Copy, Debug)]
struct View {
    source: Source,
    /// Entries of its list.
    entries: usize,
    /// How many different ones there are.
    distinct: usize,
    width: usize,
    /// Which mask it has, by its number.
    mask: usize,
}

struct Builder<'a> {
    plan: &'a Plan,
    trains: bool,
    batch: usize,
    time_steps: usize,
    /// For each schedule the number of its mask.
    masks: Vec<usize>,
    size: FlowSize,
}

impl FlowSize {
    /// The caller has checked that a batch may have so many steps.
    pub(crate) fn new(plan: &Plan, batch: usize, time_steps: usize) -> Self {
        Self::build(plan, batch, time_steps, false)
    }

    /// The same of flows of training, which have the stages of Dropout layers besides.
    pub(crate) fn in_training(plan: &Plan, batch: usize, time_steps: usize) -> Self {
        Self::build(plan, batch, time_steps, true)
    }

    fn build(plan: &Plan, batch: usize, time_steps: usize, trains: bool) -> Self {
        let steps = batch * time_steps;
        let size = Self {
            batch,
            features: plan.features.unwrap_or(0),
            input_rows: 0,
            stages: Vec::new(),
            outputs: Vec::new(),
            schedules: Vec::new(),
        };
        let mut builder = Builder {
            plan,
            trains,
            batch,
            time_steps,
            masks: Vec::new(),
            size,
        };
        let input = View {
            source: Source::Input,
            entries: steps,
            distinct: steps,
            width: plan.features.unwrap_or(0),
            mask: 0,
        };
        let mut views = vec![input];
        for (number, operation) in plan.operations.iter().enumerate() {
            // `Model` has seen to it that only the last operation makes two views
            let Some(view) = views.pop() else { break };
            builder.apply(number, operation, view, &mut views);
        }
        let mut size = builder.size;
        let outputs = views.iter().map(|view| OutputSize {
            source: view.source,
            entries: view.entries,
            width: view.width,
        });
        size.outputs.extend(outputs);
        size.input_rows = size.most_input_rows();
        size
    }

    fn most_input_rows(&self) -> usize {
        let stages = self.stages.iter().map(|stage| match stage.kind {
            StageKind::Recurrent { input, .. }
            | StageKind::Dense { input, .. }
            | StageKind::Transform { input, .. }
            | StageKind::Dropout { input, .. } => (input, stage.rows),
            StageKind::Reshape { input, entries } => (input, entries),
            StageKind::Merge { forward, .. } => (forward, stage.rows),
        });
        let outputs = self.outputs.iter().map(|output| (output.source, output.entries));
        let read = stages.chain(outputs).filter(|(source, _)| *source == Source::Input);
        read.map(|(_, rows)| rows).max().unwrap_or(0)
    }
}

impl Builder<'_> {
    /// Pushes the one view that an operation makes, or the two.
    fn apply(&mut self, number: usize, operation: &Operation, view: View, views: &mut Vec<View>) {
        let made = match operation {
            Operation::Masking { .. } | Operation::EndMask => View {
                mask: number + 1,
                ..view
            },
            Operation::RepeatVector { time_steps } => {
                self.time_steps = *time_steps;
                View {
                    entries: self.batch.saturating_mul(*time_steps),
                    mask: number + 1,
                    ..view
                }
            }
            Operation::Embedding { table, mask_zero } => {
                let mask = if *mask_zero { number + 1 } else { view.mask };
                self.embedded(*table, View { mask, ..view })
            }
            Operation::Dense { dense } => {
                let weights = self.plan.denses.get(*dense).map(|part| &part.weights.kernel);
                let width = weights.map_or(0, |kernel| kernel.ncols());
                let (dense, input) = (*dense, view.source);
                let kind = StageKind::Dense { dense, input };
                self.push(kind, view.distinct, width, view)
            }
            Operation::Transform { transform } => {
                let (transform, input) = (*transform, view.source);
                let kind = StageKind::Transform { transform, input };
                self.push(kind, view.distinct, view.width, view)
            }
            Operation::Reshape { from, to, .. } => self.reshaped(number, (*from, *to), view),
            Operation::LastStep => self.last_step(view),
            Operation::Dropout { dropout } => self.dropout(*dropout, view),
            Operation::Nothing => view,
            Operation::Recurrent { cells, options } => {
                let made = cells.iter().fold(view, |made, &cell| {
                    let input = self.left_out(cell, made);
                    self.cell(cell, input)
                });
                self.shown(made, options.return_sequences)
            }
            Operation::Bidirectional {
                forward,
                backward,
                merge,
                options,
            } => {
                let sides = [*forward, *backward].map(|cell| (cell, self.left_out(cell, view)));
                let sides = sides.map(|(cell, input)| self.cell(cell, input));
                let sides = sides.map(|side| self.shown(side, options.return_sequences));
                if *merge == MergeMode::Separate {
                    views.extend(sides);
                    return;
                }
                self.merged(*merge, sides)
            }
        };
        views.push(made);
    }

    /// In training each step has noise of its own.
    fn dropout(&mut self, dropout: usize, view: View) -> View {
        let leaves_out = self
            .plan
            .dropouts
            .get(dropout)
            .is_some_and(|dropout| dropout.rate != 0.0);
        if !self.trains || !leaves_out {
            return view;
        }
        let input = view.source;
        let rows = View {
            distinct: view.entries,
            ..view
        };
        self.push(StageKind::Dropout { dropout, input }, view.entries, view.width, rows)
    }

    /// The last step of each sequence; without steps all of them show the row that is none.
    fn last_step(&self, view: View) -> View {
        let last = self.shown(view, false);
        match self.time_steps {
            0 => last,
            _ => View {
                distinct: view.distinct.min(last.distinct),
                ..last
            },
        }
    }

    fn embedded(&self, table: usize, view: View) -> View {
        let (input_dim, width) = self.plan.tables.get(table).map_or((0, 0), |table| table.dim());
        View {
            source: Source::Table(table),
            // one more than the table has: padding may name no row, and that is a row of its own to a Dense layer
            distinct: view.entries.min(input_dim.saturating_add(1)),
            width,
            ..view
        }
    }

    /// What reads all steps of a sequence at once. The caller has checked that there are as many as it wants.
    fn reshaped(&mut self, number: usize, ([_, from], [time_steps, to]): ([usize; 2], [usize; 2]), view: View) -> View {
        let rows = self.batch.saturating_mul(time_steps);
        self.time_steps = time_steps;
        let view = View {
            mask: number + 1,
            ..view
        };
        if from == to {
            return view;
        }
        let kind = StageKind::Reshape {
            input: view.source,
            entries: view.entries,
        };
        let behind = View {
            entries: rows,
            distinct: rows,
            ..view
        };
        self.push(kind, rows, to, behind)
    }

    fn merged(&mut self, merge: MergeMode, [first, second]: [View; 2]) -> View {
        let width = match merge {
            MergeMode::Concat => first.width + second.width,
            _ => first.width,
        };
        let kind = StageKind::Merge {
            merge,
            forward: first.source,
            backward: second.source,
        };
        // a row for each sequence, even if it has no steps
        let distinct = first.entries;
        self.push(kind, distinct, width, View { distinct, ..first })
    }

    /// What a cell reads of a view in training, where it leaves something out for all gates.
    fn left_out(&mut self, cell: usize, view: View) -> View {
        let dropout = self.plan.cell_dropouts.get(cell).and_then(|of| of.input);
        let Some(dropout) = dropout.filter(|_| self.trains) else {
            return view;
        };
        let (rows, input) = (self.batch.saturating_mul(self.time_steps), view.source);
        let width = self.plan.cells.get(cell).map_or(0, |cell| cell.features());
        self.push(StageKind::Dropout { dropout, input }, rows, width, view)
    }

    /// A cell that runs over all steps of a view, and its rows at all steps.
    fn cell(&mut self, cell: usize, view: View) -> View {
        let known = self.masks.iter().position(|&mask| mask == view.mask);
        let schedule = known.unwrap_or_else(|| {
            self.masks.push(view.mask);
            self.size
                .schedules
                .push(if self.batch == 0 { 0 } else { self.time_steps });
            self.masks.len() - 1
        });
        let rows = self.batch.saturating_mul(self.time_steps);
        let width = self.plan.cells.get(cell).map_or(0, |cell| cell.output());
        let kind = StageKind::Recurrent {
            cell,
            input: view.source,
            schedule,
        };
        self.push(kind, rows, width, View { distinct: rows, ..view })
    }

    /// What a layer shows of its rows: all steps, or the last one of each sequence.
    fn shown(&self, rows: View, return_sequences: bool) -> View {
        match return_sequences {
            true => rows,
            false => View {
                entries: self.batch,
                // without steps all of them show the row that is none
                distinct: if self.time_steps == 0 {
                    self.batch.min(1)
                } else {
                    self.batch
                },
                ..rows
            },
        }
    }

    fn push(&mut self, kind: StageKind, rows: usize, width: usize, view: View) -> View {
        self.size.stages.push(StageSize { kind, rows, width });
        View {
            source: Source::Stage(self.size.stages.len() - 1),
            width,
            ..view
        }
    }
}

#[cfg(test)]
#[path = "size_tests.rs"]
mod tests;
