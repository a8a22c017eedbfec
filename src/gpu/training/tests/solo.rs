//! Many steps backwards in one dispatch against the steps one by one.

use super::*;
use crate::activation::Activation;
use crate::gpu::strategy::numbers::H200;
use crate::gpu::strategy::solo_shape::Limits;
use crate::gpu::training::recorder::{AS_ON_A_GPU, Software};
use crate::gpu::training::solo_back::SoloBack;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::simple_rnn::SimpleRnn;

/// More positions than any workgroup has, and more steps than a launch.
const SIZE: (usize, usize) = (11, 13);

/// The gradients of a batch of sequences of several lengths, one of which has no step, from states that are not zero.
pub(super) fn gradients(training: &mut GpuTraining, random: &mut Random) -> PlanGradients {
    gradients_of(SIZE, training, random)
}

/// The same of another size; a single sequence is whole.
fn gradients_of((batch, steps): (usize, usize), training: &mut GpuTraining, random: &mut Random) -> PlanGradients {
    let plan = Arc::clone(&training.model.plan);
    let values = random.array(&[batch, steps, plan.features.unwrap()], 1.0);
    let values: ndarray::Array3<f32> = values.into_dimensionality().unwrap();
    let input = Input::Values(values.view());
    let mask = Array2::from_shape_fn((batch, steps), |(sequence, step)| {
        batch == 1 || step < sequence * 5 % (steps + 1)
    });
    let flow = Arc::new(Flow::in_training(&plan, input, Some(mask.view())).unwrap());
    let mut states = random.states(&plan, batch, 1.0);
    let mut output = Output::default();
    pollster::block_on(training.forward(&flow, input, Some(&mut states), None, &mut output)).unwrap();
    let outputs = flow.outputs.iter();
    let upstream = Upstream {
        outputs: outputs.map(|placed| random.array(&placed.shape, 1.0)).collect(),
        states: Some(random.states(&plan, batch, 1.0)),
    };
    pollster::block_on(training.backward(&flow, input, &upstream, Wants::ALL)).unwrap()
}

fn assert_near(what: &str, given: impl Iterator<Item = f32>, wanted: impl Iterator<Item = f32> + Clone) {
    let largest = wanted.clone().fold(0.0_f32, |most, value| most.max(value.abs()));
    assert!(largest > 0.0, "{what} is nothing");
    for (given, wanted) in given.zip(wanted) {
        assert!(
            (given - wanted).abs() <= 1e-5 * largest,
            "{what}: {given} for {wanted} of {largest}"
        );
    }
}

fn check(mut model: Model, rows: usize) {
    let units = model.plan().cells[0].units();
    // the states of many units by large weights are chaos
    with_weights_within(&mut model, &mut Random(7), 1.5 / (units as f32).sqrt());
    for gpu in gpus() {
        let settings = Settings::new().strategy(Strategy::Step);
        let make = || {
            let made = GpuTraining::new(gpu, Arc::clone(model.plan()), &settings, "GPU".into());
            pollster::block_on(made).unwrap()
        };
        let wanted = gradients(&mut make(), &mut Random(3));
        let mut training = make();
        let solo = Settings::new().strategy(Strategy::Solo);
        training.solos = (model.plan().cells.iter().zip(&training.places))
            .map(|(planned, place)| {
                let cell = (&planned.cell, place.directions);
                Some(SoloBack::of(gpu, cell, &solo).unwrap().unwrap().by(rows))
            })
            .collect();
        let given = gradients(&mut training, &mut Random(3));
        let name = format!("{}, {units} units, {rows} positions", gpu.name());
        for ((path, given), (_, wanted)) in given.parameters.iter().zip(&wanted.parameters) {
            assert_near(
                &format!("{name}, {path}"),
                given.iter().copied(),
                wanted.iter().copied(),
            );
        }
        let input = [&given, &wanted].map(|of| of.input.as_ref().unwrap().iter().copied());
        let [of_given, of_wanted] = input;
        assert_near(&format!("{name}, input"), of_given, of_wanted);
        for (given, wanted) in given.states.iter().zip(&wanted.states) {
            for (given, wanted) in given.arrays().zip(wanted.arrays()) {
                assert_near(&format!("{name}, state"), given.iter().copied(), wanted.iter().copied());
            }
        }
        let again = gradients(&mut training, &mut Random(3));
        assert!(again.parameters == given.parameters, "{name}: other bits");
    }
}

/// As on a GPU, whose numbers choose.
#[test]
fn the_numbers_of_a_gpu_choose_it() {
    let gru = Gru::new(3, 20).return_sequences(true);
    let model = Model::builder().add(gru).build().unwrap();
    for gpu in gpus() {
        let settings = Settings::new().strategy(Strategy::Step);
        let made = GpuTraining::new(gpu, Arc::clone(model.plan()), &settings, "GPU".into());
        let mut training = pollster::block_on(made).unwrap();
        let wanted = gradients(&mut training, &mut Random(3));
        let cell = &model.plan().cells[0].cell;
        let solo = SoloBack::within((cell, 1), (Some(H200), false), Limits::of(gpu), gpu.most_passes());
        training.solos = vec![solo];
        let given = gradients(&mut training, &mut Random(3));
        let known = gpu.known_pipelines();
        assert!(known.iter().any(|(name, _)| *name == "solo_back_gru"), "{}", gpu.name());
        for ((path, given), (_, wanted)) in given.parameters.iter().zip(&wanted.parameters) {
            assert_near(path, given.iter().copied(), wanted.iter().copied());
        }
    }
}

/// In software, steps and products of the way back have texts of their own, which give the bits of those that a GPU runs.
#[test]
fn texts_for_software_give_the_same_bits() {
    let model = |features, units| {
        let both = Bidirectional::new(Lstm::new(features, units).peepholes(true).return_sequences(true));
        let builder = Model::builder().add(both);
        let builder = builder.add(Gru::new(2 * units, units + 2).return_sequences(true));
        let builder = builder.add(SimpleRnn::new(units + 2, 1).return_sequences(true));
        builder.add(Dense::new(1, 3)).build().unwrap()
    };
    // a single sequence has steps and sums of its own: these are cut, for it is long
    for (features, units, size) in [(3, 5, SIZE), (70, 65, SIZE), (3, 6, (1, 600))] {
        let mut model = model(features, units);
        with_weights_within(&mut model, &mut Random(7), 0.3);
        for gpu in gpus() {
            let settings = Settings::new().strategy(Strategy::Step);
            let made = GpuTraining::new(gpu, Arc::clone(model.plan()), &settings, "GPU".into());
            let mut training = pollster::block_on(made).unwrap();
            let in_software = gradients_of(size, &mut training, &mut Random(3));
            let known = gpu.known_pipelines();
            let runs = |wanted: &str| known.iter().any(|(name, _)| *name == wanted);
            if Software::of(gpu).is_some() {
                let steps = ["lstm", "gru", "simple_rnn"].map(|cell| format!("step_back_alone_{cell}"));
                let others = ["product_alone", "product_alone_fours", "turn_fours"].map(str::to_owned);
                for name in steps.iter().chain(&others) {
                    assert!(runs(name), "{} runs no {name}", gpu.name());
                }
            }
            AS_ON_A_GPU.set(true);
            let on_a_gpu = gradients_of(size, &mut training, &mut Random(3));
            AS_ON_A_GPU.set(false);
            assert_eq!(
                in_software.parameters,
                on_a_gpu.parameters,
                "{}, {units} units",
                gpu.name()
            );
            assert_eq!(in_software.input, on_a_gpu.input, "{}, {units} units", gpu.name());
        }
    }
}

/// The kernel in registers alone, in workgroup memory too, and in the cache.
#[test]
fn an_lstm_of_each_height() {
    let lstm = |units| Lstm::new(3, units).return_sequences(true);
    let both = Bidirectional::new(lstm(5).peepholes(true).clip(0.9));
    check(Model::builder().add(both).build().unwrap(), 8);
    check(Model::builder().add(lstm(17)).build().unwrap(), 2);
    check(Model::builder().add(lstm(100)).build().unwrap(), 4);
}

#[test]
fn the_other_cells() {
    let gru = Gru::new(3, 33).return_sequences(true);
    check(Model::builder().add(gru).build().unwrap(), 1);
    let rnn = SimpleRnn::new(3, 130)
        .activation(Activation::Gelu)
        .return_sequences(true);
    check(Model::builder().add(Bidirectional::new(rnn)).build().unwrap(), 4);
}

/// The environment is read when a training is made, so this test calls itself with another one.
#[test]
fn the_environment_names_it_as_the_settings_do() {
    const ASKED: &str = "CELLSTATE_STRATEGY";
    let Ok(asked) = std::env::var(ASKED) else {
        for asked in ["solo", "step"] {
            let test = "gpu::training::tests::solo::the_environment_names_it_as_the_settings_do";
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            let ran = child.args(["--exact", test]).env(ASKED, asked).output().unwrap();
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && said.contains("1 passed"), "{asked}: {said}");
        }
        return;
    };
    let model = Model::builder().add(Lstm::new(3, 5)).build().unwrap();
    let settings = Settings::new();
    for gpu in gpus() {
        let made = GpuTraining::new(gpu, Arc::clone(model.plan()), &settings, Arc::from("GPU"));
        let solos = pollster::block_on(made).unwrap().solos;
        assert_eq!(solos[0].is_some(), asked == "solo", "{}", gpu.name());
    }
}
