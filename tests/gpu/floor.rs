//! The portable floor: WebGPU's default limits, no optional feature.

use cellstate::{Device, Error, Strategy};

use super::adapters::{adapters, floor, open, try_open};
use super::zoo::{check, kinds};

#[test]
fn everything_runs_with_the_least_limits() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        assert_eq!(opened.wgpu.features(), wgpu::Features::empty());
        for (features, units) in [(3, 5), (70, 67)] {
            for kind in kinds(features, units) {
                let (gpu, cpu) = (kind.on(&opened.device), kind.on(&Device::cpu()));
                for (batch, time_steps, seed) in [(1, 5, 0), (5, 12, 0), (5, 12, 1), (33, 3, 2)] {
                    let name = format!("{}, batch {batch}, {time_steps} steps", kind.name);
                    check(&name, &gpu, &cpu, &kind.batch(batch, time_steps, seed));
                }
            }
        }
        opened.assert_quiet();
    }
}

/// The strategies that bind more than the four buffers of the floor are left out, and nothing else is.
#[test]
fn four_storage_buffers_are_enough() {
    for adapter in adapters() {
        let opened = open(
            &adapter,
            wgpu::Limits {
                max_storage_buffers_per_shader_stage: 4,
                ..floor()
            },
        );
        for kind in kinds(3, 5) {
            let (gpu, cpu) = (kind.on(&opened.device), kind.on(&Device::cpu()));
            check(&kind.name, &gpu, &cpu, &kind.batch(5, 12, 1));
            let explained = gpu.runner().explain(5, 12).unwrap();
            assert!(
                explained
                    .strategies()
                    .iter()
                    .all(|&strategy| strategy == Strategy::Step),
                "{explained}"
            );
        }
        opened.assert_quiet();
    }
}

#[test]
fn limits_below_the_floor_are_refused() {
    type Lower = fn(&mut wgpu::Limits);
    let lower: [(Lower, &str); 4] = [
        (
            |limits| limits.max_storage_buffers_per_shader_stage = 3,
            "storage buffers of a shader",
        ),
        (
            |limits| limits.max_compute_invocations_per_workgroup = 128,
            "invocations of a workgroup",
        ),
        (
            |limits| limits.max_compute_workgroup_size_x = 128,
            "invocations of a workgroup along x",
        ),
        (
            |limits| limits.max_compute_workgroup_storage_size = 8 << 10,
            "bytes of workgroup memory",
        ),
    ];
    for adapter in adapters() {
        for (lower, what) in lower {
            let mut limits = floor();
            lower(&mut limits);
            let (_, gpu) = try_open(&adapter, limits, wgpu::Features::empty());
            let error = gpu.unwrap_err();
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
            let text = error.to_string();
            assert!(
                text.contains(what) && text.contains("wgpu::Limits::default()"),
                "{text}"
            );
            assert!(
                !text.contains("3 bytes") && !text.contains("128 bytes"),
                "these are no bytes: {text}"
            );
        }
    }
}
