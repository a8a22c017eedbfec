//! Epoch by epoch, batch by batch.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Trainer;
use super::callback::{BatchReport, EpochReport, Next};
use super::cut::{gives_steps, spans};
use super::evaluate::Part;
use super::examples::Examples;
use super::fit::Fit;
use super::history::{Ended, Epoch, History};
use super::learn::Learning;
use super::monitor;
use super::order::Order;
use super::place::Place;
use super::scores::Scores;
use super::standing::Standing;
use super::stopping::EarlyStopping;
use super::validation::Validation;
use crate::error::{Error, Result};

/// One training: its data and options.
struct Run<'r, 's, 't, 'a> {
    examples: &'r Examples<'s, 't>,
    /// How many of them are for training, the first ones.
    training: usize,
    /// Of each how many time steps have to stay, if batches are of similar lengths.
    lengths: Option<Vec<usize>>,
    cuts_targets: bool,
    fit: Fit<'a>,
}

impl Trainer {
    /// Trains the model: `model.fit` of Keras 3.15. What [`Fit`] says happens; what the epochs report is given back.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) for options that make no sense or do not fit the data, those of [`Runner::run`](crate::Runner::run) for sequences and of
    /// [`Loss::compute`](crate::Loss::compute) for targets that do not fit the model, that of a callback, [`Error::File`](crate::Error::File) if a
    /// checkpoint cannot be written, [`Error::Content`](crate::Error::Content) if it cannot be gone on from. [`Error::NotFinite`](crate::Error::NotFinite) where a loss or a gradient is NaN
    /// or infinite: it names epoch, batch and the first gradient that is. After an error the weights are those of the batch before, or the best
    /// ones where early stopping restores them; if the GPU that trains is lost, those of the last epoch.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Examples, Fit, Loss, Lstm, Model, Sequences, Trainer};
    /// use ndarray::{Array2, Array3};
    ///
    /// let model = Model::builder().add(Lstm::new(2, 4)).add(Dense::new(4, 1)).build()?;
    /// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-2))?;
    /// let data = Examples::new(Sequences::from(Array3::ones((8, 5, 2))), Array2::<f32>::ones((8, 1)))?;
    /// let history = trainer.fit(&data, Fit::epochs(3).batch_size(4))?;
    /// assert_eq!(history.epochs().len(), 3);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn fit(&mut self, examples: &Examples<'_, '_>, fit: Fit<'_>) -> Result<History> {
        pollster::block_on(self.fit_async(examples, fit))
    }

    /// As [`Trainer::fit`]. Whoever drops the future before its end finds in [`model`](Self::model) the weights of the last epoch; the next call that
    /// trains goes on from the last batch.
    ///
    /// # Errors
    ///
    /// As [`Trainer::fit`].
    pub async fn fit_async(&mut self, examples: &Examples<'_, '_>, fit: Fit<'_>) -> Result<History> {
        let training = fit.validation.training(examples.len())?;
        fit.check(training)?;
        self.check_class_weights(&fit)?;
        self.engine.check(examples.sequences())?;
        match &fit.validation {
            Validation::Data(validation) => {
                fit.check_validation(validation.len())?;
                self.engine.check(validation.sequences())?;
                self.check_targets(validation)?;
            }
            _ => fit.check_validation(examples.len().saturating_sub(training))?,
        }
        let is_validated = training < examples.len() || matches!(fit.validation, Validation::Data(_));
        monitor::check(fit.monitor.as_deref(), &self.metrics, is_validated)?;
        if fit.plateau.is_some() {
            self.optimizer.check_has_no_schedule()?;
        }
        let mut run = Run {
            examples,
            training,
            lengths: fit.bucketing.then(|| spans(self.model.plans(), examples)),
            cuts_targets: gives_steps(&self.model) && !self.head.loss.is_of_sequences(),
            fit,
        };
        let mut standing = self.begin(&run)?;
        self.engine.ask_again();
        let stopping = run.fit.early_stopping;
        let ends =
            |standing: &Standing| stopping.is_some_and(|stopping| standing.watch.ends(standing.epoch, &stopping));
        let mut ended = Ended::Epochs;
        while standing.epoch < run.fit.epochs {
            if ends(&standing) {
                ended = Ended::EarlyStopping;
                break;
            }
            match self.epoch(&mut run, &mut standing).await {
                Ok(None) => {}
                Ok(Some(by)) => {
                    ended = by;
                    break;
                }
                Err(error) => {
                    // a device that is lost has taken them with it
                    self.come_home(false).await.ok();
                    if let Some(best) = standing.best.filter(|_| restores(stopping)) {
                        self.set_model(best);
                    }
                    return Err(error);
                }
            }
        }
        Ok(self.end(standing, ended, stopping))
    }

    #[cfg_attr(
        not(feature = "safetensors"),
        allow(unused_variables, reason = "there are no checkpoints without it")
    )]
    /// Where the training begins: where a checkpoint stands, or before the first batch.
    fn begin(&mut self, run: &Run<'_, '_, '_, '_>) -> Result<Standing> {
        let standing = Standing::new(self);
        #[cfg(feature = "safetensors")]
        if let Some(path) = run
            .fit
            .checkpoint
            .as_ref()
            .filter(|path| run.fit.resumes && path.exists())
        {
            return self.resumed(path, standing, super::checkpoint::Batching::new(&run.fit, run.training));
        }
        Ok(standing)
    }

    /// The weights and the history that a training leaves.
    fn end(&mut self, standing: Standing, ended: Ended, stopping: Option<EarlyStopping>) -> History {
        let Standing {
            mut history,
            watch,
            best,
            ..
        } = standing;
        history.ended_by = ended;
        history.best = stopping.and(watch.epoch);
        // where somebody stopped it everything stays as it is, to go on from
        if let Some(best) = best.filter(|_| ended != Ended::StopFlag && restores(stopping)) {
            self.set_model(best);
        }
        history
    }

    /// One epoch, or what is left of it. Why the training ends with it, if it does.
    async fn epoch(&mut self, run: &mut Run<'_, '_, '_, '_>, standing: &mut Standing) -> Result<Option<Ended>> {
        let started = Clock::start();
        let before = standing.seconds;
        let order = Order {
            examples: run.training,
            batch_size: run.fit.batch_size,
            seed: run.fit.shuffles().then_some(self.seed),
            lengths: run.lengths.as_deref(),
        };
        let done = standing.batch;
        // by the batches before it, so that another call of `fit` has other orders
        let batches = order.batches(self.batches - (done as u64).min(self.batches));
        for rows in batches.iter().skip(done) {
            if let Some(ended) = self.batch(run, standing, rows, (batches.len(), done, started)).await? {
                standing.seconds = before + started.seconds();
                self.come_home(run.fit.checkpoint.is_some()).await?;
                self.save(run, standing)?;
                return Ok(Some(ended));
            }
        }
        let validation = self.validation(run).await?;
        self.come_home(run.fit.checkpoint.is_some()).await?;
        let epoch = Epoch {
            number: standing.epoch + 1,
            training: standing.scores(),
            validation,
            learning_rate: standing.learning_rate,
            seconds: before + started.seconds(),
        };
        // what a callback says, an error too, comes after the checkpoint
        let next = self.close(run, standing, epoch);
        self.save(run, standing)?;
        let next = next?;
        Ok(match next {
            Next::Stop => Some(Ended::Callback),
            Next::GoOn if run.is_stopped() => Some(Ended::StopFlag),
            Next::GoOn => None,
        })
    }

    /// One batch. Why the training ends with it, if it does.
    async fn batch(
        &mut self,
        run: &mut Run<'_, '_, '_, '_>,
        standing: &mut Standing,
        rows: &[usize],
        (batches, done, started): (usize, usize, Clock),
    ) -> Result<Option<Ended>> {
        let batch = run.select(rows)?;
        if run.fit.stateful && standing.states.is_none() {
            standing.states = Some(self.engine.zero_states(rows.len())?);
        }
        let number = standing.batch + 1;
        let learning = Learning {
            class_weights: &run.fit.class_weights,
            states: standing.states.as_deref_mut(),
            metrics: &mut standing.metrics,
            comes_home: false,
            place: Place(Some((standing.epoch + 1, number))),
        };
        let learned = self.learn(&batch, learning).await?;
        standing.batch = number;
        standing.learning_rate = learned.learning_rate;
        standing.loss.add(learned.loss * rows.len() as f64, rows.len() as f64);
        let seconds = started.seconds();
        let per_second = match seconds > 0.0 {
            true => (number - done) as f64 / seconds,
            false => 0.0,
        };
        let report = BatchReport {
            epoch: standing.epoch + 1,
            epochs: run.fit.epochs,
            batch: number,
            batches,
            loss: learned.loss,
            mean_loss: standing.loss.result(),
            learning_rate: learned.learning_rate,
            per_second,
            seconds_left: match per_second > 0.0 {
                true => batches.saturating_sub(number) as f64 / per_second,
                false => 0.0,
            },
        };
        let next = run
            .fit
            .on_batch
            .as_mut()
            .map_or(Ok(Next::GoOn), |callback| callback(&report))?;
        Ok(match next {
            Next::Stop => Some(Ended::Callback),
            // behind the last batch there is the rest of the epoch to end with
            Next::GoOn if run.is_stopped() && number < batches => Some(Ended::StopFlag),
            Next::GoOn => None,
        })
    }

    /// What stands behind the batches of an epoch: the best weights, the learning rate, the callback.
    fn close(&mut self, run: &mut Run<'_, '_, '_, '_>, standing: &mut Standing, epoch: Epoch) -> Result<Next> {
        let name = run.fit.monitor.as_deref();
        let value = monitor::value(name, &epoch)?;
        let rises = name.is_some_and(|name| monitor::rises(name, &self.metrics));
        let stopping = run.fit.early_stopping.unwrap_or(EarlyStopping::patience(usize::MAX));
        let stopping = stopping.of_rising(rises);
        let is_best = standing.watch.sees(value, epoch.number, &stopping);
        if restores(run.fit.early_stopping) && is_best {
            standing.best = Some(self.model.clone()); // shares all weights
        }
        if let Some(reduce) = &run.fit.plateau {
            let reduce = reduce.clone().of_rising(rises);
            let rate = reduce.observe(&mut standing.plateau, value, self.optimizer.learning_rate());
            rate.map_or(Ok(()), |rate| self.optimizer.set_learning_rate(rate))?;
        }
        standing.history.epochs.push(epoch);
        standing.epoch += 1;
        standing.begin_epoch();
        let (Some(callback), Some(epoch)) = (&mut run.fit.on_epoch, standing.history.epochs.last()) else {
            return Ok(Next::GoOn);
        };
        callback(&EpochReport {
            report: epoch,
            epochs: run.fit.epochs,
            model: &self.model,
            is_best,
        })
    }

    /// What the validation data say, if there are any.
    async fn validation(&mut self, run: &Run<'_, '_, '_, '_>) -> Result<Option<Scores>> {
        let (batch_size, stateful) = (run.fit.batch_size, run.fit.stateful);
        let of_all = |first: usize, end: usize| Part {
            rows: first..end,
            batch_size,
            stateful,
        };
        match &run.fit.validation {
            Validation::Data(examples) => self.scores(examples, of_all(0, examples.len())).await.map(Some),
            _ if run.training < run.examples.len() => {
                let part = of_all(run.training, run.examples.len());
                self.scores(run.examples, part).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    #[cfg_attr(
        not(feature = "safetensors"),
        allow(clippy::unused_self, unused_variables, reason = "no files without it")
    )]
    fn save(&self, run: &Run<'_, '_, '_, '_>, standing: &Standing) -> Result<()> {
        #[cfg(feature = "safetensors")]
        if let Some(path) = &run.fit.checkpoint {
            return self.write_checkpoint(
                path,
                Some((standing, super::checkpoint::Batching::new(&run.fit, run.training))),
            );
        }
        Ok(())
    }

    /// Whether each target is of a class, where classes have weights.
    fn check_class_weights(&self, fit: &Fit<'_>) -> Result<()> {
        match self.head.loss.is_of_sequences() && !fit.class_weights.is_empty() {
            true => Err(Error::Value {
                argument: "class_weights".to_owned(),
                expected: format!("none, where the loss is {}", self.head.loss.name()),
                found: "weights of classes, and sequences that have several labels".to_owned(),
                repair: "give weights to whole sequences (Examples::with_weights)".to_owned(),
            }),
            false => Ok(()),
        }
    }
}

impl Run<'_, '_, '_, '_> {
    /// The examples of a batch, cut to the longest of them.
    fn select(&self, rows: &[usize]) -> Result<Examples<'static, 'static>> {
        let all = self.examples.sequences().time_steps();
        let longest = self.lengths.as_ref().map(|lengths| {
            let lengths = rows.iter().filter_map(|&row| lengths.get(row));
            lengths.max().map_or(all, |&longest| longest.max(1).min(all))
        });
        self.examples.select(rows, longest.unwrap_or(all), self.cuts_targets)
    }

    fn is_stopped(&self) -> bool {
        self.fit
            .stop_flag
            .as_ref()
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

/// Whether a training ends with its best weights.
fn restores(stopping: Option<EarlyStopping>) -> bool {
    stopping.is_some_and(|stopping| stopping.restores)
}

/// Time that goes by; in a browser none does.
#[derive(Clone, Copy, Debug)]
struct Clock(Option<Instant>);

impl Clock {
    fn start() -> Self {
        Self(cfg!(not(target_arch = "wasm32")).then(Instant::now))
    }

    fn seconds(self) -> f64 {
        self.0.map_or(0.0, |started| started.elapsed().as_secs_f64())
    }
}
