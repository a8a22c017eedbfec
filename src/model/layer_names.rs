//! The layers of a plan by name, as those meet them who look at what a GPU does: `layer 1 (LSTM)`.

use std::sync::Arc;

use crate::model::plan::{Operation, Plan};
use crate::model::transform::Transform;

/// The names of the layers of a plan. Those of a stack and of a `Bidirectional` also have names for each of their cells.
#[derive(Debug, Default)]
pub(crate) struct LayerNames {
    /// For each cell that of its layer, and its own.
    cells: Vec<(Arc<str>, Arc<str>)>,
    denses: Vec<Arc<str>>,
    tables: Vec<Arc<str>>,
    transforms: Vec<Arc<str>>,
    /// Of those that change the width of rows, one behind the other.
    reshapes: Vec<Arc<str>>,
}

impl LayerNames {
    pub(crate) fn of(plan: &Plan) -> Self {
        let unnamed: Arc<str> = "layer".into();
        let mut names = Self {
            cells: vec![(Arc::clone(&unnamed), Arc::clone(&unnamed)); plan.cells.len()],
            denses: vec![Arc::clone(&unnamed); plan.denses.len()],
            tables: vec![Arc::clone(&unnamed); plan.tables.len()],
            transforms: vec![unnamed; plan.transforms.len()],
            reshapes: Vec::new(),
        };
        for (layer, operation) in (plan.begins_at.0..).zip(&plan.operations) {
            let name = |what: &str| -> Arc<str> { format!("{} {layer} ({what})", plan.noun()).into() };
            match operation {
                Operation::Recurrent { cells, .. } => match cells.as_slice() {
                    [cell] => {
                        let class = plan.cells.get(*cell).map_or("", |planned| planned.cell.class());
                        set(&mut names.cells, *cell, (name(class), name(class)));
                    }
                    cells => {
                        for (number, &cell) in cells.iter().enumerate() {
                            let own = name(&format!("StackedRNNCells, cell {number}"));
                            set(&mut names.cells, cell, (Arc::clone(&own), own));
                        }
                    }
                },
                Operation::Bidirectional { forward, backward, .. } => {
                    for (cell, direction) in [(forward, "forward"), (backward, "backward")] {
                        let own = name(&format!("Bidirectional, {direction}"));
                        set(&mut names.cells, *cell, (name("Bidirectional"), own));
                    }
                }
                Operation::Dense { dense } => set(&mut names.denses, *dense, name("Dense")),
                Operation::Embedding { table, .. } => set(&mut names.tables, *table, name("Embedding")),
                Operation::Transform { transform } => {
                    let class = match plan.transforms.get(*transform) {
                        Some(Transform::Normalize { .. }) => "LayerNormalization",
                        Some(Transform::Scale { by: Some(_), .. }) => "BatchNormalization",
                        _ => "Activation",
                    };
                    set(&mut names.transforms, *transform, name(class));
                }
                Operation::Reshape {
                    from: [_, from],
                    to: [_, to],
                    flattens,
                } if from != to => names.reshapes.push(name(if *flattens { "Flatten" } else { "Reshape" })),
                // the others have nothing on a GPU
                _ => {}
            }
        }
        names
    }

    /// The layer of a cell.
    pub(crate) fn layer_of(&self, cell: usize) -> Arc<str> {
        self.cells
            .get(cell)
            .map(|(layer, _)| Arc::clone(layer))
            .unwrap_or_default()
    }

    /// A cell by itself.
    pub(crate) fn cell(&self, cell: usize) -> Arc<str> {
        self.cells.get(cell).map(|(_, own)| Arc::clone(own)).unwrap_or_default()
    }

    /// A `Dense` layer.
    pub(crate) fn dense(&self, dense: usize) -> Arc<str> {
        self.denses.get(dense).map(Arc::clone).unwrap_or_default()
    }

    /// What changes each row by itself.
    pub(crate) fn transform(&self, transform: usize) -> Arc<str> {
        self.transforms.get(transform).map(Arc::clone).unwrap_or_default()
    }

    /// What changes the width of rows, by its number among those.
    pub(crate) fn reshape(&self, number: usize) -> Arc<str> {
        self.reshapes.get(number).map(Arc::clone).unwrap_or_default()
    }

    /// An `Embedding`.
    pub(crate) fn table(&self, table: usize) -> Arc<str> {
        self.tables.get(table).map(Arc::clone).unwrap_or_default()
    }
}

fn set<T>(list: &mut [T], number: usize, name: T) {
    if let Some(place) = list.get_mut(number) {
        *place = name;
    }
}
