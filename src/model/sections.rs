//! Where a model is cut into sections, each with a plan of its own.

use std::sync::Arc;

use crate::error::Result;
use crate::layer::Layer;
use crate::layer::shape::Shape;
use crate::model::paths::paths;
use crate::model::plan::Plan;
use crate::parameters::Parameters;

/// The plans of a checked chain of layers: of the whole, or of its sections.
///
/// Which steps a mask leaves out is worked out by the host before anything runs. A Masking layer behind one that computes has
/// to see what that one gives, so a new section begins there.
pub(crate) fn sections(layers: &[Layer], shapes: &[Shape], parameters: &Parameters) -> Result<Vec<Arc<Plan>>> {
    let mut sections = Vec::new();
    let mut section = Vec::new();
    let (mut begins_with, mut computes) = (Shape::Input, false);
    let mut before = Shape::Input;
    let mut cells = 0;
    for (position, ((layer, path), shape)) in layers.iter().zip(paths(layers)).zip(shapes).enumerate() {
        if matches!(layer, Layer::Masking(_)) && computes {
            let plan = Plan::of_section(&section, (begins_with, cells), parameters)?;
            cells += plan.cells.len();
            sections.push(Arc::new(plan));
            section.clear();
            (begins_with, computes) = (before, false);
        }
        computes |= !matches!(
            layer,
            Layer::Masking(_) | Layer::Embedding(_) | Layer::Dropout(_) | Layer::EndMask(_)
        );
        section.push((position, layer, path, *shape));
        before = *shape;
    }
    let plan = Plan::of_section(&section, (begins_with, cells), parameters)?;
    sections.push(Arc::new(plan));
    Ok(sections)
}
