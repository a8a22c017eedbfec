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
    /// A LayerNormalization divides by one less than the number of features.
    SampleVariance,
    /// A normalisation adds epsilon to the deviation, behind the root.
    EpsilonOutside,
    /// A BatchNormalization adds beta and multiplies by gamma then.
    BetaBeforeGamma,
    /// A Flatten or a Reshape reads a feature at all time steps, then the next one.
    ReshapeByFeatures,
    /// A Reshape leaves the mask as it is.
    ReshapeKeepsMask,
    /// An activation or a normalisation ends the mask.
    RowsEndMask,
    /// The last step is the last one that counts, and zeros where none does.
    LastStepThatCounts,
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
    pub(crate) const OF_LAYERS: [Self; 12] = [
        Self::MaskingJoinsMask,
        Self::MaskingLeavesValues,
        Self::MaskingOfAnyFeature,
        Self::MaskingBehindIgnored,
        Self::BackwardOptionsIgnored,
        Self::SampleVariance,
        Self::EpsilonOutside,
        Self::BetaBeforeGamma,
        Self::ReshapeByFeatures,
        Self::ReshapeKeepsMask,
        Self::RowsEndMask,
        Self::LastStepThatCounts,
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
/// A mistake that a way back might make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum BackwardMutant {
    None,
    /// The gradient of the cell state ends with each step.
    CarryDropped,
    /// The gradient of the hidden state ends with each step.
    HiddenDropped,
    /// Masked steps are gone back through as if they had been run.
    MaskIgnored,
    BiasTwice,
    /// What the loss says of an output that a masked step repeats is lost.
    RepeatedOutputDropped,
    FinalStatesIgnored,
    InitialStatesIgnored,
    /// Of a token that stands there several times, one place counts.
    TokensOnce,
}

impl BackwardMutant {
    pub(crate) const ALL: [Self; 8] = [
        Self::CarryDropped,
        Self::HiddenDropped,
        Self::MaskIgnored,
        Self::BiasTwice,
        Self::RepeatedOutputDropped,
        Self::FinalStatesIgnored,
        Self::InitialStatesIgnored,
        Self::TokensOnce,
    ];
}
