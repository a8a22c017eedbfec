// The formulas of the activations that are longer than a line.
//
// WGSL's own tanh may be off by 1e-5 and may overflow, and its log is exact to 5e-7 only, so that both have formulas of
// their own here. No finite argument gives NaN, nor infinity where the true value is finite.

// Stops at 87, for beyond 2^126 = exp(87.3) WGSL promises nothing about a quotient; as the CPU path does.
fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-clamp(x, -87.0, 87.0)));
}

// Below 0.25 the odd series: 1 - exp(-2a) would cancel. From 20 on it is 1.
fn hyperbolic_tangent(x: f32) -> f32 {
    let a = min(abs(x), 20.0);
    let e = exp(-2.0 * a);
    let z = a * a;
    let series = a * (1.0 + z * (-0.33333334 + z * (0.13333334 + z * (-0.053968254 + z * 0.021869488))));
    let bits = bitcast<u32>(select((1.0 - e) / (1.0 + e), series, a < 0.25));
    return bitcast<f32>(bits | (bitcast<u32>(x) & 0x80000000u)); // the sign of x
}

// exp(x) - 1 for x <= 0, as 2 t / (1 - t) with t = tanh(x / 2), which does not cancel near 0.
fn exponential_minus_one(x: f32) -> f32 {
    let t = hyperbolic_tangent(0.5 * min(x, 0.0));
    return 2.0 * t / (1.0 - t);
}

// ln(1 + exp(-a)) for a >= 0: ln(1 + e) = 2 artanh(e / (2 + e)), whose argument is 1/3 at most.
fn log_one_plus_exponential(a: f32) -> f32 {
    let e = exp(-min(a, 80.0));
    let t = e / (2.0 + e);
    let z = t * t;
    let series = 0.2 + z * (0.14285715 + z * (0.11111111 + z * (0.09090909 + z * 0.07692308)));
    return 2.0 * t * (1.0 + z * (0.33333334 + z * series));
}

// max(x, 0) - a Q(a), a = |x|, where Q is the normal distribution's tail, half of erfc(a / sqrt 2). Chebyshev's fit of
// erfc (W. H. Press et al., Numerical Recipes, section 6.2) has a relative error of 1.2e-7, so that gelu's absolute
// error, Q's error times a (0.17 at most), stays below 1e-7 besides rounding. At 14 the tail is below 1e-42.
fn gelu(x: f32) -> f32 {
    let a = min(abs(x), 14.0);
    let z = 0.70710677 * a;
    let t = 1.0 / (1.0 + 0.5 * z);
    let high = -0.18628806 + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))));
    let power = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * high)));
    return max(x, 0.0) - 0.5 * a * t * exp(power - z * z);
}

// tanh(ln(1 + e)) is n / (n + 2) with n = e (e + 2); from 20 on it is 1, and below -80 the product is nothing.
fn mish(x: f32) -> f32 {
    let e = exp(clamp(x, -80.0, 20.0));
    let n = e * (e + 2.0);
    return max(x, -80.0) * (n / (n + 2.0));
}

// The values at x and -x are each other's inverses, which saves the left side from cancelling. Beyond 1e18, where the
// square could overflow, the root is |x|; drivers rewrite sums, so that nothing here relies on their order.
fn squareplus(x: f32) -> f32 {
    let a = abs(x);
    let b = min(a, 1e18);
    let right = select(0.5 * (b + sqrt(b * b + 4.0)), a, a > 1e18);
    return select(right, 1.0 / min(right, 1e37), x < 0.0);
}

// The series where the two terms cancel.
fn tanh_shrink(x: f32) -> f32 {
    let a = min(abs(x), 1.0);
    let z = a * a;
    let series = x * z * (0.33333334 + z * (-0.13333334 + z * (0.053968254 - z * 0.021869488)));
    return select(x - hyperbolic_tangent(x), series, a < 0.25);
}

fn softsign(x: f32) -> f32 {
    let c = clamp(x, -1e30, 1e30);
    return c / (1.0 + abs(c));
}

fn hard_sigmoid(x: f32) -> f32 {
    return clamp(x + 3.0, 0.0, 6.0) / 6.0;
}

fn sparse_plus(x: f32) -> f32 {
    let shifted = clamp(x, -1.0, 1.0) + 1.0;
    return select(0.25 * shifted * shifted, x, x >= 1.0);
}
