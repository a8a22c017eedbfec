//! The same bits for any number of threads, in any company, with little memory.

use rayon::ThreadPoolBuilder;

use super::support::cell_kinds::CellKind;
use super::support::golden;
use super::support::layers::{LayerSpec, Merge, RecurrentOptions};
use super::support::masks::Pattern;
use super::support::random::Random;
use super::*;

#[test]
fn the_same_bits_for_every_number_of_threads() {
    let random = &mut Random::new(12);
    let options = RecurrentOptions {
        return_sequences: true,
        ..RecurrentOptions::default()
    };
    for kind in [
        CellKind::Lstm,
        CellKind::AllOptions,
        CellKind::Gru,
        CellKind::GruResetBefore,
        CellKind::SimpleRnn,
    ] {
        let layers = vec![
            random.batch_normalization(5),
            LayerSpec::Bidirectional {
                forward: kind.cell(random, 5, 33),
                backward: kind.cell(random, 5, 33),
                options,
                merge: Merge::Concat,
            },
            LayerSpec::Dropout {
                rate: 0.3,
                spatial: false,
            },
            LayerSpec::Recurrent {
                cell: kind.cell(random, 66, 9),
                options,
            },
            random.layer_normalization(9),
        ];
        let mask = Pattern::Mixed.mask(11, 40, random);
        let input = golden::Input::Values(random.array3((11, 40, 5), 1.0));
        let trial = Trial::new(layers, (input, mask), random);
        let noise = Some(Noise { seed: 5, batch: 2 });
        let bits = |threads: usize, is_low: bool| -> Vec<(String, Vec<u32>)> {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let lists = pool.install(|| lists(&trial.gradients_in(noise, is_low)));
            let bits = |list: Vec<f32>| list.into_iter().map(f32::to_bits).collect();
            lists.into_iter().map(|(name, list)| (name, bits(list))).collect()
        };
        for is_low in [false, true] {
            let one = bits(1, is_low);
            for threads in [2, 3, 5] {
                let found = bits(threads, is_low);
                assert_eq!(one, found, "{kind:?}, {threads} threads, little memory: {is_low}");
            }
        }
    }
}

/// A few sequences of many units: with several threads crews run them forward and backward, else one thread does.
#[test]
fn crews_give_the_bits_of_one_thread() {
    let random = &mut Random::new(14);
    let options = RecurrentOptions {
        return_sequences: true,
        ..RecurrentOptions::default()
    };
    for (batch, kind) in [
        (1, CellKind::Lstm),
        (3, CellKind::Lstm),
        (3, CellKind::Peepholes),
        (3, CellKind::Gru),
    ] {
        let layers = vec![LayerSpec::Recurrent {
            cell: kind.cell(random, 5, 150),
            options,
        }];
        let mask = Pattern::Mixed.mask(batch, 14, random);
        let input = golden::Input::Values(random.array3((batch, 14, 5), 1.0));
        let trial = Trial::new(layers, (input, mask), random);
        let bits = |threads: usize, noise: Option<Noise>| -> Vec<(String, Vec<u32>)> {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let lists = pool.install(|| lists(&trial.gradients_with(noise)));
            let bits = |list: Vec<f32>| list.into_iter().map(f32::to_bits).collect();
            lists.into_iter().map(|(name, list)| (name, bits(list))).collect()
        };
        let one = bits(1, None);
        // what is kept while it runs, and what a second run keeps, is the same
        let kept = Some(Noise { seed: 5, batch: 2 });
        for (threads, noise) in [(1, kept), (2, None), (2, kept), (3, kept), (5, kept)] {
            assert_eq!(one, bits(threads, noise), "{kind:?}, batch {batch}, {threads} threads");
        }
    }
}

/// A second batch through the same training, larger or smaller, begins with nothing of the first.
#[test]
fn what_ran_before_leaves_nothing() {
    let random = &mut Random::new(13);
    let options = RecurrentOptions {
        return_sequences: true,
        ..RecurrentOptions::default()
    };
    let layers = vec![
        LayerSpec::Recurrent {
            cell: random.cell(5, 6),
            options,
        },
        LayerSpec::Dropout {
            rate: 0.3,
            spatial: false,
        },
        LayerSpec::Recurrent {
            cell: random.gru(6, 3, false),
            options,
        },
    ];
    let mut trials = Vec::new();
    for (batch, time_steps) in [(4, 7), (9, 3), (1, 20), (40, 50), (30, 60), (4, 7)] {
        let mask = Pattern::Mixed.mask(batch, time_steps, random);
        let input = golden::Input::Values(random.array3((batch, time_steps, 5), 1.0));
        trials.push(Trial::new(layers.clone(), (input, mask), random));
    }
    for is_low in [false, true] {
        check_one_behind_the_other(&trials, is_low);
    }
}

fn check_one_behind_the_other(trials: &[Trial], is_low: bool) {
    let model = trials[0].model();
    let mut training = CpuTraining::new(Arc::clone(model.plan()), &Settings::new(), "CPU".into()).unwrap();
    training.low_memory(is_low);
    let mut output = Output::default();
    for (number, trial) in trials.iter().enumerate() {
        let flow = trial.flow(&model);
        // what is kept for one way back is not what another needs
        let noise = |batch| Some(Noise { seed: 5, batch });
        for noise in [noise(number as u64), None, noise(7), None] {
            let mut before = states(&trial.initial);
            training
                .forward(&flow, trial.input(), Some(&mut before), noise, &mut output)
                .unwrap();
            let gradients = training.backward(&flow, trial.input(), &trial.upstream(), true);
            assert_eq!(lists(&gradients.unwrap()), lists(&trial.gradients_in(noise, is_low)));
        }
        let gradients = training
            .backward(&flow, trial.input(), &trial.upstream(), true)
            .unwrap();
        let without = training
            .backward(&flow, trial.input(), &trial.upstream(), false)
            .unwrap();
        assert!(without.input.is_none() && without.parameters == gradients.parameters);
        // what other weights have run is not what these go back through
        training.set_plan(Arc::clone(model.plan())).unwrap();
        let refused = training.backward(&flow, trial.input(), &trial.upstream(), true);
        assert!(refused.is_err());
        training.forward(&flow, trial.input(), None, None, &mut output).unwrap();
        let other = trial.flow(&model);
        assert!(
            training
                .backward(&other, trial.input(), &trial.upstream(), true)
                .is_err()
        );
    }
}
