//! The mistakes that the reference makes on request, so that the cases can show that they would notice.

/// A mistake that an implementation might make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mutant {
    None,
    /// i and f; of a GRU z and r.
    SwapGatesInputForget,
    /// f and g; of a GRU r and n.
    SwapGatesForgetCandidate,
    SwapGatesCandidateOutput,
    DropBias,
    /// Every gate's block of the recurrent kernel is read transposed.
    TransposeRecurrentKernel,
    IgnoreMask,
    /// The last valid step of every sequence is not run.
    MissingLastStep,
    /// A row reads the hidden state of the next row of the batch.
    NeighbourState,
    InitialStateIgnored,
    /// Before the first valid step the output is the initial hidden state, not 0.
    MaskedOutputStartsAtInitialHidden,
    /// GRU: before instead of after, and the other way round.
    ResetAfterSwapped,
    /// GRU: the recurrent bias is added beside the kernel, so that the reset gate does not reach it.
    RecurrentBiasBesideKernel,
    /// GRU: (1 - z) h + z n.
    UpdateGateInverted,
    /// LSTM: peepholes i o f taken for i f o.
    PeepholesInOnnxOrder,
    /// LSTM: the output gate sees the cell state from before the step.
    OutputPeepholeOfOldCell,
    InputForgetIgnored,
    OutputActivationIgnored,
    ClipIgnored,
    /// LSTM: the cell state is clipped too on its way to the output.
    ClipOfCellState,
    /// A Masking layer masks besides what was masked before it, instead of taking its place.
    MaskingJoinsMask,
    /// A Masking layer leaves the values of what it masks as they are.
    MaskingLeavesValues,
    /// A Masking layer masks a step of which one feature equals its value.
    MaskingOfAnyFeature,
    /// A Masking layer behind the first layer does nothing.
    MaskingBehindIgnored,
    /// The backward layer of a Bidirectional has the activations of the forward one.
    BackwardOptionsIgnored,
}

impl Mutant {
    /// Every mistake that concerns an LSTM without options.
    pub(crate) const OF_LSTM: [Self; 10] = [
        Self::SwapGatesInputForget,
        Self::SwapGatesForgetCandidate,
        Self::SwapGatesCandidateOutput,
        Self::DropBias,
        Self::TransposeRecurrentKernel,
        Self::IgnoreMask,
        Self::MissingLastStep,
        Self::NeighbourState,
        Self::InitialStateIgnored,
        Self::MaskedOutputStartsAtInitialHidden,
    ];

    /// Those of whole layers.
    pub(crate) const OF_LAYERS: [Self; 5] = [
        Self::MaskingJoinsMask,
        Self::MaskingLeavesValues,
        Self::MaskingOfAnyFeature,
        Self::MaskingBehindIgnored,
        Self::BackwardOptionsIgnored,
    ];

    /// The other ones of cells.
    pub(crate) const OF_OTHERS: [Self; 9] = [
        Self::ResetAfterSwapped,
        Self::RecurrentBiasBesideKernel,
        Self::UpdateGateInverted,
        Self::PeepholesInOnnxOrder,
        Self::OutputPeepholeOfOldCell,
        Self::InputForgetIgnored,
        Self::OutputActivationIgnored,
        Self::ClipIgnored,
        Self::ClipOfCellState,
    ];
}
