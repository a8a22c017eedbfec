//! What there is for a moment, to find out where each weight goes, against what is told of it.

use super::super::repack::Repack;
use super::*;
use crate::gpu::device::buffer::Use;
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;

/// Models, with how often their weights are read in digits: twice, and twice more where a bias has two rows.
fn models() -> [(Model, u64); 3] {
    [
        (Model::builder().add(Lstm::new(30, 70)).add(Dense::new(70, 3)), 2),
        (Model::builder().add(Embedding::new(500, 9)).add(Lstm::new(9, 20)), 2),
        (Model::builder().add(Gru::new(30, 33)), 4),
    ]
    .map(|(builder, digits)| (builder.build().unwrap(), digits))
}

#[test]
fn it_is_found_where_each_weight_goes_within_what_is_told() {
    for gpu in own_gpus() {
        let bytes = || gpu.counters().bytes();
        for (model, digits) in models() {
            let (plan, settings) = (model.plan(), Settings::new());
            let before = bytes();
            let made = GpuTraining::new(&gpu, Arc::clone(plan), &settings, Arc::from("GPU"));
            let mut training = pollster::block_on(made).unwrap();
            let weights = bytes() - before;
            let find = Repack::bytes_to_find(&training.model);
            let before = bytes();
            let repack = pollster::block_on(Repack::of(&training.model)).unwrap().unwrap();
            // what one digit has taken is given back before the next one
            assert_eq!(bytes() - before, digits * find + repack.bytes());
            let pass = training.model.memory(1, 1).unwrap();
            let told = training.memory((1, 1), false, None).unwrap();
            assert!(told >= weights + pass + repack.bytes() + find);
            // a way back has run before: its memory is given back first
            training.buffers.get(&gpu, ("nothing", 0), 4, Use::Storage).unwrap();
            pollster::block_on(training.make_repack()).unwrap();
            assert_eq!(training.buffers.held().count(), 0);
            assert!(training.memory((1, 1), false, None).unwrap() <= told);
        }
    }
}
