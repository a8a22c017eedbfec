//! Lengths of sequences: an input of the graph where the layers of the model count with a mask.

use super::writer::unsupported;
use crate::error::Result;
use crate::layer::Layer;

/// Whether the file has an input of lengths: where a recurrent layer says what padding becomes (`zero_output_for_mask`), as those read from a
/// file with lengths do. ONNX makes zeros of padding, and so has the last layer that gives every time step.
pub(super) fn wanted(layers: &[Layer]) -> Result<bool> {
    let (mut wanted, mut last) = (false, None);
    for layer in layers {
        let zeros = match layer {
            Layer::Recurrent(layer) => Some(layer.options().zero_output_for_mask),
            Layer::StackedRnnCells(stack) => Some(stack.options().zero_output_for_mask),
            _ => None,
        };
        wanted |= zeros == Some(true);
        if matches!(
            layer,
            Layer::Recurrent(_) | Layer::StackedRnnCells(_) | Layer::Bidirectional(_)
        ) {
            let holds_values = zeros == Some(false) && are_handed_on(layer);
            last = holds_values.then(|| layer.class());
        }
        if !are_handed_on(layer) {
            break;
        }
    }
    match last.filter(|_| wanted) {
        Some(class) => Err(unsupported(
            class,
            "outputs at padding that are those of the step before, behind a layer with zero_output_for_mask(true)",
            "say zero_output_for_mask(true) of this layer too, for ONNX makes zeros of padding",
        )),
        None => Ok(wanted),
    }
}

/// Whether what a layer gives has the lengths of its input.
pub(super) fn are_handed_on(layer: &Layer) -> bool {
    match layer {
        Layer::Recurrent(layer) => layer.options().return_sequences,
        Layer::StackedRnnCells(stack) => stack.options().return_sequences,
        Layer::Bidirectional(layer) => layer.forward().options().return_sequences,
        Layer::EndMask(_) | Layer::RepeatVector(_) | Layer::Flatten(_) | Layer::Reshape(_) | Layer::LastStep(_) => {
            false
        }
        _ => true,
    }
}
