//! Every public type may go to another thread and be used by several; errors print.

use cellstate::*;

fn shared<T: Send + Sync + std::fmt::Debug>() {}

#[test]
fn every_public_type_is_send_sync_and_debug() {
    shared::<Activation>();
    shared::<Candidate>();
    shared::<Explanation>();
    shared::<Instructions>();
    shared::<Precision>();
    shared::<Settings>();
    shared::<Strategy>();
    shared::<Timing>();
    shared::<TunedLayer>();
    shared::<Tuning>();
    shared::<Bidirectional>();
    shared::<Counters>();
    shared::<Dense>();
    shared::<DenseWeights>();
    shared::<Device>();
    shared::<Embedding>();
    shared::<Error>();
    shared::<Gpu>();
    shared::<GpuWorkspace>();
    shared::<Initializer>();
    shared::<Layer>();
    shared::<Lstm>();
    shared::<LstmOptions>();
    shared::<LstmWeights>();
    shared::<Mask>();
    shared::<Masking>();
    shared::<MergeMode>();
    shared::<Model>();
    shared::<ModelBuilder>();
    shared::<Output>();
    shared::<Padding>();
    shared::<Runner>();
    shared::<Recurrent>();
    shared::<Gru>();
    shared::<SimpleRnn>();
    shared::<Parameters>();
    shared::<Parameter>();
    shared::<Sequences<'static>>();
    shared::<Side>();
    shared::<StackedRnnCells>();
    shared::<State>();
    shared::<States>();
    shared::<Windows>();
}

/// The futures too, so that any executor takes them.
#[test]
fn futures_are_send() {
    fn sent<T: Send>(_: T) {}
    let runner = Lstm::new(2, 3).on(&Device::cpu()).unwrap();
    let batch = Sequences::from(ndarray::Array3::zeros((1, 2, 2)));
    let mut states = runner.zero_state(1);
    sent(runner.run_async(&batch));
    sent(runner.run_from_async(&batch, &mut states));
    sent(Device::auto_async());
    sent(Device::named_async("cpu"));
    sent(Device::adapters_async());
    let model = Model::builder().add(Lstm::new(2, 3)).build().unwrap();
    let device = Device::cpu();
    sent(model.on_async(&device));
}

#[test]
fn errors_are_values() {
    let error = Lstm::new(0, 0).weights().unwrap_err();
    assert_eq!(error.clone(), error);
    let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    assert!(boxed.source().is_none());
}
