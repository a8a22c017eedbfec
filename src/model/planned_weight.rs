//! The weights of a plan by name.

use crate::parameters::{Parameters, Role};

/// A weight of the model, and what of the plan has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlannedWeight {
    pub(crate) path: String,
    pub(crate) role: Role,
    pub(crate) shape: Vec<usize>,
    pub(crate) owner: Owner,
}

/// What of a plan has a weight, by its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Cell(usize),
    Dense(usize),
    Transform(usize),
    Table(usize),
}

/// In the order in which a layer names them.
const ROLES: [Role; 10] = [
    Role::Kernel,
    Role::RecurrentKernel,
    Role::Bias,
    Role::Peepholes,
    Role::Projection,
    Role::Embeddings,
    Role::Gamma,
    Role::Beta,
    Role::MovingMean,
    Role::MovingVariance,
];

impl PlannedWeight {
    /// The weights of the layer with this path, in the order of the model's parameters.
    pub(super) fn all(path: &str, owner: Owner, parameters: &Parameters) -> impl Iterator<Item = Self> {
        ROLES.into_iter().filter_map(move |role| {
            let parameter = parameters.find(&format!("{path}/{role}"))?;
            Some(Self {
                path: parameter.path().to_owned(),
                role,
                shape: parameter.values().shape().to_vec(),
                owner,
            })
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::layer::TimeDistributed;
    use crate::layer::batch_normalization::BatchNormalization;
    use crate::layer::bidirectional::Bidirectional;
    use crate::layer::dense::Dense;
    use crate::layer::dropout::Dropout;
    use crate::layer::embedding::Embedding;
    use crate::layer::gru::Gru;
    use crate::layer::layer_normalization::LayerNormalization;
    use crate::layer::lstm::Lstm;
    use crate::layer::masking::Masking;
    use crate::model::Model;

    #[test]
    fn a_plan_names_the_weights_in_the_order_of_the_model() {
        let model = Model::builder()
            .add(Embedding::new(9, 2))
            .add(Lstm::new(2, 5).peepholes(true).projection(3).return_sequences(true))
            .add(Lstm::new(3, 4).return_sequences(true))
            .add(BatchNormalization::new(4))
            .add(Dropout::new(0.5))
            .add(Bidirectional::new(Gru::new(4, 3)))
            .add(LayerNormalization::new(6))
            .add(Dense::new(6, 2))
            .build()
            .unwrap();
        let planned = &model.plan().weights;
        let (parameters, mut owned) = (model.parameters(), 0);
        assert_eq!(planned.len(), parameters.len());
        for (planned, parameter) in planned.iter().zip(parameters.iter()) {
            assert_eq!(
                (planned.path.as_str(), planned.role, planned.shape.as_slice()),
                (parameter.path(), parameter.role(), parameter.values().shape())
            );
            owned += usize::from(matches!(planned.owner, Owner::Cell(2 | 3)));
        }
        assert_eq!(owned, 6);
        assert_eq!(model.plan().dropouts[0].layer, 4);
    }

    /// No two of a model leave out by the same random numbers.
    #[test]
    fn every_dropout_has_random_numbers_of_its_own() {
        let cell = |features| Lstm::new(features, 3).dropout(0.5);
        let rows = || cell(3).return_sequences(true);
        let within = TimeDistributed::new(Dropout::new(0.5))
            .add(Bidirectional::new(cell(2).return_sequences(true)))
            .add(Dropout::new(0.5))
            .add(cell(6));
        let model = Model::builder()
            .add(within)
            .add(Dropout::new(0.5))
            .add(rows())
            .add(Masking::new(0.0))
            .add(rows().recurrent_dropout(0.5))
            .add(Dropout::new(0.5));
        let model = model.build().unwrap();
        let mut numbers: Vec<u32> = Vec::new();
        for plan in model.plans() {
            numbers.extend(plan.dropouts.iter().map(|dropout| dropout.layer));
            let by_gate = plan.cell_dropouts.iter().filter_map(|cell| cell.by_gate);
            numbers.extend(by_gate.map(|dropout| dropout.layer));
        }
        assert_eq!(numbers.len(), 9);
        assert!(numbers.iter().all(|&number| number < 1 << 16), "{numbers:?}");
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 9, "{numbers:?}");
    }
}
