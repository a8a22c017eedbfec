//! The second run of a size makes nothing, whatever its mask and content.

use cellstate::Device;

use super::adapters::{adapters, floor, open};
use super::drawn::is_drawn;
use super::zoo::{check, kinds};

#[test]
fn the_second_run_of_a_size_makes_nothing() {
    for adapter in adapters() {
        let kinds = kinds(3, 5).into_iter().enumerate();
        for (_, kind) in kinds.filter(|(number, _)| is_drawn(*number, 2)) {
            let opened = open(&adapter, floor());
            let (gpu, cpu) = (kind.on(&opened.device), kind.on(&Device::cpu()));
            check(&kind.name, &gpu, &cpu, &kind.batch(4, 9, 0));
            let first = opened.made();
            for seed in 1..4 {
                check(&kind.name, &gpu, &cpu, &kind.batch(4, 9, seed));
                assert_eq!(opened.made(), first, "{}: buffers, bind groups, pipelines", kind.name);
            }
            gpu.run(&kind.batch(4, 9, 5).input, None).unwrap();
            assert_eq!(opened.made(), first, "{}: without states", kind.name);
            opened.assert_quiet();
        }
    }
}

#[test]
fn four_sizes_alternate_and_make_nothing() {
    // none holds another
    const SIZES: [(usize, usize); 4] = [(2, 30), (4, 9), (9, 4), (30, 2)];
    for adapter in adapters() {
        for kind in kinds(3, 5).into_iter().take(3) {
            let opened = open(&adapter, floor());
            let (gpu, cpu) = (kind.on(&opened.device), kind.on(&Device::cpu()));
            let run = |(batch, time_steps), seed| check(&kind.name, &gpu, &cpu, &kind.batch(batch, time_steps, seed));
            SIZES.iter().for_each(|&size| drop(run(size, 0)));
            let first = opened.made();
            for seed in 1..4 {
                SIZES.iter().for_each(|&size| drop(run(size, seed)));
                SIZES.iter().rev().for_each(|&size| drop(run(size, seed + 9)));
            }
            assert_eq!(opened.made(), first, "{}", kind.name);
            for shorter in [(2, 9), (4, 1), (9, 3), (30, 1)] {
                run(shorter, 1);
                assert_eq!(opened.made(), first, "{}: {shorter:?}", kind.name);
            }
            // the forms for a GPU follow the batch of the workspace, so there fewer sequences have a workspace of their own
            let named = std::env::var_os("CELLSTATE_GPU_NUMBERS").is_some_and(|name| !name.is_empty());
            if named || adapter.get_info().device_type != wgpu::DeviceType::Cpu {
                continue;
            }
            // what is smaller in both takes the buffers of a larger one
            for smaller in [(1, 1), (2, 9), (0, 5), (3, 0), (8, 4)] {
                run(smaller, 1);
                assert_eq!(opened.made(), first, "{}: {smaller:?}", kind.name);
            }
            SIZES.iter().for_each(|&size| drop(run(size, 20)));
            // the fifth size takes the place of the one that was used longest ago
            run((3, 20), 1);
            let [buffers, bind_groups, pipelines] = opened.made();
            assert!(buffers > first[0] && bind_groups > first[1], "{}", kind.name);
            assert_eq!(pipelines, first[2], "{}", kind.name);
            SIZES.iter().skip(1).for_each(|&size| drop(run(size, 1)));
            assert_eq!(opened.made(), [buffers, bind_groups, pipelines], "{}", kind.name);
        }
    }
}

/// What is kept is given back when asked, and made anew by the next run; pipelines stay.
#[test]
fn released_memory_is_made_again() {
    for adapter in adapters() {
        for kind in kinds(3, 5).into_iter().take(3) {
            let opened = open(&adapter, floor());
            let (gpu, cpu) = (kind.on(&opened.device), kind.on(&Device::cpu()));
            check(&kind.name, &gpu, &cpu, &kind.batch(4, 9, 0));
            let [buffers, _, pipelines] = opened.made();
            [&gpu, &cpu].iter().for_each(|on| on.runner().release_memory());
            check(&kind.name, &gpu, &cpu, &kind.batch(4, 9, 0));
            let [buffers_then, _, pipelines_then] = opened.made();
            assert!(buffers_then > buffers && pipelines_then == pipelines, "{}", kind.name);
        }
    }
}

/// Pipelines belong to the device: a second model of the same kind and sizes makes none.
#[test]
fn models_share_pipelines() {
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        for kind in kinds(3, 5) {
            kind.on(&opened.device);
        }
        let [_, _, first] = opened.made();
        for kind in kinds(3, 5) {
            kind.on(&opened.device);
        }
        assert_eq!(opened.made()[2], first);
    }
}

/// One large batch does not hold the GPU's memory for ever: after sixteen small ones its buffers are made anew.
#[test]
fn a_large_workspace_is_given_up_after_small_runs() {
    for adapter in adapters() {
        for kind in kinds(3, 5).into_iter().take(3) {
            let opened = open(&adapter, floor());
            let (gpu, cpu) = (kind.on(&opened.device), kind.on(&Device::cpu()));
            let run = |batch, time_steps| check(&kind.name, &gpu, &cpu, &kind.batch(batch, time_steps, 1));
            run(1, 2); // small runs have a small workspace of their own
            run(20, 12);
            (0..15).for_each(|_| drop(run(1, 2)));
            let before = opened.made();
            run(20, 12);
            assert_eq!(opened.made(), before, "{}: it was given up too early", kind.name);
            (0..16).for_each(|_| drop(run(1, 2)));
            assert_eq!(opened.made(), before, "{}: a small run makes nothing", kind.name);
            run(20, 12);
            assert!(opened.made()[0] > before[0], "{}: it was not given up", kind.name);
        }
    }
}
