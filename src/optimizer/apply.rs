//! The elementwise loops of an update on the CPU, in f32 and in the order of operations of Keras in float32.

use rayon::prelude::*;

use super::update::{Adagrad, Epsilon, Lion, MOST_SLOTS, Moments, Momentum, RmsProp, Rule, Update};
use crate::sums::{CHUNK, PARALLEL};

/// The numbers of a parameter, or of a part of it: all of one length, but for slots that the rule has not.
pub(super) struct Elements<'a> {
    pub(super) weights: &'a [f32],
    /// Where the new weights are written.
    pub(super) stepped: &'a mut [f32],
    /// What is left in it is of no use.
    pub(super) gradients: &'a mut [f32],
    pub(super) slots: [&'a mut [f32]; MOST_SLOTS],
    /// Where the slots are kept as they were.
    pub(super) earlier: [&'a mut [f32]; MOST_SLOTS],
}

/// Updates parameters, each with its own update. An element depends on no other, so that threads change no bit.
pub(super) fn apply(parameters: Vec<(Update, Elements<'_>)>) {
    let elements: usize = parameters.iter().map(|(_, part)| part.weights.len()).sum();
    let mut tasks = Vec::with_capacity(elements.div_ceil(CHUNK).saturating_add(parameters.len()));
    for (update, parameter) in parameters {
        let mut slots = parameter.slots.map(|slot| slot.chunks_mut(CHUNK));
        let mut earlier = parameter.earlier.map(|slot| slot.chunks_mut(CHUNK));
        let weights = parameter.weights.chunks(CHUNK).zip(parameter.stepped.chunks_mut(CHUNK));
        for ((weights, stepped), gradients) in weights.zip(parameter.gradients.chunks_mut(CHUNK)) {
            let part = Elements {
                weights,
                stepped,
                gradients,
                slots: slots.each_mut().map(|slot| slot.next().unwrap_or_default()),
                earlier: earlier.each_mut().map(|slot| slot.next().unwrap_or_default()),
            };
            tasks.push((update, part));
        }
    }
    if elements < PARALLEL {
        tasks.into_iter().for_each(|(update, part)| update_part(&update, part));
    } else {
        tasks
            .into_par_iter()
            .for_each(|(update, part)| update_part(&update, part));
    }
}

fn update_part(update: &Update, part: Elements<'_>) {
    let Elements {
        weights: before,
        stepped: weights,
        gradients,
        slots,
        earlier,
    } = part;
    // here, where a part of them is in the first cache
    weights.copy_from_slice(before);
    for (earlier, slot) in earlier.into_iter().zip(&slots) {
        earlier.copy_from_slice(slot);
    }
    if update.scale != 1.0 {
        gradients.iter_mut().for_each(|gradient| *gradient *= update.scale);
    }
    if update.limit < f32::INFINITY {
        let limit = update.limit;
        gradients
            .iter_mut()
            .for_each(|gradient| *gradient = gradient.max(-limit).min(limit));
    }
    if update.coupled_decay != 0.0 {
        for (gradient, &weight) in gradients.iter_mut().zip(&*weights) {
            *gradient += update.coupled_decay * weight;
        }
    }
    if update.weight_decay != 0.0 {
        for weight in &mut *weights {
            *weight -= *weight * update.weight_decay * update.learning_rate;
        }
    }
    let [first, second, third] = slots;
    match &update.rule {
        Rule::Descent { rate } => add(weights, gradients, -rate),
        Rule::Momentum(rule) => momentum(rule, weights, gradients, first),
        Rule::RmsProp(rule) => rms_prop(rule, weights, gradients, [first, second, third]),
        Rule::Moments(rule) => moments(rule, weights, gradients, [first, second, third]),
        Rule::Adagrad(rule) => adagrad(rule, weights, gradients, first),
        Rule::Lion(rule) => lion(rule, weights, gradients, first),
    }
}

/// w += factor · x
fn add(weights: &mut [f32], values: &[f32], factor: f32) {
    for (weight, &value) in weights.iter_mut().zip(values) {
        *weight += factor * value;
    }
}

fn momentum(rule: &Momentum, weights: &mut [f32], gradients: &[f32], momenta: &mut [f32]) {
    for (m, &g) in momenta.iter_mut().zip(gradients) {
        *m = *m * rule.momentum + g * rule.gradient;
    }
    if rule.nesterov {
        for ((w, &g), &m) in weights.iter_mut().zip(gradients).zip(&*momenta) {
            *w += rule.step * (m * rule.momentum + g * rule.gradient);
        }
    } else {
        add(weights, momenta, rule.step);
    }
}

/// The slots that there are stand in front: `slots` is [v, a, m], [v, a], [v, m] or [v].
fn rms_prop(rule: &RmsProp, weights: &mut [f32], gradients: &mut [f32], slots: [&mut [f32]; MOST_SLOTS]) {
    let [velocities, second, third] = slots;
    for (v, &g) in velocities.iter_mut().zip(&*gradients) {
        *v = rule.rho * *v + rule.rest * (g * g);
    }
    let momenta = if rule.centered {
        for ((a, g), &v) in second.iter_mut().zip(&mut *gradients).zip(&*velocities) {
            *a = rule.rho * *a + rule.rest * *g;
            let variance = v - *a * *a;
            let variance = if variance < 0.0 { 0.0 } else { variance };
            *g = rule.gradient * *g / rule.epsilon.root(variance);
        }
        third
    } else {
        for (g, &v) in gradients.iter_mut().zip(&*velocities) {
            *g = rule.gradient * *g / rule.epsilon.root(v);
        }
        second
    };
    if rule.momentum == 0.0 {
        return add(weights, gradients, rule.step);
    }
    for (m, &g) in momenta.iter_mut().zip(&*gradients) {
        *m = rule.momentum * *m + g;
    }
    add(weights, momenta, rule.step);
}

fn moments(rule: &Moments, weights: &mut [f32], gradients: &[f32], slots: [&mut [f32]; MOST_SLOTS]) {
    let [momenta, velocities, largest] = slots;
    for ((m, v), &g) in momenta.iter_mut().zip(&mut *velocities).zip(gradients) {
        *m += (g - *m) * rule.rest_1;
        *v += (g * g - *v) * rule.rest_2;
    }
    let roots = if rule.amsgrad {
        for (largest, &v) in largest.iter_mut().zip(&*velocities) {
            *largest = largest.max(v);
        }
        largest
    } else {
        velocities
    };
    for (((w, &g), &m), &v) in weights.iter_mut().zip(gradients).zip(&*momenta).zip(&*roots) {
        *w -= (m * rule.momentum + g * rule.gradient) / (v.sqrt() + rule.epsilon);
    }
}

fn adagrad(rule: &Adagrad, weights: &mut [f32], gradients: &[f32], sums: &mut [f32]) {
    for ((w, &g), s) in weights.iter_mut().zip(gradients).zip(sums) {
        *s += g * g;
        *w -= rule.rate * g / rule.epsilon.root(*s);
    }
}

fn lion(rule: &Lion, weights: &mut [f32], gradients: &[f32], momenta: &mut [f32]) {
    for ((w, &g), m) in weights.iter_mut().zip(gradients).zip(momenta) {
        let direction = *m * rule.beta_1 + g * rule.rest_1;
        *w -= rule.rate * (f32::from(direction > 0.0) - f32::from(direction < 0.0));
        *m = *m * rule.beta_2 + g * rule.rest_2;
    }
}

impl Epsilon {
    /// √x, and epsilon where it belongs: to add 0 changes nothing.
    fn root(self, x: f32) -> f32 {
        (x + self.inside).sqrt() + self.outside
    }
}
