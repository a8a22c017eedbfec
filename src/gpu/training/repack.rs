//! From the weights as the layers have them to the forms in which the forward pass reads them, on the GPU: the host uploads weights once, and
//! packs nothing.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::flow::NONE;
use crate::gpu::GpuModel;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::device::mapped;
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::training::probe::{Digit, Rows, has_second_rows, number, numbered};
use crate::gpu::training::recorder::{Recorder, for_values};
use crate::gpu::training::texts::TYPES;
use crate::gpu::training::weights::Weights;
use crate::model::plan::Plan;
use crate::settings::Precision;

pub(crate) const SHADER: Shader = Shader {
    name: "repack",
    source: include_str!("../../../shaders/backward/repack.wgsl"),
    shared: &[TYPES],
    runs_cell: false,
    params: ("Repack", size_of::<Params>()),
    bindings: &[reads("pairs"), reads("weights"), writes("packed")],
    constants: &["ADDS"],
};

/// The same where the values of a weight fill fours of the form.
pub(crate) const IN_FOURS: Shader = Shader {
    name: "repack_fours",
    source: include_str!("../../../shaders/backward/repack_fours.wgsl"),
    bindings: &[reads("sources"), reads("weights"), writes("packed")],
    constants: &[],
    ..SHADER
};

/// The struct `Repack` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    count: u32,
    first: u32,
}

/// Where each weight goes.
#[derive(Debug)]
pub(super) struct Repack {
    lists: Vec<List>,
}

/// Where the values of a weight go in one buffer.
#[derive(Debug)]
struct List {
    /// Its number in the plan.
    weight: usize,
    way: Way,
    /// Pairs, or the sources of fours.
    entries: wgpu::Buffer,
    count: usize,
    packed: wgpu::Buffer,
}

/// How they get there.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// By pairs of a place and a value, which replaces what is there,
    Set,
    /// or is added to it.
    Add,
    /// As all values of fours, from this one on.
    Fours(u32),
}

impl Repack {
    /// Of the weights of a model. `None` where the forward pass rounds them, and where a list is larger than a binding: then the host packs
    /// them.
    pub(super) async fn of(model: &GpuModel) -> Result<Option<Self>> {
        if model.settings.wanted_precision() != Precision::Full {
            return Ok(None);
        }
        let plan = &model.plan;
        let mut lists = Vec::new();
        // for each buffer which of its places have a value by now
        let mut filled: Vec<Vec<bool>> = Vec::new();
        for rows in [Rows::First, Rows::Second] {
            if rows == Rows::Second && !has_second_rows(plan) {
                continue;
            }
            let low = packed(model, &numbered(plan, rows, Digit::Low)?).await?;
            let high = packed(model, &numbered(plan, rows, Digit::High)?).await?;
            let buffers = model.weights.buffers();
            filled.resize(low.len(), Vec::new());
            let digits = low.into_iter().zip(high);
            for ((digits, filled), packed) in digits.zip(&mut filled).zip(buffers) {
                let Some(found) = of_buffer(&model.gpu, plan, digits, (packed, filled)).await? else {
                    return Ok(None);
                };
                lists.extend(found);
            }
        }
        Ok(Some(Self { lists }))
    }

    /// Records the way of all weights.
    pub(super) fn record(&self, recorder: &mut Recorder<'_>, weights: &Weights) -> Result<()> {
        for list in &self.lists {
            let (shader, constants, first): (_, &[u32], _) = match list.way {
                Way::Set => (&SHADER, &[0], 0),
                Way::Add => (&SHADER, &[1], 0),
                Way::Fours(first) => (&IN_FOURS, &[], first),
            };
            let params = Params {
                count: list.count as u32,
                first,
            };
            let storage = [&list.entries, weights.values(list.weight)?, &list.packed];
            recorder.dispatch((shader, constants), &storage, params, for_values(list.count));
        }
        Ok(())
    }

    /// The bytes of its lists.
    pub(super) fn bytes(&self) -> u64 {
        self.lists.iter().map(|list| list.entries.size()).sum()
    }

    /// The most bytes of the lists of a model, before there are any: two numbers for each value that is no embedding.
    pub(super) fn most_bytes(model: &GpuModel) -> u64 {
        2 * without_embeddings(model)
    }

    /// The bytes that are taken for a moment while the lists are found: the forms of a plan of digits, and what the host reads of them.
    pub(super) fn bytes_to_find(model: &GpuModel) -> u64 {
        2 * without_embeddings(model)
    }

    /// The dispatches that it records.
    pub(super) fn dispatches(&self) -> usize {
        self.lists.len()
    }
}

/// The bytes of the forms in which a model has its weights, but for its embeddings.
fn without_embeddings(model: &GpuModel) -> u64 {
    let embeddings = model.weights.tables.iter().flat_map(|table| table.size.bytes());
    let weights: u64 = model.weights.buffers().iter().map(|buffer| buffer.size()).sum();
    weights.saturating_sub(embeddings.sum())
}

/// The lists of one buffer, from the digits that it has. A value is added where there is one already: the two rows of a bias.
async fn of_buffer(
    gpu: &Gpu,
    plan: &Plan,
    (low, high): (Vec<f32>, Vec<f32>),
    (packed, filled): (&wgpu::Buffer, &mut Vec<bool>),
) -> Result<Option<Vec<List>>> {
    let mut ends = Vec::with_capacity(plan.weights.len());
    let mut end = 0;
    for weight in &plan.weights {
        end += weight.shape.iter().product::<usize>();
        ends.push(end);
    }
    filled.resize(low.len(), false);
    // for each weight those that are set, and those that are added
    let mut pairs: Vec<[Vec<[u32; 2]>; 2]> = plan.weights.iter().map(|_| Default::default()).collect();
    let digits = low.into_iter().zip(high).zip(filled.iter_mut());
    for (place, ((low, high), is_filled)) in digits.enumerate() {
        let Some(number) = number(low, high) else {
            *is_filled |= low != 0.0;
            continue;
        };
        let weight = ends.partition_point(|&end| end <= number);
        let first = weight.checked_sub(1).and_then(|before| ends.get(before)).unwrap_or(&0);
        if let Some([set, added]) = pairs.get_mut(weight) {
            let pairs = if *is_filled { added } else { set };
            pairs.push([place as u32, (number - first) as u32]);
        }
        *is_filled = true;
    }
    let mut lists = Vec::new();
    let pairs = pairs.into_iter().enumerate();
    let pairs = pairs.flat_map(|(weight, [set, added])| [(weight, Way::Set, set), (weight, Way::Add, added)]);
    for (weight, way, pairs) in pairs.filter(|(.., pairs)| !pairs.is_empty()) {
        let fours = match way {
            Way::Set => fours_of(&pairs, filled),
            _ => None,
        };
        let (way, count, bytes): (_, _, &[u8]) = match &fours {
            Some((first, fours)) => (Way::Fours(*first), fours.len(), bytemuck::cast_slice(fours)),
            None => (way, pairs.len(), bytemuck::cast_slice(&pairs)),
        };
        if bytes.len() as u64 > gpu.largest_binding() {
            return Ok(None);
        }
        let upload = || {
            let buffer = gpu.make_buffer("repack", bytes.len() as u64, Use::Storage);
            gpu.queue().write_buffer(&buffer, 0, bytes);
            Ok(buffer)
        };
        lists.push(List {
            weight,
            way,
            count,
            entries: gpu.guarded("uploading the weights", upload).await?,
            packed: packed.clone(),
        });
    }
    Ok(Some(lists))
}

/// The first four, and the sources of all to the last one, of pairs in the order of their places; `None` where something else stands between
/// them, or much padding.
fn fours_of(pairs: &[[u32; 2]], filled: &[bool]) -> Option<(u32, Vec<[u32; 4]>)> {
    let ([first, _], [last, _]) = (pairs.first()?, pairs.last()?);
    let (first, count) = (first / 4, last / 4 - first / 4 + 1);
    if pairs.len() < 2 * count as usize {
        return None;
    }
    let mut fours = vec![[NONE; 4]; count as usize];
    let sources = fours.as_flattened_mut();
    for [place, source] in pairs {
        *sources.get_mut((place - 4 * first) as usize)? = *source;
    }
    let filled = filled.get(4 * first as usize..4 * (first + count) as usize)?;
    let is_own = |(source, is_filled): (&u32, &bool)| *source != NONE || !is_filled;
    sources.iter().zip(filled).all(is_own).then_some((first, fours))
}

/// What the buffers of the forward pass have for a plan.
async fn packed(model: &GpuModel, plan: &Plan) -> Result<Vec<Vec<f32>>> {
    let gpu = &model.gpu;
    let make = || {
        let prepared = model.prepared(plan)?;
        let mut encoder = gpu.encoder("probe");
        let mut staged = Vec::new();
        for buffer in prepared.buffers() {
            let staging = gpu.make_buffer("probe", buffer.size(), Use::Readback);
            encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
            staged.push(staging);
        }
        Ok((gpu.queue().submit([encoder.finish()]), staged))
    };
    let (submission, staged) = gpu.guarded("uploading the weights", make).await?;
    let staged: Vec<_> = staged.iter().map(|staging| (staging, staging.size())).collect();
    mapped::read(gpu, &staged, Some(submission)).await
}
