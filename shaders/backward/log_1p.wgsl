// log_1p: the logarithm of 1 + t, of a t from 0, also where 1 + t is 1 in f32.
//
//   log(1 + t) = 2 atanh(t / (2 + t)) = 2 (s + s³ / 3 + s⁵ / 5 + …)   with s = t / (2 + t), at most ⅓ where t is at most 1

fn log_1p(t: f32) -> f32 {
    if (t > 1.0) {
        return log(1.0 + t);
    }
    let s = t / (2.0 + t);
    let q = s * s;
    let tail = 1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0)));
    return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * tail)));
}
