//! The devices that the tests run on: the CPU, and every GPU adapter asked for.

use cellstate::Device;

/// The CPU, then the GPUs.
///
/// `CELLSTATE_ADAPTERS` names the adapters, separated by commas (each as `Device::named` takes it); otherwise all that
/// there are. If there is none, that is printed; with `CELLSTATE_REQUIRE_GPU=1` it is a failure.
#[allow(dead_code, reason = "each test binary uses a part of this")]
pub(crate) fn devices() -> Vec<Device> {
    let devices = quiet_devices();
    if devices.len() == 1 {
        println!("skipped: no GPU adapter; only the CPU is tested");
    }
    for device in &devices {
        println!("device: {}", device.name());
    }
    devices
}

/// The same without a word about them.
pub(crate) fn quiet_devices() -> Vec<Device> {
    let names: Vec<String> = match std::env::var("CELLSTATE_ADAPTERS") {
        Ok(list) => list
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
        Err(_) => Device::adapters(),
    };
    let mut devices = vec![Device::cpu()];
    for name in &names {
        match Device::named(name) {
            Ok(device) => devices.push(device),
            Err(error) => panic!("the adapter {name:?}: {error}"),
        }
    }
    if names.is_empty() {
        let required = std::env::var("CELLSTATE_REQUIRE_GPU").is_ok_and(|value| value == "1");
        assert!(!required, "CELLSTATE_REQUIRE_GPU=1, but there is no GPU adapter");
    }
    let cpu = devices[0].name();
    assert!(
        devices[1..].iter().all(|device| device.name() != cpu),
        "an adapter that turns out to be the CPU path"
    );
    devices
}
