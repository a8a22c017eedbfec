// The slopes of the activations of shaders/shared/activations.wgsl. At a kink they are those of TensorFlow, which Keras trains with.

fn between(x: f32, low: f32, high: f32) -> f32 {
    return select(0.0, 1.0, x > low && x < high);
}

fn sigmoid_slope(x: f32) -> f32 {
    let s = sigmoid(abs(x)); // so that 1 - s, the small one, is worked out without a loss
    let e = exp(-min(abs(x), 87.0));
    return s * (e / (1.0 + e));
}

// 1 - tanh², as 4 e / (1 + e)² with e = exp(-2 |x|), which does not cancel.
fn tanh_slope(x: f32) -> f32 {
    let e = exp(-2.0 * min(abs(x), 40.0));
    return 4.0 * e / ((1.0 + e) * (1.0 + e));
}

// The normal distribution and its density: the slope of x Φ(x) is Φ(x) + x φ(x).
fn gelu_slope(x: f32) -> f32 {
    let a = min(abs(x), 14.0);
    // gelu(-a) = -a Φ(-a), whose series is good next to 0 too, where a quotient would not be
    let tail = select(-gelu(-a) / max(a, 1e-3), 0.5 - 0.3989423 * a, a < 1e-3);
    let density = 0.3989423 * exp(-0.5 * a * a);
    let right = 1.0 - tail + a * density;
    return select(1.0 - right, right, x >= 0.0);
}

fn mish_slope(x: f32) -> f32 {
    let e = exp(clamp(x, -80.0, 20.0));
    let n = e * (e + 2.0);
    let t = n / (n + 2.0);
    // the slope of tanh(softplus(x)) is (1 - t²) sigmoid(x), and 1 - t is 2 / (n + 2)
    return t + max(x, -80.0) * (2.0 / (n + 2.0)) * (1.0 + t) * sigmoid(x);
}

fn squareplus_slope(x: f32) -> f32 {
    let a = clamp(x, -1e18, 1e18);
    let root = sqrt(a * a + 4.0);
    let right = 0.5 + 0.5 * abs(a) / root;
    // 1 - a / root without a loss: 4 / (root (root + a))
    return select(2.0 / root / (root + abs(a)), right, a >= 0.0);
}

fn derivative(kind: u32, alpha: f32, beta: f32, x: f32) -> f32 {
    switch kind {
        case ACTIVATION_TANH: { return tanh_slope(x); }
        case ACTIVATION_SIGMOID: { return sigmoid_slope(x); }
        case ACTIVATION_ELU, ACTIVATION_CELU: { return select(exp(min(x, 0.0)), 1.0, x > 0.0); }
        case ACTIVATION_SELU: { return 1.050701 * select(1.6732632 * exp(min(x, 0.0)), 1.0, x >= 0.0); }
        case ACTIVATION_GELU: { return gelu_slope(x); }
        case ACTIVATION_SILU: { return sigmoid(x) + clamp(x, -80.0, 80.0) * sigmoid_slope(x); }
        case ACTIVATION_MISH: { return mish_slope(x); }
        case ACTIVATION_SOFTPLUS: { return sigmoid(x); }
        case ACTIVATION_SOFTSIGN: {
            let c = 1.0 / (1.0 + min(abs(x), 1e18));
            return c * c;
        }
        case ACTIVATION_SQUAREPLUS: { return squareplus_slope(x); }
        case ACTIVATION_EXPONENTIAL: { return exp(x); }
        case ACTIVATION_LOG_SIGMOID: { return sigmoid(-x); }
        case ACTIVATION_TANH_SHRINK: {
            let t = hyperbolic_tangent(x);
            return t * t;
        }
        case ACTIVATION_RELU: { return select(0.0, 1.0, x > 0.0); }
        case ACTIVATION_RELU6: { return between(x, 0.0, 6.0); }
        case ACTIVATION_LEAKY_RELU: { return select(0.2, 1.0, x > 0.0); }
        case ACTIVATION_HARD_SHRINK, ACTIVATION_SOFT_SHRINK: { return select(0.0, 1.0, abs(x) > 0.5); }
        case ACTIVATION_HARD_SIGMOID: { return between(x, -3.0, 3.0) / 6.0; }
        case ACTIVATION_HARD_SILU: { return hard_sigmoid(x) + x * between(x, -3.0, 3.0) / 6.0; }
        case ACTIVATION_HARD_TANH: { return select(0.0, 1.0, abs(x) <= 1.0); }
        case ACTIVATION_SPARSE_PLUS: { return 0.5 * (clamp(x, -1.0, 1.0) + 1.0); }
        case ACTIVATION_SPARSE_SIGMOID: { return 0.5 * between(x, -1.0, 1.0); }
        case ACTIVATION_HARD_SIGMOID_KERAS2: { return 0.2 * between(0.2 * x + 0.5, 0.0, 1.0); }
        case ACTIVATION_AFFINE: { return alpha; }
        case ACTIVATION_SCALED_TANH: { return alpha * beta * tanh_slope(beta * x); }
        case ACTIVATION_HARD_SIGMOID_WITH: { return alpha * between(alpha * x + beta, 0.0, 1.0); }
        case ACTIVATION_LEAKY_RELU_WITH: { return select(alpha, 1.0, x > 0.0); }
        case ACTIVATION_ELU_WITH: { return select(alpha * exp(min(x, 0.0)), 1.0, x >= 0.0); }
        case ACTIVATION_THRESHOLDED_RELU: { return select(0.0, 1.0, x > alpha); }
        default: { return 1.0; }
    }
}
