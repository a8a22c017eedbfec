// The elementwise activation functions of Keras 3.15, and ONNX's with alpha and beta. The codes are those of `Activation`
// in src/activation.rs; softmax and log_softmax need a whole row and are not here.

const ACTIVATION_LINEAR: u32 = 0u;
const ACTIVATION_TANH: u32 = 1u;
const ACTIVATION_SIGMOID: u32 = 2u;
const ACTIVATION_ELU: u32 = 3u;
const ACTIVATION_CELU: u32 = 4u;
const ACTIVATION_SELU: u32 = 5u;
const ACTIVATION_GELU: u32 = 6u;
const ACTIVATION_SILU: u32 = 7u;
const ACTIVATION_MISH: u32 = 8u;
const ACTIVATION_SOFTPLUS: u32 = 9u;
const ACTIVATION_SOFTSIGN: u32 = 10u;
const ACTIVATION_SQUAREPLUS: u32 = 11u;
const ACTIVATION_EXPONENTIAL: u32 = 12u;
const ACTIVATION_LOG_SIGMOID: u32 = 13u;
const ACTIVATION_TANH_SHRINK: u32 = 14u;
const ACTIVATION_SOFTMAX: u32 = 15u;
const ACTIVATION_LOG_SOFTMAX: u32 = 16u;
const ACTIVATION_RELU: u32 = 17u;
const ACTIVATION_RELU6: u32 = 18u;
const ACTIVATION_LEAKY_RELU: u32 = 19u;
const ACTIVATION_HARD_SHRINK: u32 = 20u;
const ACTIVATION_SOFT_SHRINK: u32 = 21u;
const ACTIVATION_HARD_SIGMOID: u32 = 22u;
const ACTIVATION_HARD_SILU: u32 = 23u;
const ACTIVATION_HARD_TANH: u32 = 24u;
const ACTIVATION_SPARSE_PLUS: u32 = 25u;
const ACTIVATION_SPARSE_SIGMOID: u32 = 26u;
const ACTIVATION_HARD_SIGMOID_KERAS2: u32 = 27u;
const ACTIVATION_AFFINE: u32 = 28u;
const ACTIVATION_SCALED_TANH: u32 = 29u;
const ACTIVATION_HARD_SIGMOID_WITH: u32 = 30u;
const ACTIVATION_LEAKY_RELU_WITH: u32 = 31u;
const ACTIVATION_ELU_WITH: u32 = 32u;
const ACTIVATION_THRESHOLDED_RELU: u32 = 33u;

// Whether the formula has 0 * inf, inf - inf or inf / inf at an infinity, so that Keras gives NaN there.
fn is_undefined(kind: u32, alpha: f32, beta: f32, negative: bool) -> bool {
    switch kind {
        case ACTIVATION_GELU, ACTIVATION_SILU, ACTIVATION_MISH, ACTIVATION_HARD_SILU, ACTIVATION_SQUAREPLUS: { return negative; }
        case ACTIVATION_SOFTSIGN: { return true; }
        case ACTIVATION_AFFINE, ACTIVATION_HARD_SIGMOID_WITH: { return alpha == 0.0; }
        case ACTIVATION_SCALED_TANH: { return beta == 0.0; }
        case ACTIVATION_LEAKY_RELU_WITH: { return negative && alpha == 0.0; }
        default: { return false; }
    }
}

// NaN stays NaN, and an infinity gives what Keras's formula gives.
fn activate(kind: u32, alpha: f32, beta: f32, x: f32) -> f32 {
    // min, max and clamp may drop NaN, and compilers drop x != x and do not make a NaN: the bits are what stays
    let bits = bitcast<u32>(x);
    let is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    // what nearly all cells have goes without a branch, so that the gates of a unit are worked out beside each other
    switch kind {
        case ACTIVATION_TANH: { return select(hyperbolic_tangent(x), x, is_nan); }
        case ACTIVATION_SIGMOID: { return select(sigmoid(x), x, is_nan); }
        default: {}
    }
    if (is_nan) {
        return select(x, 0.0, kind == ACTIVATION_HARD_SHRINK || kind == ACTIVATION_SOFT_SHRINK);
    }
    if ((bits & 0x7fffffffu) == 0x7f800000u && is_undefined(kind, alpha, beta, bits != 0x7f800000u)) {
        return bitcast<f32>(bits | 0x00400000u); // the quiet bit
    }
    switch kind {
        case ACTIVATION_ELU, ACTIVATION_CELU: { return select(exponential_minus_one(x), x, x > 0.0); }
        case ACTIVATION_SELU: {
            return 1.050701 * select(1.6732632 * exponential_minus_one(x), x, x > 0.0);
        }
        case ACTIVATION_GELU: { return gelu(x); }
        case ACTIVATION_SILU: { return max(x, -80.0) * sigmoid(x); }
        case ACTIVATION_MISH: { return mish(x); }
        case ACTIVATION_SOFTPLUS: { return max(x, 0.0) + log_one_plus_exponential(abs(x)); }
        case ACTIVATION_SOFTSIGN: { return softsign(x); }
        case ACTIVATION_SQUAREPLUS: { return squareplus(x); }
        case ACTIVATION_EXPONENTIAL: { return exp(x); }
        case ACTIVATION_LOG_SIGMOID: { return min(x, 0.0) - log_one_plus_exponential(abs(x)); }
        case ACTIVATION_TANH_SHRINK: { return tanh_shrink(x); }
        case ACTIVATION_RELU: { return max(x, 0.0); }
        case ACTIVATION_RELU6: { return clamp(x, 0.0, 6.0); }
        case ACTIVATION_LEAKY_RELU: { return select(0.2 * x, x, x >= 0.0); }
        case ACTIVATION_HARD_SHRINK: { return select(0.0, x, abs(x) > 0.5); }
        case ACTIVATION_SOFT_SHRINK: { return x - clamp(x, -0.5, 0.5); }
        case ACTIVATION_HARD_SIGMOID: { return hard_sigmoid(x); }
        case ACTIVATION_HARD_SILU: { return x * hard_sigmoid(x); }
        case ACTIVATION_HARD_TANH: { return clamp(x, -1.0, 1.0); }
        case ACTIVATION_SPARSE_PLUS: { return sparse_plus(x); }
        case ACTIVATION_SPARSE_SIGMOID: { return 0.5 * (clamp(x, -1.0, 1.0) + 1.0); }
        case ACTIVATION_HARD_SIGMOID_KERAS2: { return clamp(0.2 * x + 0.5, 0.0, 1.0); }
        case ACTIVATION_AFFINE: { return alpha * x + beta; }
        case ACTIVATION_SCALED_TANH: { return alpha * hyperbolic_tangent(beta * x); }
        case ACTIVATION_HARD_SIGMOID_WITH: { return clamp(alpha * x + beta, 0.0, 1.0); }
        case ACTIVATION_LEAKY_RELU_WITH: { return select(alpha * x, x, x >= 0.0); }
        case ACTIVATION_ELU_WITH: { return select(alpha * exponential_minus_one(x), x, x >= 0.0); }
        case ACTIVATION_THRESHOLDED_RELU: { return select(0.0, x, x > alpha); }
        default: { return x; }
    }
}

fn activate4(kind: u32, alpha: f32, beta: f32, x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        activate(kind, alpha, beta, x.x),
        activate(kind, alpha, beta, x.y),
        activate(kind, alpha, beta, x.z),
        activate(kind, alpha, beta, x.w),
    );
}
