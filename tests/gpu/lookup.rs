//! Finding a device by name, or the best one.

use std::process::Command;
use std::thread;

use cellstate::{Device, Error, Lstm, Sequences};

use super::adapters::adapters;
use super::devices;
use super::support::judge::assert_same_bits;

#[test]
fn every_adapter_is_found_by_its_name_in_any_case() {
    devices::devices(); // says what is missing
    for name in Device::adapters() {
        for name in [name.clone(), name.to_lowercase(), name.to_uppercase()] {
            let device = Device::named(&name).unwrap();
            assert_eq!(device.name().to_lowercase(), name.to_lowercase());
            assert!(device.gpu().is_some());
        }
    }
    for name in ["cpu", "CPU", "Cpu"] {
        let device = Device::named(name).unwrap();
        assert_eq!(device.name(), "CPU");
        assert!(device.gpu().is_none());
    }
}

/// Whoever asks, by whatever name and on whatever thread, is given the same device.
#[test]
fn all_who_ask_get_the_same_device() {
    for name in Device::adapters() {
        let device = |name: &str| Device::named(name).unwrap().gpu().unwrap().device().clone();
        let first = device(&name);
        assert_eq!(device(&name.to_uppercase()), first);
        thread::scope(|scope| {
            let others: Vec<_> = (0..4).map(|_| scope.spawn(|| device(&name))).collect();
            for other in others {
                assert_eq!(other.join().unwrap(), first);
            }
        });
        // looking again for what is not there leaves what there is
        assert!(Device::named("Voodoo 2").is_err());
        assert_eq!(device(&name), first);
    }
}

/// The environment and the process are shared with other tests, so the device is destroyed in a process of its own.
#[test]
fn a_destroyed_device_is_not_given_again() {
    const CHILD: &str = "CELLSTATE_TEST_DESTROYS";
    if std::env::var_os(CHILD).is_none() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "lookup::a_destroyed_device_is_not_given_again",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        let complained = String::from_utf8_lossy(&child.stderr);
        assert!(
            child.status.success() && said.contains("1 passed"),
            "{said}{complained}"
        );
        return;
    }
    let batch = Sequences::from(ndarray::Array3::from_elem((2, 5, 3), 0.5));
    for name in Device::adapters() {
        let first = Device::named(&name).unwrap();
        let runner = Lstm::new(3, 4).on(&first).unwrap();
        let want = runner.run(&batch).unwrap();
        let destroyed = first.gpu().unwrap().device().clone();
        destroyed.destroy();
        // a run may come before anybody asks for the device again
        let error = runner.run(&batch).unwrap_err();
        assert!(matches!(error, Error::Gpu { .. }), "{error}");
        for _ in 0..2 {
            let second = Device::named(&name).unwrap();
            assert_ne!(*second.gpu().unwrap().device(), destroyed);
            let runners = [Lstm::new(3, 4).on(&second).unwrap(), runner.rebuild(&second).unwrap()];
            for runner in runners {
                let ran = runner.run(&batch).unwrap();
                assert_same_bits("on the next device", ran.values(), want.values());
            }
        }
        assert!(Lstm::new(3, 4).on(&first).is_err(), "the first one remains lost");
        // a device is known to be lost though nobody has let the driver go on, and work of it may be in flight
        let second = Device::named(&name).unwrap();
        let gpu = second.gpu().unwrap();
        let runner_there = Lstm::new(3, 4).on(&second).unwrap();
        let workspace = runner_there.workspace(2, 5).unwrap();
        let mut encoder = gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        workspace.encode(&mut encoder).unwrap();
        gpu.queue().submit([encoder.finish()]);
        gpu.device().destroy();
        let third = Device::named(&name).unwrap();
        assert_ne!(third.gpu().unwrap().device(), gpu.device());
        // and destroyed again while nobody has run anything on it, or has it any more
        drop((runner, first));
        for _ in 0..3 {
            let next = Device::named(&name).unwrap();
            next.gpu().unwrap().device().destroy();
            let after = Device::named(&name).unwrap();
            assert_ne!(after.gpu().unwrap().device(), next.gpu().unwrap().device());
        }
    }
}

#[test]
fn what_is_not_there_is_an_error_that_lists_what_is() {
    for name in ["Voodoo 2", "", " ", "llvmpipe\0"] {
        let error = Device::named(name).unwrap_err();
        let Error::NoDevice { wanted, available, .. } = &error else {
            panic!("{error}");
        };
        assert!(wanted.contains(name), "{wanted}");
        assert_eq!(available, &Device::adapters());
        let text = error.to_string();
        for repair in ["\"cpu\"", "Device::auto()", "driver"] {
            assert!(text.contains(repair), "{text}");
        }
        if available.is_empty() {
            assert!(text.contains("no GPU at all"), "{text}");
        }
        for adapter in available {
            assert!(text.contains(adapter), "{text}");
        }
    }
}

#[test]
fn auto_never_takes_a_software_adapter() {
    let auto = Device::auto();
    match auto.gpu() {
        Some(gpu) => {
            let kind = gpu.info().device_type;
            assert!(
                !matches!(kind, wgpu::DeviceType::Cpu | wgpu::DeviceType::Other),
                "{}: {kind:?}",
                auto.name()
            );
        }
        None => {
            assert_eq!(auto.name(), "CPU");
            let real = adapters().into_iter().find(|adapter| {
                !matches!(
                    adapter.get_info().device_type,
                    wgpu::DeviceType::Cpu | wgpu::DeviceType::Other
                )
            });
            assert!(
                real.is_none(),
                "auto passed over {:?}",
                real.map(|adapter| adapter.get_info())
            );
        }
    }
}
