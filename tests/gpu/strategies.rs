//! Strategies that are named: all of them give the same, and one that cannot be done is refused.

use std::process::Command;

use cellstate::{Device, Error, Lstm, Model, Settings, Strategy};

use super::adapters::{adapters, floor, open};
use super::devices::devices;
use super::drawn::is_drawn;
use super::models::OnDevice;
use super::zoo::{Kind, check, kinds};

/// A kind of model by this strategy, if that can be done; else the refusal has to say so.
fn by(kind: &Kind, device: &Device, strategy: Strategy) -> Option<OnDevice> {
    match OnDevice::with(&kind.layers, device, &Settings::new().strategy(strategy)) {
        Ok(runner) => Some(runner),
        Err(error) => {
            let text = error.to_string();
            assert!(matches!(error, Error::Unsupported { .. }), "{}: {text}", kind.name);
            for part in [strategy.name(), " units", &device.name(), "leave it out"] {
                assert!(text.contains(part), "{}: {part}: {text}", kind.name);
            }
            None
        }
    }
}

#[test]
fn every_strategy_gives_what_the_cpu_gives() {
    const BATCHES: [(usize, usize, u64); 7] = [
        (4, 9, 0),
        (4, 9, 1),
        (1, 17, 2),
        (9, 4, 3),
        (33, 3, 1),
        (2, 0, 0),
        (0, 3, 0),
    ];
    for device in devices().iter().skip(1) {
        for (size, (features, units)) in [(3, 5), (50, 31), (2, 70)].into_iter().enumerate() {
            let kinds = kinds(features, units).into_iter().enumerate();
            for (_, kind) in kinds.filter(|(number, _)| is_drawn(number + size, 2)) {
                let cpu = kind.on(&Device::cpu());
                for &strategy in Strategy::ALL {
                    let Some(gpu) = by(&kind, device, strategy) else {
                        let everywhere = strategy == Strategy::Step;
                        let small = strategy == Strategy::Solo && units < 10 && !kind.name.contains("softmax");
                        assert!(!everywhere && !small, "{}: {strategy} is refused", kind.name);
                        continue;
                    };
                    for (batch, time_steps, seed) in BATCHES {
                        let name = format!("{}, {units} units, {strategy}: ({batch}, {time_steps})", kind.name);
                        let explained = gpu.runner().explain(batch, time_steps).unwrap();
                        assert!(
                            explained.strategies().iter().all(|&one| one == strategy),
                            "{name}: {explained}"
                        );
                        check(&name, &gpu, &cpu, &kind.batch(batch, time_steps, seed));
                    }
                }
            }
        }
    }
}

/// The portable floor, where there are neither immediates nor time stamps.
#[test]
fn every_strategy_runs_on_the_floor() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let kinds = kinds(3, 64).into_iter().enumerate();
        for (_, kind) in kinds.filter(|(number, _)| is_drawn(*number, 2)) {
            let cpu = kind.on(&Device::cpu());
            for gpu in Strategy::ALL
                .iter()
                .filter_map(|&strategy| by(&kind, &opened.device, strategy))
            {
                for (batch, time_steps, seed) in [(3, 8, 1), (16, 5, 0)] {
                    check(&kind.name, &gpu, &cpu, &kind.batch(batch, time_steps, seed));
                }
            }
        }
        opened.assert_quiet();
    }
}

#[test]
fn the_one_that_is_asked_for_is_explained() {
    for device in devices().iter().skip(1) {
        let model = Model::builder().add(Lstm::new(3, 8)).build().unwrap();
        for &strategy in Strategy::ALL {
            let Ok(runner) = model.on_with(device, &Settings::new().strategy(strategy)) else {
                continue;
            };
            let explained = runner.explain(4, 9).unwrap();
            assert_eq!(explained.strategies(), [strategy]);
            let text = explained.to_string();
            for part in [
                "device: ",
                "driver ",
                "limits: ",
                "Settings::strategy asks for it",
                "layer 0 (LSTM, 3 features, 8 units)",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
            match strategy {
                Strategy::Step => assert!(
                    text.contains("9 steps of 4 sequences in 1 segment") && text.contains(" 9 dispatches"),
                    "{text}"
                ),
                Strategy::Solo => assert!(text.contains(" 1 dispatch"), "{text}"),
                _ => {}
            }
        }
    }
}

#[test]
fn explaining_makes_nothing_and_refuses_what_memory_refuses() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        for kind in kinds(3, 5) {
            let gpu = kind.on(&opened.device);
            let before = opened.made();
            for (batch, time_steps) in [(4, 9), (1, 100_000), (0, 5), (2, 0), (0, 0)] {
                let explained = gpu.runner().explain(batch, time_steps).unwrap();
                assert_eq!(
                    explained.to_string().lines().count(),
                    explained.lines().len(),
                    "{explained}"
                );
            }
            for (batch, time_steps) in [(1 << 27, 8), (usize::MAX, 9), (9, usize::MAX), (1 << 31, 1 << 31)] {
                let error = gpu.runner().explain(batch, time_steps).unwrap_err();
                assert!(matches!(error, Error::TooLarge { .. }), "{}: {error}", kind.name);
                assert_eq!(gpu.runner().gpu_memory(batch, time_steps), Err(error), "{}", kind.name);
            }
            assert_eq!(opened.made(), before, "{}", kind.name);
        }
        opened.assert_quiet();
    }
}

#[test]
fn directions_that_run_apart_say_why() {
    let cases = [
        (Lstm::new(3, 5), "both directions in the same dispatches"),
        (Lstm::new(3, 6), "they differ in units"),
        (
            Lstm::new(3, 5).activation(cellstate::Activation::Relu),
            "they differ in activations",
        ),
    ];
    for device in devices().iter().skip(1) {
        for (backward, says) in &cases {
            let layer = cellstate::Bidirectional::new(Lstm::new(3, 5)).backward_layer(backward.clone());
            let explained = layer.on(device).unwrap().explain(4, 9).unwrap();
            assert!(explained.to_string().contains(says), "{says}: {explained}");
            assert_eq!(
                explained.strategies().len(),
                1 + usize::from(says.contains("differ")),
                "{explained}"
            );
        }
    }
}

#[test]
fn the_cpu_says_how_it_runs() {
    for kind in kinds(3, 5) {
        let runner = kind.on(&Device::cpu());
        let explained = runner.runner().explain(4, 9).unwrap();
        assert!(explained.to_string().starts_with("device: CPU\n"), "{explained}");
        assert!(explained.strategies().is_empty());
        let tuning = runner.runner().tune(4, 9).unwrap();
        assert!(
            tuning.layers().is_empty() && tuning.to_string().contains("CPU"),
            "{tuning}"
        );
        for (batch, time_steps) in [(usize::MAX, 9), (9, usize::MAX)] {
            let error = runner.runner().explain(batch, time_steps).unwrap_err();
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
            assert_eq!(runner.runner().tune(batch, time_steps), Err(error));
        }
    }
}

/// The environment is read when a model is put on a device, so this test calls itself with another one.
#[test]
fn the_environment_names_one_where_it_can_be_done() {
    const ASKED: &str = "CELLSTATE_STRATEGY";
    let Ok(asked) = std::env::var(ASKED) else {
        for asked in ["step", "Solo", "sideways"] {
            let test = "strategies::the_environment_names_one_where_it_can_be_done";
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test, "--nocapture"])
                .env(ASKED, asked)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&child.stdout);
            assert!(
                child.status.success() && said.contains("1 passed"),
                "{asked}: {said}{}",
                String::from_utf8_lossy(&child.stderr)
            );
        }
        return;
    };
    for device in devices().iter().skip(1) {
        let on = |settings: &Settings| {
            Model::builder()
                .add(Lstm::new(3, 8))
                .build()
                .unwrap()
                .on_with(device, settings)
        };
        let Ok(strategy) = asked.parse::<Strategy>() else {
            let refused = on(&Settings::new());
            assert!(
                matches!(&refused, Err(Error::Value { argument, .. }) if argument == ASKED),
                "{refused:?}"
            );
            continue;
        };
        let runner = on(&Settings::new()).unwrap();
        runner.tune(512, 3).unwrap();
        let explained = runner.explain(512, 3).unwrap();
        assert_eq!(explained.strategies(), [strategy]);
        assert!(
            explained.to_string().contains("CELLSTATE_STRATEGY asks for it"),
            "{explained}"
        );
        // the settings stand before the environment
        let step = on(&Settings::new().strategy(Strategy::Step)).unwrap();
        assert_eq!(step.explain(512, 3).unwrap().strategies(), [Strategy::Step]);
        // where it cannot be done another one is taken
        let softmax = Lstm::new(3, 8)
            .activation(cellstate::Activation::Softmax)
            .on(device)
            .unwrap();
        let explained = softmax.explain(4, 9).unwrap();
        assert_eq!(explained.strategies(), [Strategy::Step]);
        assert_eq!(
            explained.to_string().contains("which cannot be done"),
            strategy != Strategy::Step,
            "{explained}"
        );
    }
}

/// The table of `gpu/choice.rs`, at its edges.
#[test]
fn a_software_adapter_takes_solo_for_small_steps() {
    use Strategy::{Solo, Step};
    for device in devices().iter().skip(1) {
        if device.gpu().unwrap().info().device_type != wgpu::DeviceType::Cpu
            || std::env::var_os("CELLSTATE_STRATEGY").is_some()
        {
            continue;
        }
        for (units, batch, strategy) in [
            (8, 576, Solo),
            (8, 577, Step),
            (96, 4, Solo),
            (96, 5, Step),
            (192, 1, Solo),
            (193, 1, Step),
        ] {
            let explained = Lstm::new(2, units).on(device).unwrap().explain(batch, 7).unwrap();
            assert_eq!(
                explained.strategies(),
                [strategy],
                "{units} units, batch {batch}: {explained}"
            );
            let both = cellstate::Bidirectional::new(Lstm::new(2, units)).on(device).unwrap();
            assert_eq!(
                both.explain(batch, 7).unwrap().strategies(),
                [Solo],
                "{units} units, batch {batch}"
            );
            assert_eq!(
                both.explain(2 * batch + 1, 7).unwrap().strategies(),
                [Step],
                "{units} units, batch {batch}"
            );
        }
    }
}
