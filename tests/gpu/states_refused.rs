//! States on a GPU that cannot be those of a run, and what has none.

use cellstate::{Bidirectional, Dense, Device, Embedding, Error, Gru, Lstm, Masking, Model, Runner, Sequences};
use ndarray::{Array2, Array3};

use super::adapters::{adapters, floor, open};
use super::encode::{encoder, lstm, says, values, write};
use super::states::{filled, model};
use super::support::golden::Input;

#[test]
fn wrong_states_are_refused_and_stay_as_they_were() {
    for adapter in adapters() {
        let (opened, other) = (open(&adapter, floor()), open(&adapter, floor()));
        let (gpu, runner) = (&opened.gpu, model().on(&opened.device).unwrap());
        let workspace = runner.workspace(4, 5).unwrap();
        write(gpu, &workspace.input_binding(), &Input::Values(values((4, 5), 1)));
        let batch = values((4, 5), 1);
        let batch = Sequences::from(&batch);
        let elsewhere = model().on(&other.device).unwrap();
        let shorter = lstm(&opened.device);
        let wider = Model::builder()
            .add(Bidirectional::new(Lstm::new(3, 5).return_sequences(true)))
            .add(Gru::new(10, 9).return_sequences(true))
            .add(Lstm::new(9, 7).projection(3));
        let wider = wider.build().unwrap().on(&opened.device).unwrap();
        let wrong: [(&Runner, usize, &[&str]); 4] = [
            (
                &runner,
                3,
                &["those of 4 sequences", "those of 3", "zero_gpu_states(4)", "select"],
            ),
            (
                &elsewhere,
                4,
                &["the runner's device", "another device", "states.read()"],
            ),
            (&shorter, 4, &["4 recurrent layers", "those of 1 layers"]),
            (&wider, 4, &["state 2", "[6] units", "GRU", "[9] units"]),
        ];
        for (of, rows, parts) in wrong {
            let before = filled(of, rows, 3);
            let mut states = of.gpu_states(&before).unwrap();
            let mut encoder = encoder(gpu);
            says(&workspace.encode_from(&mut encoder, &mut states).unwrap_err(), parts);
            gpu.queue().submit([encoder.finish()]);
            says(&runner.run_from_gpu(&batch, &mut states).unwrap_err(), parts);
            assert_eq!(states.read().unwrap(), before);
        }
        let before = filled(&runner, 4, 3);
        let mut states = runner.gpu_states(&before).unwrap();
        for rows in [&[0, 4][..], &[usize::MAX]] {
            let parts = ["rows below the batch of 4"];
            says(&states.reset_rows(rows).unwrap_err(), &parts);
            says(&states.select(rows).unwrap_err(), &parts);
            let mut encoder = encoder(gpu);
            says(&states.encode_reset_rows(&mut encoder, rows).unwrap_err(), &parts);
            says(&states.encode_select(&mut encoder, rows).unwrap_err(), &parts);
            gpu.queue().submit([encoder.finish()]);
        }
        let swapped = Array3::zeros((4, 3, 5));
        let error = runner
            .run_from_gpu(&Sequences::from(&swapped), &mut states)
            .unwrap_err();
        assert!(matches!(error, Error::Features { .. }));
        assert_eq!(states.read().unwrap(), before);
        opened.assert_quiet();
        other.assert_quiet();
    }
}

#[test]
fn what_has_no_states_on_a_gpu_says_so() {
    let cpu = model().on(&Device::cpu()).unwrap();
    says(
        &cpu.zero_gpu_states(3).unwrap_err(),
        &["CPU", "run_from", "states that stay on the GPU"],
    );
    says(&cpu.gpu_states(&cpu.zero_state(3)).unwrap_err(), &["CPU"]);
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let sections = Model::builder()
            .add(Lstm::new(3, 4).return_sequences(true))
            .add(Masking::new(0.0))
            .add(Lstm::new(4, 4));
        let sections = sections.build().unwrap().on(&opened.device).unwrap();
        says(&sections.zero_gpu_states(3).unwrap_err(), &["Masking", "run_from"]);
        let runner = model().on(&opened.device).unwrap();
        let states = lstm(&opened.device).zero_state(3);
        says(
            &runner.gpu_states(&states).unwrap_err(),
            &["4 recurrent layers", "1 states"],
        );
        for batch in [1 << 30, usize::MAX] {
            let error = runner.zero_gpu_states(batch).unwrap_err();
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        }
        // a model without states has none, for any batch
        let dense = Model::builder().add(Embedding::new(5, 3)).add(Dense::new(3, 2));
        let dense = dense.build().unwrap().on(&opened.device).unwrap();
        let tokens = Array2::<i32>::zeros((3, 2));
        let none = &mut dense.zero_gpu_states(3).unwrap();
        assert_eq!(
            dense
                .run_from_gpu(&Sequences::from(&tokens), none)
                .unwrap()
                .values()
                .shape(),
            [3, 2, 2]
        );
        assert!(none.read().unwrap().is_empty());
        opened.assert_quiet();
    }
}
