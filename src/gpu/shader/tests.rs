//! What the host says of the shaders is what they are: names, bindings, structs and constants, by naga's reflection.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, GlobalVariable, Module, ShaderStage, StorageAccess, StructMember, TypeInner};

use super::*;
use crate::gpu::stage::projection_block::{self, Block};
use crate::gpu::strategy::{solo, step};
use structs::host_fields;
use texts::{ALL, Text, all};

mod backward;
mod optional;
mod solos;
mod steps;
mod structs;
mod teams;
mod texts;

/// The portable floor, which every shader keeps to.
const MOST_INVOCATIONS: u32 = 256;
const MOST_WORKGROUP_BYTES: u32 = 16 << 10;
const MOST_STORAGE_BUFFERS: usize = 8;

fn bytes(module: &Module, variable: &GlobalVariable) -> u32 {
    module.types[variable.ty].inner.size(module.to_ctx())
}

fn struct_of<'a>(module: &'a Module, variable: &GlobalVariable) -> (&'a str, &'a [StructMember], u32) {
    let ty = &module.types[variable.ty];
    match &ty.inner {
        TypeInner::Struct { members, span } => (ty.name.as_deref().unwrap(), members, *span),
        other => panic!("a uniform that is no struct: {other:?}"),
    }
}

#[test]
fn every_shader_is_valid_without_any_optional_feature() {
    // what `Gpu::has_halves` stands for; no feature of wgpu, but a flag that some software adapters lack
    let needed = |form| match form {
        Form::Full => Capabilities::empty(),
        Form::Half => Capabilities::SHADER_FLOAT16_IN_FLOAT32,
    };
    for text in all() {
        let optional = match (text.is_optional(), text.shares()) {
            (true, _) => Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP,
            (false, true) => Capabilities::SUBGROUP,
            (false, false) => Capabilities::empty(),
        };
        let mut validator = Validator::new(ValidationFlags::all(), needed(text.variant.form) | optional);
        if let Err(error) = validator.validate(&text.module()) {
            panic!("{}: {}", text.name, error.emit_to_string(&text.text()));
        }
    }
}

/// `scripts/check_shaders` compiles them in a browser.
#[test]
fn the_texts_are_written_for_the_browser() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/shaders");
    fs::create_dir_all(&folder).unwrap();
    for file in fs::read_dir(&folder).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let texts = || all().into_iter().filter(|text| !text.is_optional() && !text.shares());
    for text in texts() {
        fs::write(folder.join(format!("{}.wgsl", text.name)), text.text()).unwrap();
    }
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        texts().count(),
        "names of texts"
    );
}

#[test]
fn every_shader_stands_in_a_file_of_its_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let files: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.ends_with(".wgsl"))
        .collect();
    let told: BTreeSet<String> = ALL.iter().map(|shader| format!("{}.wgsl", shader.name)).collect();
    assert_eq!(told.len(), ALL.len(), "two shaders have the same name");
    assert_eq!(files, told, "the files of shaders/ and the shaders of `ALL`");
    for shader in ALL {
        let text = fs::read_to_string(folder.join(format!("{}.wgsl", shader.name))).unwrap();
        assert!(text == shader.source, "{}: includes another file", shader.name);
    }
}

#[test]
fn the_uniform_is_the_struct_of_the_host() {
    for text in all() {
        let (shader, module) = (text.shader, text.module());
        let uniforms: Vec<_> = module
            .global_variables
            .iter()
            .map(|(_, variable)| variable)
            .filter(|variable| variable.space == AddressSpace::Uniform)
            .collect();
        let [uniform] = uniforms[..] else {
            panic!("{}: {} uniforms", shader.name, uniforms.len());
        };
        let binding = uniform.binding.unwrap();
        assert_eq!((binding.group, binding.binding), (0, 0), "{}", shader.name);
        assert_eq!(uniform.name.as_deref(), Some("params"), "{}", shader.name);
        let (name, members, span) = struct_of(&module, uniform);
        assert!(span <= crate::gpu::device::MOST_PARAMS, "{}: {span} bytes", shader.name);
        assert_eq!(name, shader.params.0, "{}", shader.name);
        assert_eq!(
            span.next_multiple_of(4) as usize,
            shader.params.1,
            "{}: {name}",
            shader.name
        );
        let fields: Vec<_> = members.iter().map(|member| member.name.clone().unwrap()).collect();
        assert_eq!(fields, host_fields(name), "{}: {name}", shader.name);
        for (number, member) in members.iter().enumerate() {
            let place = format!("{}: {name}.{}", shader.name, fields[number]);
            assert_eq!(member.offset as usize, 4 * number, "{place}");
            let is_u32 = TypeInner::Scalar(naga::Scalar::U32) == module.types[member.ty].inner;
            assert!(is_u32, "{place}: the host has a u32");
        }
    }
}

#[test]
fn the_storage_buffers_are_those_of_the_table() {
    for text in all() {
        let (shader, module) = (text.shader, text.module());
        let mut found = Vec::new();
        for (_, variable) in module.global_variables.iter() {
            if let AddressSpace::Storage { access } = variable.space {
                let binding = variable.binding.unwrap();
                assert_eq!(binding.group, 0, "{}", shader.name);
                let writes = access.contains(StorageAccess::STORE);
                found.push((binding.binding, variable.name.clone().unwrap(), writes));
            } else {
                let known = [AddressSpace::Uniform, AddressSpace::WorkGroup, AddressSpace::Private];
                assert!(known.contains(&variable.space), "{}: {variable:?}", shader.name);
            }
        }
        found.sort();
        let told = shader.bindings.iter().zip(1..);
        let told: Vec<_> = told
            .map(|(binding, number)| (number, binding.name.to_owned(), binding.writes))
            .collect();
        assert_eq!(found, told, "{}: (binding, name, writes)", shader.name);
        assert!(found.len() <= MOST_STORAGE_BUFFERS, "{}: storage buffers", shader.name);
    }
}

/// Each constant of the host is declared once in the text, and there is no other whose value is up to the host.
#[test]
fn constants_are_declared_once() {
    for text in all() {
        assert!(text.module().overrides.is_empty(), "{}: an override", text.name);
        let made = text.text();
        let own = text.shader.constants.iter().copied();
        let of_cell = text
            .variant
            .cell
            .iter()
            .flat_map(|cell| cell.constants.iter().map(|&(name, _)| name));
        let names: Vec<&str> = own.chain(of_cell).collect();
        assert_eq!(
            text.variant.constants.len(),
            text.shader.constants.len(),
            "{}",
            text.name
        );
        for name in &names {
            let declared = declaration(name);
            assert_eq!(made.matches(&declared).count(), 1, "{}: {declared}", text.name);
        }
        let distinct: BTreeSet<&&str> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{}: a constant twice", text.name);
    }
}

/// Who writes a component of a vector in memory may write the others too, over what another invocation has written there:
/// Metal and DX12 do, and SPIR-V does not, so a software adapter never shows it.
#[test]
fn no_component_of_a_vector_in_memory_is_written_alone() {
    for shader in ALL {
        for line in shader.source.lines().map(str::trim) {
            let Some((written, _)) = line.split_once(" = ").filter(|_| !line.starts_with("//")) else {
                continue;
            };
            let component = written.contains("][")
                || written.ends_with(".x")
                || written.ends_with(".y")
                || written.ends_with(".z")
                || written.ends_with(".w");
            assert!(!component, "{}: {line}", shader.name);
        }
    }
}

#[test]
fn constants_are_set_in_the_text() {
    let (_, lstm) = texts::cells().swap_remove(1);
    let variant = Variant {
        form: Form::Full,
        cell: Some(CellText::of(&lstm)),
        constants: vec![3, 128, 5, 12],
    };
    let text = solo::SHADER.text(false, &variant);
    for line in [
        "const ROWS: u32 = 3u;",
        "const WIDTH: u32 = 128u;",
        "const PARTS: u32 = 5u;",
        "const WEIGHTS: u32 = 12u;",
        "const INPUT_FORGET: u32 = 1u;",
        "const HAS_UNIT_WEIGHTS: u32 = 1u;",
        "const ACTIVATION: u32 = 32u;",
        "const ALPHA: u32 = 1061158912u;", // 0.75
        "const OUTPUT_ACTIVATION: u32 = 10u;",
        "const CLIP: u32 = 1077936128u;", // 3
    ] {
        assert!(text.contains(line), "{line}");
    }
    assert!(text.contains("var<uniform> params: Launch"));
    let immediate = solo::SHADER.text(true, &variant);
    assert!(immediate.contains("var<immediate> params: Launch") && !immediate.contains("var<uniform>"));
}

/// The form decides what an element of the weights is, and nothing else.
#[test]
fn weights_are_read_in_the_form_of_the_pipeline() {
    let mut read = Vec::new();
    for text in all() {
        let (shader, module) = (text.shader, text.module());
        let elements = module.global_variables.iter().filter_map(|(_, variable)| {
            let TypeInner::Array { stride, .. } = module.types[variable.ty].inner else {
                return None;
            };
            let declared = format!("{}: array<Weights>", variable.name.as_deref()?);
            shader.source.contains(&declared).then_some(u64::from(stride))
        });
        let elements: Vec<u64> = elements.collect();
        match &elements[..] {
            [] => assert!(!shader.source.contains("Weights"), "{}", shader.name),
            [stride] => {
                let lanes = text.variant.cell.as_ref().map_or(4, |cell| cell.lanes);
                assert_eq!(*stride, text.variant.form.bytes(lanes), "{}", text.name);
            }
            _ => panic!("{}: more than one buffer of weights", text.name),
        }
        read.extend(elements.first().map(|_| shader.name));
    }
    read.dedup();
    assert_eq!(
        read,
        [
            "input_projection",
            "masked_projection",
            "input_projection_tile",
            "input_projection_few",
            "recurrent_step",
            "recurrent_step_split",
            "recurrent_step_tile",
            "recurrent_step_wide",
            "recurrent_step_rowwise",
            "recurrent_solo",
            "recurrent_solo_made",
            "recurrent_team",
            "recurrent_team_made",
            "recurrent_team_wide",
            "recurrent_step_masked"
        ]
    );
}

/// The bytes of workgroup memory as WebGPU counts them, and the size of the workgroup.
fn held(text: &Text) -> (usize, [u32; 2]) {
    let module = text.module();
    let [width, parts, _] = module.entry_points[0].workgroup_size;
    let variables = module.global_variables.iter().map(|(_, variable)| variable);
    let workgroup = variables.filter(|variable| variable.space == AddressSpace::WorkGroup);
    let held: u32 = workgroup
        .map(|variable| bytes(&module, variable).next_multiple_of(16))
        .sum();
    (held as usize, [width, parts])
}

fn made(shader: &'static Shader, cell: &CellText, constants: &[u32]) -> Text {
    Text {
        name: shader.name.to_owned(),
        shader,
        variant: Variant {
            form: Form::Full,
            cell: Some(cell.clone()),
            constants: constants.to_vec(),
        },
    }
}

#[test]
fn every_shader_keeps_to_the_portable_floor() {
    for text in all().into_iter().filter(|text| !text.is_optional()) {
        let (shader, module) = (text.shader, text.module());
        let [entry] = &module.entry_points[..] else {
            panic!("{}: {} entry points", shader.name, module.entry_points.len());
        };
        assert_eq!(
            (entry.name.as_str(), entry.stage),
            ("main", ShaderStage::Compute),
            "{}",
            shader.name
        );
        assert!(
            entry.workgroup_size_overrides.is_none(),
            "{}: the workgroup's size is an override, which this test cannot see",
            shader.name
        );
        let invocations: u32 = entry.workgroup_size.iter().product();
        assert!(
            invocations <= MOST_INVOCATIONS,
            "{}: {invocations} invocations",
            shader.name
        );
        let shared: u32 = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == AddressSpace::WorkGroup)
            .map(|(_, variable)| bytes(&module, variable))
            .sum();
        assert!(shared <= MOST_WORKGROUP_BYTES, "{}: {shared} bytes", shader.name);
    }
}

/// With two places for a slab the large tile wants twice the floor: the host makes it so only where the limits allow that.
#[test]
fn the_large_tile_with_two_places_is_twice_the_floor() {
    for form in Form::ALL {
        let text = |is_double| Text {
            name: format!("input_projection_tile.double.{form:?}"),
            shader: &projection_block::TILE,
            variant: Variant {
                form,
                cell: None,
                constants: texts::block(Block::LargeTile, is_double, [1, 0, 0]),
            },
        };
        let [one, two] = [false, true].map(|is_double| held(&text(is_double)));
        assert_eq!(one, (MOST_WORKGROUP_BYTES as usize, [MOST_INVOCATIONS, 1]));
        assert_eq!(two, (projection_block::DOUBLE_BYTES as usize, [MOST_INVOCATIONS, 1]));
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        validator.validate(&text(true).module()).unwrap();
    }
}
