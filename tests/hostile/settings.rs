//! Settings of the other kind of device: refused, not passed over.

use cellstate::{Device, Error, Instructions, Lstm, Model, Precision, Settings, Strategy};

use super::devices::devices;
use super::refused;

fn model() -> Model {
    Model::builder().add(Lstm::new(2, 3)).build().unwrap()
}

#[test]
fn settings_of_a_gpu_on_the_cpu() {
    let cpu = Device::cpu();
    for &strategy in Strategy::ALL {
        let on = model().on_with(&cpu, &Settings::new().strategy(strategy));
        refused!(
            on,
            Error::Unsupported { .. },
            format!("strategy({strategy}) on CPU"),
            "Device::named",
            "leave it out"
        );
    }
    let on = model().on_with(&cpu, &Settings::new().timed(true));
    refused!(on, Error::Unsupported { .. }, "timed(true) on CPU", "leave it out");
    let relaxed = Settings::new().precision(Precision::Relaxed);
    let on = model().on_with(&cpu, &relaxed.matrices(true));
    refused!(on, Error::Unsupported { .. }, "matrices(true) on CPU", "leave it out");
    let path = std::env::temp_dir().join("cellstate-tuning-of-nobody");
    let on = model().on_with(&cpu, &Settings::new().tuning_file(&path));
    refused!(
        on,
        Error::Unsupported { .. },
        "tuning_file(",
        "cellstate-tuning-of-nobody",
        "on CPU"
    );
    assert!(!path.exists());
    // what has a meaning there is taken
    let plain = Settings::new()
        .instructions(Instructions::Plain)
        .precision(Precision::Relaxed)
        .timed(false);
    assert!(model().on_with(&cpu, &plain).is_ok());
}

#[test]
fn settings_of_the_cpu_on_a_gpu() {
    for device in devices() {
        let name = device.name();
        if device.gpu().is_none() {
            continue;
        }
        for &instructions in Instructions::ALL {
            let on = model().on_with(&device, &Settings::new().instructions(instructions));
            let setting = format!("instructions({instructions}) on {name}");
            refused!(on, Error::Unsupported { .. }, setting, "Device::cpu()");
        }
        // the matrices of a GPU multiply halves
        let on = model().on_with(&device, &Settings::new().matrices(true));
        let setting = format!("matrices(true) on {name}");
        refused!(
            on,
            Error::Unsupported { .. },
            setting,
            "Precision::Relaxed",
            "leave it out"
        );
        let settings = Settings::new()
            .strategy(Strategy::Step)
            .timed(true)
            .matrices(false)
            .precision(Precision::Relaxed);
        assert!(model().on_with(&device, &settings).is_ok(), "{name}");
    }
}
