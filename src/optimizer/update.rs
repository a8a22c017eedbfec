//! What one step does to each element of a parameter, in numbers that are the same for all of its elements. A kernel of a GPU needs
//! nothing else besides weights, gradients and slots.

/// One step for one parameter. For an element with weight w and gradient g, in this order:
///
/// ```text
/// g = min(max(g · scale, -limit), limit)
/// g = g + coupled_decay · w
/// w = w - w · weight_decay · learning_rate
/// the rule changes w and its slots by g
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Update {
    /// From clipping by a norm; 1 where nothing is clipped.
    pub(crate) scale: f32,
    /// From clipping by value; infinity where nothing is clipped.
    pub(crate) limit: f32,
    /// The weight decay of PyTorch's optimisers; 0 where there is none.
    pub(crate) coupled_decay: f32,
    /// The weight decay of Keras's optimisers; 0 where there is none.
    pub(crate) weight_decay: f32,
    pub(crate) learning_rate: f32,
    pub(crate) rule: Rule,
}

/// The slots that a parameter has at most.
pub(crate) const MOST_SLOTS: usize = 3;

/// How weight and slots change by the gradient g.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    /// w -= g · rate
    Descent {
        rate: f32,
    },
    Momentum(Momentum),
    RmsProp(RmsProp),
    Moments(Moments),
    Adagrad(Adagrad),
    Lion(Lion),
}

/// Slot: momentum m.
///
/// ```text
/// m = momentum · m + gradient · g
/// w += step · m                                    or, with nesterov,
/// w += step · (momentum · m + gradient · g)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Momentum {
    pub(crate) momentum: f32,
    pub(crate) gradient: f32,
    pub(crate) step: f32,
    pub(crate) nesterov: bool,
}

/// Slots: velocity v, average gradient a (if centered), momentum m (if not 0).
///
/// ```text
/// v = rho · v + rest · g²
/// a = rho · a + rest · g
/// d = √(max(v - a², 0) + epsilon_inside) + epsilon_outside
/// m = momentum · m + gradient · g / d
/// w += step · m
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RmsProp {
    pub(crate) rho: f32,
    /// 1 - rho, rounded once.
    pub(crate) rest: f32,
    pub(crate) centered: bool,
    pub(crate) epsilon: Epsilon,
    pub(crate) momentum: f32,
    pub(crate) gradient: f32,
    pub(crate) step: f32,
}

/// Slots: momentum m, velocity v, and with AMSGrad the largest velocity so far, u. Adam and Nadam.
///
/// ```text
/// m += (g - m) · rest_1
/// v += (g² - v) · rest_2
/// u = max(u, v)                                    without AMSGrad u = v
/// w -= (m · momentum + g · gradient) / (√u + epsilon)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments {
    /// 1 - beta_1, rounded once.
    pub(crate) rest_1: f32,
    /// 1 - beta_2, rounded once.
    pub(crate) rest_2: f32,
    pub(crate) amsgrad: bool,
    /// The learning rate with the corrections of both moments.
    pub(crate) momentum: f32,
    /// 0 but for Nadam.
    pub(crate) gradient: f32,
    pub(crate) epsilon: f32,
}

/// Slot: accumulator s.
///
/// ```text
/// s += g²
/// w -= rate · g / (√(s + epsilon_inside) + epsilon_outside)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Adagrad {
    pub(crate) rate: f32,
    pub(crate) epsilon: Epsilon,
}

/// Slot: momentum m.
///
/// ```text
/// w -= rate · sign(m · beta_1 + g · rest_1)
/// m = m · beta_2 + g · rest_2
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lion {
    pub(crate) rate: f32,
    pub(crate) beta_1: f32,
    pub(crate) rest_1: f32,
    pub(crate) beta_2: f32,
    pub(crate) rest_2: f32,
}

/// Where epsilon is added: one of the two is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Epsilon {
    /// Below the root, as Keras does.
    pub(crate) inside: f32,
    /// To the root, as PyTorch does.
    pub(crate) outside: f32,
}
