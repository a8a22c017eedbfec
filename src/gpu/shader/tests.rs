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
use crate::gpu::stage::{gather, input_projection, softmax};
use crate::gpu::strategy::{residency, solo, step, team};

/// Every shader there is.
const ALL: [&Shader; 8] = [
    &gather::SHADER,
    &input_projection::SHADER,
    &softmax::SHADER,
    &step::SHADER,
    &step::ROWWISE,
    &solo::SHADER,
    &team::SHADER,
    &residency::SHADER,
];

/// The portable floor, which every shader keeps to.
const MOST_INVOCATIONS: u32 = 256;
const MOST_WORKGROUP_BYTES: u32 = 16 << 10;
const MOST_STORAGE_BUFFERS: usize = 8;

/// Every shader in every form of its weights.
fn all() -> impl Iterator<Item = (&'static Shader, Form)> {
    ALL.into_iter().flat_map(|shader| Form::ALL.map(|form| (shader, form)))
}

fn module(shader: &Shader, form: Form) -> Module {
    let text = shader.text(false, form, &[]);
    naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|error| panic!("{}: {}", shader.name, error.emit_to_string(&text)))
}

fn bytes(module: &Module, variable: &GlobalVariable) -> u32 {
    module.types[variable.ty].inner.size(module.to_ctx())
}

/// The fields of the host's struct of a name, in order, as `Debug` prints them.
fn host_fields(name: &str) -> Vec<String> {
    let printed = match name {
        "Gather" => format!("{:?}", gather::Params::default()),
        "Projection" => format!("{:?}", softmax::Params::default()),
        "Residency" => format!("{:?}", residency::Params::default()),
        "Solo" => format!("{:?}", solo::Params::default()),
        "Step" => format!("{:?}", step::Params::default()),
        "Team" => format!("{:?}", team::Params::default()),
        other => panic!("the struct {other} of the host is to be named here"),
    };
    let (_, inner) = printed.split_once('{').unwrap();
    let fields = inner.trim_end_matches('}').split(',');
    fields
        .map(|field| field.split(':').next().unwrap().trim().to_owned())
        .collect()
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
    for (shader, form) in all() {
        let mut validator = Validator::new(ValidationFlags::all(), needed(form));
        if let Err(error) = validator.validate(&module(shader, form)) {
            panic!(
                "{}: {}",
                shader.name,
                error.emit_to_string(&shader.text(false, form, &[]))
            );
        }
    }
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
    for (shader, form) in all() {
        let module = module(shader, form);
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
    for (shader, form) in all() {
        let module = module(shader, form);
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

#[test]
fn the_overrides_are_the_constants_and_have_no_defaults() {
    for (shader, form) in all() {
        let module = module(shader, form);
        let mut found = BTreeSet::new();
        for (_, constant) in module.overrides.iter() {
            let name = constant.name.clone().unwrap();
            assert!(constant.init.is_none(), "{}: {name} has a default", shader.name);
            assert!(constant.id.is_none(), "{}: {name} has a number", shader.name);
            assert_eq!(
                module.types[constant.ty].inner,
                TypeInner::Scalar(naga::Scalar::U32),
                "{}: {name}",
                shader.name
            );
            found.insert(name);
        }
        let told: BTreeSet<String> = shader.constants.iter().map(|&name| name.to_owned()).collect();
        let set_in_text = |name: &&String| !shader.is_override(name);
        let overrides: BTreeSet<String> = told.iter().filter(|name| !set_in_text(name)).cloned().collect();
        assert_eq!(found, overrides, "{}", shader.name);
        assert_eq!(told.len(), shader.constants.len(), "{}: a constant twice", shader.name);
        for name in told.iter().filter(set_in_text) {
            let declared = format!("const {name}: u32 = ");
            assert_eq!(
                shader.source.matches(&declared).count(),
                1,
                "{}: {declared}",
                shader.name
            );
        }
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
    let text = solo::SHADER.text(false, Form::Full, &[1, 0, 0, 2, 0, 0, 3, 128, 5, 12]);
    for line in [
        "const ROWS: u32 = 3u;",
        "const WIDTH: u32 = 128u;",
        "const PARTS: u32 = 5u;",
        "const WEIGHTS: u32 = 12u;",
    ] {
        assert!(text.contains(line), "{line}");
    }
    assert!(text.contains("var<uniform> params: Solo") && text.contains("override ACTIVATION: u32;"));
    let immediate = solo::SHADER.text(true, Form::Full, &[]);
    assert!(immediate.contains("var<immediate> params: Solo") && !immediate.contains("var<uniform>"));
}

/// The form decides what an element of the weights is, and nothing else.
#[test]
fn weights_are_read_in_the_form_of_the_pipeline() {
    let mut read = Vec::new();
    for (shader, form) in all() {
        let module = module(shader, form);
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
            [stride] => assert_eq!(*stride, form.bytes(4), "{}: {form:?}", shader.name),
            _ => panic!("{}: more than one buffer of weights", shader.name),
        }
        read.extend(elements.first().map(|_| shader.name));
    }
    read.dedup();
    assert_eq!(
        read,
        ["input_projection", "recurrent_step", "recurrent_solo", "recurrent_team"]
    );
}

/// What the host takes a workgroup of `recurrent_solo` for is what it is.
#[test]
fn the_workgroups_of_solo_have_the_size_that_the_host_thinks() {
    use solo::Shape;
    for (invocations, in_software) in [(256, false), (1024, false), (1024, true)] {
        for units in [1, 3, 8, 31, 32, 33, 64, 65, 96, 128, 256, 1000] {
            let Some(shape) = Shape::of(units, invocations, in_software) else {
                assert!(units > 32, "{units} units do not fit");
                continue;
            };
            assert!(
                shape.width >= units && shape.parts * shape.weights >= units,
                "{shape:?}"
            );
            for rows in [1, 8] {
                let sizes = [rows, shape.width, shape.parts, shape.weights].map(|size| size as u32);
                let text = solo::SHADER.text(false, Form::Full, &[&[0; 6], &sizes[..]].concat());
                let module = naga::front::wgsl::parse_str(&text).unwrap();
                let [width, parts, _] = module.entry_points[0].workgroup_size;
                assert_eq!((width as usize, parts as usize), (shape.width, shape.parts));
                assert!((width * parts) as usize <= invocations);
                let workgroup = module.global_variables.iter().map(|(_, variable)| variable);
                let workgroup = workgroup.filter(|variable| variable.space == AddressSpace::WorkGroup);
                let held: u32 = workgroup.map(|variable| bytes(&module, variable)).sum();
                assert_eq!(held as usize, shape.bytes(rows), "{units} units: {shape:?}");
            }
        }
    }
}

/// The same for `recurrent_team`, and what probes for it holds as much.
#[test]
fn the_workgroups_of_teams_have_the_size_that_the_host_thinks() {
    use crate::gpu::strategy::team_shape::Shape;
    for (budget, in_software) in [(128, false), (2, true)] {
        for units in [1, 3, 8, 31, 64, 65, 128, 256, 500] {
            let shape = Shape::of(units, budget, 256, in_software).unwrap();
            for rows in [1, 8] {
                let sizes = shape.constants(rows);
                let texts = [
                    team::SHADER.text(false, Form::Full, &[&[0; 6], &sizes[..]].concat()),
                    residency::SHADER.text(false, Form::Full, &sizes),
                ];
                for text in texts {
                    let module = naga::front::wgsl::parse_str(&text).unwrap();
                    let [width, parts, _] = module.entry_points[0].workgroup_size;
                    assert_eq!((width as usize, parts as usize), (shape.width, shape.parts));
                    let workgroup = module.global_variables.iter().map(|(_, variable)| variable);
                    let workgroup = workgroup.filter(|variable| variable.space == AddressSpace::WorkGroup);
                    let held: u32 = workgroup.map(|variable| bytes(&module, variable)).sum();
                    let missing = shape.bytes(rows) - held as usize;
                    // the two scalars, which count as 16 bytes each; the probe has none
                    assert!(missing <= 32, "{units} units: {shape:?}: {held} bytes");
                }
            }
        }
    }
}

#[test]
fn every_shader_keeps_to_the_portable_floor() {
    for (shader, form) in all() {
        let module = module(shader, form);
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
