//! What the gates of a cell have left out of a batch in training.

/// What the way back reads of it: factors by position, gate and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeftOut<'a> {
    /// The position of each row.
    pub(crate) positions: &'a wgpu::Buffer,
    /// Of h, from a value of a buffer on,
    pub(crate) of_hidden: (&'a wgpu::Buffer, usize),
    /// and of the input, if any of that is left out.
    pub(crate) of_input: Option<&'a wgpu::Buffer>,
}
