//! Shaders: source, bindings and constants, and the pipelines made from them.

pub(crate) mod cell;
mod template;
#[cfg(test)]
pub(crate) mod written_out;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::gpu::device::Gpu;
use crate::gpu::device::turn::in_turn;
use crate::gpu::weights::Form;
use crate::trace::within;
use cell::CellText;

/// What all shaders share.
const SHARED: &str = concat!(
    include_str!("../../../shaders/shared/types.wgsl"),
    include_str!("../../../shaders/shared/formulas.wgsl"),
    include_str!("../../../shaders/shared/activations.wgsl")
);

/// What the shaders share that run a cell.
const UNIT: &str = concat!(
    include_str!("../../../shaders/shared/row_activation.wgsl"),
    include_str!("../../../shaders/shared/unit.wgsl")
);

/// A storage buffer that a shader binds, from binding 1 on in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) name: &'static str,
    pub(crate) writes: bool,
}

/// Reads `name`.
pub(crate) const fn reads(name: &'static str) -> Binding {
    Binding { name, writes: false }
}

/// Reads and writes `name`.
pub(crate) const fn writes(name: &'static str) -> Binding {
    Binding { name, writes: true }
}

/// A GPU program: its own file, what it binds, and the constants that a pipeline sets.
#[derive(Debug)]
pub(crate) struct Shader {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    /// The texts of `shaders/shared` that it needs besides those that all have.
    pub(crate) shared: &'static [&'static str],
    /// Whether it runs a cell, whose text it needs then.
    pub(crate) runs_cell: bool,
    /// The struct of the uniform at binding 0, and its bytes.
    pub(crate) params: (&'static str, usize),
    pub(crate) bindings: &'static [Binding],
    pub(crate) constants: &'static [&'static str],
}

/// What the text of a shader is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    /// How it reads weights.
    pub(crate) form: Form,
    /// The cell, for a shader that runs one.
    pub(crate) cell: Option<CellText>,
    /// In the order of [`Shader::constants`].
    pub(crate) constants: Vec<u32>,
}

/// How a shader declares its parameters, and how where they are immediates.
const UNIFORM: &str = "@group(0) @binding(0) var<uniform> params";
const IMMEDIATE: &str = "var<immediate> params";

impl Shader {
    /// The whole text, with the parameters in a uniform as WebGPU has it, or as immediates; and with the constants of the
    /// shader and of its cell, `const NAME: u32 = …`, set in it: a compiler that knows a size or an option makes better code.
    pub(crate) fn text(&self, immediates: bool, variant: &Variant) -> String {
        let cell = variant.cell.as_ref().filter(|_| self.runs_cell);
        let lanes = cell.map_or(4, |cell| cell.lanes);
        let (enables, source) = directives(self.source);
        let mut text = format!("{enables}{SHARED}{}", variant.form.text(lanes));
        for part in cell.iter().flat_map(|cell| [UNIT, cell.source]) {
            text.push_str(part);
        }
        self.shared.iter().for_each(|part| text.push_str(part));
        text.push_str(&source);
        if immediates {
            text = text.replace(UNIFORM, IMMEDIATE);
        }
        let own = self.constants.iter().copied().zip(variant.constants.iter().copied());
        let of_cell = cell.iter().flat_map(|cell| cell.constants.iter().copied());
        let constants: Vec<(&str, u32)> = own.chain(of_cell).collect();
        for &(name, value) in &constants {
            let declared = declaration(name);
            if let Some((before, after)) = text.split_once(&declared) {
                let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
                text = format!("{before}{declared}{value}{after}");
            }
        }
        template::expand(&text, &|name| {
            constants
                .iter()
                .find(|(known, _)| *known == name)
                .map(|&(_, value)| value)
        })
    }
}

/// The lines by which a text asks for extensions, which have to stand before all else, and the text without them.
fn directives(source: &str) -> (String, Cow<'_, str>) {
    if !source.contains("\nenable ") {
        return (String::new(), Cow::Borrowed(source));
    }
    let (enables, rest): (Vec<&str>, Vec<&str>) = source
        .split_inclusive('\n')
        .partition(|line| line.starts_with("enable "));
    (enables.concat(), Cow::Owned(rest.concat()))
}

/// How a text declares a constant, up to its value.
fn declaration(constant: &str) -> String {
    format!("const {constant}: u32 = ")
}

/// A pipeline with the layout of its bind group.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
    pub(crate) params_bytes: u64,
}

/// A shader's name, and what its text is made for.
pub(crate) type Key = (&'static str, Variant);

/// The pipelines of a device, each made once.
#[derive(Debug, Default)]
pub(crate) struct Pipelines {
    made: Mutex<Made>,
}

type Made = HashMap<Key, Arc<Pipeline>>;

impl Pipelines {
    fn lock(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gpu {
    /// The pipeline of a shader that reads no weights and runs no cell, with its constants in the order of
    /// `Shader::constants`.
    pub(crate) fn pipeline(&self, shader: &'static Shader, constants: &[u32]) -> Arc<Pipeline> {
        let variant = Variant {
            constants: constants.to_vec(),
            ..Variant::default()
        };
        self.pipeline_for(shader, variant)
    }

    /// The pipeline of a shader for a variant of its text.
    pub(crate) fn pipeline_for(&self, shader: &'static Shader, variant: Variant) -> Arc<Pipeline> {
        let pipelines = self.shared::<Pipelines>();
        let key = (shader.name, variant);
        let known = pipelines.lock().get(&key).map(Arc::clone);
        known.unwrap_or_else(|| {
            // the turn first, the lock second: who has the turn may be making a runner
            in_turn(|| {
                let mut made = pipelines.lock();
                let make =
                    || within!("pipeline" { shader = shader.name }, Arc::new(self.make_pipeline(shader, &key.1)));
                Arc::clone(made.entry(key.clone()).or_insert_with(make))
            })
        })
    }

    /// Which pipelines there are.
    pub(crate) fn known_pipelines(&self) -> Vec<Key> {
        self.shared::<Pipelines>().lock().keys().cloned().collect()
    }

    /// Forgets all other pipelines, so that one whose making failed is not used by the next runner.
    pub(crate) fn forget_pipelines_but(&self, known: &[Key]) {
        self.shared::<Pipelines>().lock().retain(|key, _| known.contains(key));
    }

    /// A bind group of a pipeline: the parameters (one record, moved by a dynamic offset) unless they are immediates, then
    /// storage buffers.
    pub(crate) fn make_bind_group(
        &self,
        label: &str,
        pipeline: &Pipeline,
        params: &wgpu::Buffer,
        storage: &[&wgpu::Buffer],
    ) -> wgpu::BindGroup {
        let whole = storage.iter().map(|buffer| buffer.as_entire_buffer_binding());
        self.make_bind_group_of_parts(label, pipeline, params, whole)
    }

    /// The same of parts of buffers.
    pub(crate) fn make_bind_group_of_parts<'a>(
        &self,
        label: &str,
        pipeline: &Pipeline,
        params: &wgpu::Buffer,
        storage: impl IntoIterator<Item = wgpu::BufferBinding<'a>>,
    ) -> wgpu::BindGroup {
        let record = wgpu::BufferBinding {
            buffer: params,
            offset: 0,
            size: std::num::NonZeroU64::new(pipeline.params_bytes),
        };
        let first = (!self.has_immediates()).then_some(wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(record),
        });
        let rest = storage
            .into_iter()
            .zip(1..)
            .map(|(part, binding)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(part),
            });
        let entries: Vec<_> = first.into_iter().chain(rest).collect();
        self.bind(label, &pipeline.layout, &entries)
    }

    fn make_pipeline(&self, shader: &'static Shader, variant: &Variant) -> Pipeline {
        let device = self.device();
        let params_bytes = shader.params.1 as u64;
        let entry = |binding, ty, dynamic, size| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: dynamic,
                min_binding_size: size,
            },
            count: None,
        };
        let params = entry(
            0,
            wgpu::BufferBindingType::Uniform,
            true,
            std::num::NonZeroU64::new(params_bytes),
        );
        let storage = shader.bindings.iter().zip(1..).map(|(binding, number)| {
            entry(
                number,
                wgpu::BufferBindingType::Storage {
                    read_only: !binding.writes,
                },
                false,
                None,
            )
        });
        let immediates = self.has_immediates();
        let entries: Vec<_> = (!immediates).then_some(params).into_iter().chain(storage).collect();
        let label = self.label(shader.name);
        let label = Some(label.as_str());
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label,
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: if immediates { shader.params.1 as u32 } else { 0 },
        });
        let module = self.make_module(label, shader.text(immediates, variant));
        self.counters().count_pipeline();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                // every shader writes workgroup memory before it reads it, and filling it is dear in some compilers
                zero_initialize_workgroup_memory: false,
            },
            cache: self.pipeline_cache().as_ref(),
        });
        Pipeline {
            pipeline,
            layout,
            params_bytes,
        }
    }
}

#[cfg(test)]
mod tests;
