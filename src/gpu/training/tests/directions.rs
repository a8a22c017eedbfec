//! Both directions of a layer in the same dispatches against each by itself.

use super::solo::gradients;
use super::*;
use crate::gpu::training::recorder::AS_ON_A_GPU;
use crate::gpu::workgroups::FOLDED;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::simple_rnn::SimpleRnn;
use crate::model::plan::PlannedCell;

fn made(gpu: &Gpu, model: &Model, strategy: Strategy) -> GpuTraining {
    let settings = Settings::new().strategy(strategy);
    let made = GpuTraining::new(gpu, Arc::clone(model.plan()), &settings, "GPU".into());
    pollster::block_on(made).unwrap()
}

/// Behind each other, so that the buffers of one layer are those of the next, with other sizes.
fn model() -> Model {
    let lstm = Lstm::new(3, 5).peepholes(true).return_sequences(true);
    let builder = Model::builder().add(Bidirectional::new(lstm));
    let builder = builder.add(Bidirectional::new(Gru::new(10, 20).return_sequences(true)));
    let builder = builder.add(Bidirectional::new(SimpleRnn::new(40, 2).return_sequences(true)));
    let mut model = builder.add(Dense::new(4, 3)).build().unwrap();
    with_weights_within(&mut model, &mut Random(7), 0.3);
    model
}

#[test]
fn together_they_have_the_bits_of_each_alone() {
    let model = model();
    for gpu in gpus() {
        for (strategy, as_on_a_gpu) in [(Strategy::Step, false), (Strategy::Step, true), (Strategy::Solo, false)] {
            AS_ON_A_GPU.set(as_on_a_gpu);
            let mut training = made(gpu, &model, strategy);
            assert!(training.places.iter().all(|place| place.directions == 2));
            let together = gradients(&mut training, &mut Random(3));
            let mut training = made(gpu, &model, strategy);
            training.places = (0..6).map(Place::alone).collect();
            let cells = model.plan().cells.iter();
            let solo =
                |planned: &PlannedCell| SoloBack::of(gpu, (&planned.cell, 1), &Settings::new().strategy(strategy));
            training.solos = cells.map(|planned| solo(planned).unwrap()).collect();
            let alone = gradients(&mut training, &mut Random(3));
            AS_ON_A_GPU.set(false);
            let name = format!("{}, {strategy:?}, {as_on_a_gpu}", gpu.name());
            assert_eq!(together.parameters, alone.parameters, "{name}");
            assert_eq!(together.input, alone.input, "{name}");
            for (together, alone) in together.states.iter().zip(&alone.states) {
                assert!(together.arrays().eq(alone.arrays()), "{name}");
            }
        }
    }
}

/// More workgroups than a device has along an axis are folded over two, and are some more then.
#[test]
fn workgroups_too_many_do_nothing() {
    let lstm = Lstm::new(3, 27).peepholes(true).return_sequences(true);
    let builder = || Model::builder().add(Bidirectional::new(lstm.clone()));
    let gru = Gru::new(54, 130).return_sequences(true);
    let [one, two] = [builder(), builder().add(Bidirectional::new(gru))].map(|builder| {
        let mut model = builder.build().unwrap();
        with_weights_within(&mut model, &mut Random(7), 0.2);
        model
    });
    for gpu in gpus() {
        for (model, strategy, as_on_a_gpu) in [
            (&two, Strategy::Step, false),
            (&two, Strategy::Step, true),
            (&one, Strategy::Solo, false),
        ] {
            AS_ON_A_GPU.set(as_on_a_gpu);
            let mut training = made(gpu, model, strategy);
            // a workgroup for each position
            training.solos = training
                .solos
                .into_iter()
                .map(|solo| solo.map(|solo| solo.by(1)))
                .collect();
            let wanted = gradients(&mut training, &mut Random(3));
            // of the 10, 18 or 22 workgroups of a dispatch there are 12, 20 or 24
            FOLDED.set(4);
            let found = gradients(&mut training, &mut Random(3));
            FOLDED.set(u32::MAX);
            AS_ON_A_GPU.set(false);
            let name = format!("{}, {strategy:?}, {as_on_a_gpu}", gpu.name());
            assert_eq!(found.parameters, wanted.parameters, "{name}");
            assert_eq!(found.input, wanted.input, "{name}");
            for (found, wanted) in found.states.iter().zip(&wanted.states) {
                assert!(found.arrays().eq(wanted.arrays()), "{name}");
            }
        }
    }
}

/// Gates that leave out values of their own go position by position, and so does what a workgroup has to know whole.
#[test]
fn what_goes_position_by_position_goes_alone() {
    let lstm = Lstm::new(3, 5).return_sequences(true);
    let layers = [lstm.clone().recurrent_dropout(0.2), lstm.clone().projection(2)];
    for gpu in gpus() {
        for layer in &layers {
            let both = Bidirectional::new(layer.clone());
            let model = Model::builder().add(both).build().unwrap();
            let places = made(gpu, &model, Strategy::Step).places;
            assert_eq!(places, [Place::alone(0), Place::alone(1)]);
        }
    }
}
