//! A training step of burn's LSTM: forward, backward and an update by Adam, on one batch from the host; the loss is read back.

use burn::nn::Lstm;
use burn::nn::loss::{MseLoss, Reduction};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};

use super::rule::{Outcome, Problem, TRAINING_STEPS};
use super::serve::Prepared;

pub(crate) struct Training {
    lstm: Lstm,
    adam: ModuleOptimizer,
    input: TensorData,
    targets: TensorData,
    device: Device,
    adapter: String,
}

impl Training {
    /// The loss is the mean squared error of all outputs; one bias is trained, as in cellstate, and Adam has PyTorch's epsilon.
    pub(crate) fn new(device: &Device, adapter: String, problem: &Problem) -> Self {
        let shape = problem.shape;
        let device = device.clone().autodiff();
        Self {
            lstm: super::lstm(problem, &device, false),
            adam: AdamConfig::new().with_epsilon(1e-8).init(),
            input: super::input(problem),
            targets: TensorData::new(problem.targets(), [shape.batch, shape.time_steps, shape.units]),
            device,
            adapter,
        }
    }
}

impl Prepared for Training {
    fn call(&mut self) -> Outcome<()> {
        let input = Tensor::<3>::from_data(self.input.clone(), &self.device);
        let targets = Tensor::<3>::from_data(self.targets.clone(), &self.device);
        let given = self.lstm.forward(input, None).0;
        let loss = MseLoss::new().forward(given, targets, Reduction::Mean);
        let gradients = GradientsParams::from_grads(loss.backward(), &self.lstm);
        self.lstm = self.adam.step(1e-3, self.lstm.clone(), gradients);
        // what stands in a queue is done only when something is asked for
        self.device.sync().map_err(|error| format!("{error:?}"))?;
        match loss.into_scalar::<f32>().is_finite() {
            true => Ok(()),
            false => Err("the loss is no number".into()),
        }
    }

    fn output(&mut self) -> Outcome<Vec<f32>> {
        for _ in 0..TRAINING_STEPS {
            self.call()?;
        }
        let input = Tensor::<3>::from_data(self.input.clone(), &self.device);
        let given = self.lstm.forward(input, None).0.into_data();
        given.try_to_vec().map_err(|error| format!("{error:?}").into())
    }

    fn adapter(&self) -> String {
        self.adapter.clone()
    }
}
