//! Finding a device by name, or the best one.

use cellstate::{Device, Error};

use super::adapters::adapters;
use super::devices;

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
