//! The options of the trainings of golden cases: losses and optimisers by their names in Keras and PyTorch.

use cellstate::{
    Adagrad, Adam, AdamW, BinaryCrossentropy, CategoricalCrossentropy, Huber, Lion, Loss, Nadam, Optimizer, RmsProp,
    Sgd, SparseCategoricalCrossentropy,
};
use serde_json::{Map, Value};

use super::super::support::layers::Refusal;

/// Sets an option to a value.
type With<T> = fn(T, f64) -> T;

/// The options of a training. Each must be asked for, so none is passed over in silence.
pub(super) struct Options(Map<String, Value>);

impl Options {
    pub(super) fn of(options: &Value) -> Result<Self, String> {
        let options = options.as_object().cloned();
        options.map(Self).ok_or("the case has no `training`".to_owned())
    }

    pub(super) fn take(&mut self, option: &str) -> Result<Value, String> {
        self.0.remove(option).ok_or_else(|| format!("{option} is not given"))
    }

    fn number(&mut self, option: &str) -> Result<f64, String> {
        let value = self.take(option)?;
        value.as_f64().ok_or_else(|| format!("{option}={value} is no number"))
    }

    pub(super) fn size(&mut self, option: &str) -> Result<usize, String> {
        let value = self.take(option)?;
        let size = value.as_u64().map(|size| size as usize);
        size.ok_or_else(|| format!("{option}={value} is no size"))
    }

    fn flag(&mut self, option: &str) -> Result<bool, String> {
        let value = self.take(option)?;
        value
            .as_bool()
            .ok_or_else(|| format!("{option}={value} is neither true nor false"))
    }

    /// The prefixes of some layers; none where the option is not given.
    pub(super) fn prefixes(&mut self, option: &str) -> Result<Vec<String>, String> {
        let prefixes = self.0.remove(option).unwrap_or(Value::Array(Vec::new()));
        let texts = prefixes.as_array().into_iter().flatten();
        let texts = texts.map(|prefix| prefix.as_str().map(str::to_owned));
        texts
            .collect::<Option<_>>()
            .ok_or(format!("{option}={prefixes} are no prefixes"))
    }

    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.0.iter().next() {
            None => Ok(()),
            Some((option, value)) => Err(Refusal::Cannot(format!("{option}={value}: unknown option"))),
        }
    }

    /// A name, or a class of Keras with its options.
    fn class(&mut self, option: &str) -> Result<(String, Self), String> {
        match self.take(option)? {
            Value::String(name) => Ok((name, Self(Map::new()))),
            other => {
                let mut options = Self::of(&other)?;
                let class = options.take("class")?;
                Ok((class.as_str().unwrap_or_default().to_owned(), options))
            }
        }
    }

    pub(super) fn loss(&mut self) -> Result<Loss, Refusal> {
        let (class, mut options) = self.class("loss")?;
        let loss = match class.as_str() {
            "MeanSquaredError" | "mean_squared_error" | "mse_loss" => Loss::MeanSquaredError,
            "MeanAbsoluteError" => Loss::MeanAbsoluteError,
            "Huber" => Huber::new().delta(options.number("delta")? as f32).into(),
            "binary_crossentropy" => BinaryCrossentropy::new().into(),
            "BinaryCrossentropy" => {
                let loss = BinaryCrossentropy::new().from_logits(options.flag("from_logits")?);
                loss.label_smoothing(options.number("label_smoothing")? as f32).into()
            }
            "CategoricalCrossentropy" => {
                let loss = CategoricalCrossentropy::new().from_logits(options.flag("from_logits")?);
                loss.label_smoothing(options.number("label_smoothing")? as f32).into()
            }
            "SparseCategoricalCrossentropy" => {
                options.is_null("ignore_class")?;
                SparseCategoricalCrossentropy::new()
                    .from_logits(options.flag("from_logits")?)
                    .into()
            }
            other => return Err(Refusal::Cannot(format!("loss {other}"))),
        };
        options.finish()?;
        Ok(loss)
    }

    fn is_null(&mut self, option: &str) -> Result<(), String> {
        match self.take(option)? {
            Value::Null => Ok(()),
            other => Err(format!("{option}={other}: unknown option")),
        }
    }

    pub(super) fn optimizer(&mut self) -> Result<Optimizer, Refusal> {
        let (class, mut options) = self.class("optimizer")?;
        let rate = options.number(if options.0.contains_key("lr") {
            "lr"
        } else {
            "learning_rate"
        })?;
        let optimizer: Optimizer = match class.as_str() {
            "SGD" => {
                let sgd = Sgd::new(rate).momentum(options.number("momentum")?);
                let sgd = sgd.nesterov(options.flag("nesterov")?);
                options.common(sgd)?
            }
            "RMSprop" => {
                let rms_prop = RmsProp::new(rate).rho(options.number("rho")?);
                let rms_prop = rms_prop
                    .momentum(options.number("momentum")?)
                    .epsilon(options.number("epsilon")?);
                let rms_prop = rms_prop.centered(options.flag("centered")?);
                options.common(rms_prop)?
            }
            "Adagrad" => {
                let adagrad = Adagrad::new(rate).epsilon(options.number("epsilon")?);
                let adagrad = adagrad.initial_accumulator_value(options.number("initial_accumulator_value")?);
                options.common(adagrad)?
            }
            "Nadam" => {
                let nadam = Nadam::new(rate).epsilon(options.number("epsilon")?);
                let [beta_1, beta_2] = options.betas()?;
                options.common(nadam.beta_1(beta_1).beta_2(beta_2))?
            }
            "Lion" => {
                let [beta_1, beta_2] = options.betas()?;
                options.common(Lion::new(rate).beta_1(beta_1).beta_2(beta_2))?
            }
            // PyTorch's
            "Adam" if options.0.contains_key("eps") => {
                let betas = options.take("betas")?;
                let beta = |place: usize| betas[place].as_f64().ok_or(format!("betas={betas}"));
                let adam = Adam::pytorch(rate).beta_1(beta(0)?).beta_2(beta(1)?);
                let adam = adam.epsilon(options.number("eps")?);
                options.common(adam)?
            }
            "Adam" | "AdamW" => {
                let adam = if class == "Adam" {
                    Adam::new(rate)
                } else {
                    AdamW::new(rate)
                };
                let [beta_1, beta_2] = options.betas()?;
                let adam = adam.beta_1(beta_1).beta_2(beta_2).epsilon(options.number("epsilon")?);
                let adam = adam.amsgrad(options.flag("amsgrad")?);
                options.common(adam)?
            }
            other => return Err(Refusal::Cannot(format!("optimizer {other}"))),
        };
        options.finish()?;
        Ok(optimizer)
    }

    fn betas(&mut self) -> Result<[f64; 2], String> {
        Ok([self.number("beta_1")?, self.number("beta_2")?])
    }

    /// The optimiser with the weight decay and the clipping that the options ask for.
    fn common<T: Common + Into<Optimizer>>(&mut self, optimizer: T) -> Result<Optimizer, String> {
        let known: [(&str, With<T>); 5] = [
            ("weight_decay", T::decay),
            ("clipnorm", T::norm),
            ("global_clipnorm", T::global_norm),
            ("clipvalue", T::value),
            ("clip_grad_norm", T::grad_norm),
        ];
        let mut optimizer = optimizer;
        for (option, with) in known {
            match self.0.remove(option) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    let value = value.as_f64().ok_or_else(|| format!("{option}={value} is no number"))?;
                    optimizer = with(optimizer, value);
                }
            }
        }
        Ok(optimizer.into())
    }
}

/// What every optimiser has.
trait Common: Sized {
    fn decay(self, share: f64) -> Self;
    fn norm(self, limit: f64) -> Self;
    fn global_norm(self, limit: f64) -> Self;
    fn value(self, limit: f64) -> Self;
    fn grad_norm(self, limit: f64) -> Self;
}

macro_rules! common {
    ($($optimizer:ty),*) => {$(
        impl Common for $optimizer {
            fn decay(self, share: f64) -> Self {
                self.weight_decay(share)
            }
            fn norm(self, limit: f64) -> Self {
                self.clipnorm(limit)
            }
            fn global_norm(self, limit: f64) -> Self {
                self.global_clipnorm(limit)
            }
            fn value(self, limit: f64) -> Self {
                self.clipvalue(limit)
            }
            fn grad_norm(self, limit: f64) -> Self {
                self.clip_grad_norm(limit)
            }
        }
    )*};
}

common!(Adagrad, Adam, Lion, Nadam, RmsProp, Sgd);
