//! Where a model is cut into sections, each with a plan of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Result;
use crate::layer::Layer;
use crate::layer::shape::Shape;
use crate::model::check::inner_shapes;
use crate::model::paths::{paths, paths_within};
use crate::model::plan::Plan;
use crate::parameters::Parameters;

/// A layer with its position, its path and what comes out of it.
type Numbered<'l> = (usize, &'l Layer, String, Shape);

/// The plans of a checked chain of layers: of the whole, or of its sections.
///
/// Which steps a mask leaves out is worked out by the host before anything runs. A Masking layer behind one that computes has
/// to see what that one gives, so a new section begins there. The layers within a TimeDistributed are sections of their own, before the others:
/// their rows belong to other sequences.
pub(crate) fn sections(layers: &[Layer], shapes: &[Shape], parameters: &Parameters) -> Result<Vec<Arc<Plan>>> {
    let numbered = layers.iter().zip(paths(layers)).zip(shapes).enumerate();
    let mut numbered: VecDeque<Numbered<'_>> = numbered
        .map(|(position, ((layer, path), shape))| (position, layer, path, *shape))
        .collect();
    let Some((_, Layer::TimeDistributed(nested), path, shape)) = numbered.front().cloned() else {
        return cut(numbered.into_iter(), (Shape::Input, false), parameters);
    };
    numbered.pop_front();
    let layers = nested.layers();
    let within = layers
        .iter()
        .zip(paths_within(&path, layers))
        .zip(inner_shapes(layers)?);
    let within = within
        .enumerate()
        .map(|(position, ((layer, path), shape))| (position, layer, path, shape));
    let mut sections = cut(within, (Shape::Input, true), parameters)?;
    sections.extend(cut(numbered.into_iter(), (shape, false), parameters)?);
    Ok(sections)
}

/// The plans of the sections of layers that run over the same sequences.
fn cut<'l>(
    layers: impl Iterator<Item = Numbered<'l>>,
    (mut begins_with, is_inner): (Shape, bool),
    parameters: &Parameters,
) -> Result<Vec<Arc<Plan>>> {
    let mut sections = Vec::new();
    let mut section = Vec::new();
    let mut before = begins_with;
    let mut cells = 0;
    let mut computes = false;
    for (position, layer, path, shape) in layers {
        if matches!(layer, Layer::Masking(_)) && computes {
            let plan = Plan::of_section(&section, (begins_with, cells), is_inner, parameters)?;
            cells += plan.cells.len();
            sections.push(Arc::new(plan));
            section.clear();
            (begins_with, computes) = (before, false);
        }
        computes |= !matches!(
            layer,
            Layer::Masking(_) | Layer::Embedding(_) | Layer::Dropout(_) | Layer::EndMask(_)
        );
        section.push((position, layer, path, shape));
        before = shape;
    }
    let plan = Plan::of_section(&section, (begins_with, cells), is_inner, parameters)?;
    sections.push(Arc::new(plan));
    Ok(sections)
}
