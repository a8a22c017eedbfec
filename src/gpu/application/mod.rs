//! A model within the commands of an application: from a tensor in a buffer of the application to another.
//!
//! All that is slow is done before. A [`GpuWorkspace`] keeps the list of commands for the schedule that is set;
//! encoding writes the list down, as the encoding of a recording does.

mod buffers;
mod check;
mod parcel;
mod steps;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::ArrayView3;

use crate::error::{Error, Result};
use crate::flow::{Flow, Input};
use crate::gpu::GpuModel;
use crate::gpu::commands::{Begin, Commands, Copies};
use crate::gpu::device::Gpu;
use crate::gpu::stage::carry::GpuMask;
use crate::gpu::stage::interface::{Ends, HostReads, defect};
use crate::gpu::states::GpuStates;
use crate::gpu::strategy::choice::Asked;
use crate::gpu::strategy::list::EVERYTHING;
use crate::gpu::workspace::Workspace;
use crate::model::plan::{Operation, Plan};
use crate::schedule::check_steps;
use crate::sequences::Mask;
use crate::trace::within;
use parcel::{Packing, Weighed};

/// A model over buffers of the application, recorded into encoders of the application; from
/// [`Runner::workspace`](crate::Runner::workspace).
///
/// The workspace holds everything that a batch of one (batch, time_steps) needs on the GPU. [`encode`](Self::encode) writes the
/// whole model into a command encoder: it reads the [`input`](Self::input) and leaves the [`output`](Self::output), and it
/// submits, waits for, uploads, maps and makes nothing. So the network runs in the middle of a frame, between the
/// application's own passes.
///
/// # Layout
///
/// | buffer | shape | values |
/// |---|---|---|
/// | [`input`](Self::input) | (batch, time_steps, features) | `f32` |
/// | [`input`](Self::input) of a model with an `Embedding` first | (batch, time_steps) | tokens, `u32` or `i32` |
/// | [`output`](Self::output) | that of [`Output::values`](crate::Output::values): (batch, time_steps, units) or (batch, units) | `f32` |
/// | [`backward`](Self::backward) | that of [`Output::backward`](crate::Output::backward) | `f32` |
///
/// Values stand in row-major order, with nothing in between: the last axis varies fastest. Value [b, t, f] of an input is number
/// `(b * time_steps + t) * features + f` of an `array<f32>`. The workspace makes these buffers with the usages `STORAGE`,
/// `COPY_SRC` and `COPY_DST`; [`set_input`](Self::set_input) and [`set_output`](Self::set_output) take the application's own.
/// A buffer that the workspace made may be longer than its tensor: [`input_binding`](Self::input_binding) and
/// [`output_binding`](Self::output_binding) name the tensor's bytes. A token that the table does not have reads as zeros, as in
/// TensorFlow on a GPU.
///
/// # Which steps count
///
/// At first all steps of all sequences. [`set_lengths`](Self::set_lengths) and [`set_mask`](Self::set_mask) set another
/// schedule between two calls of `encode`. Padding is neither multiplied nor read, so it may hold anything, NaN included. Lengths
/// and masks that only the GPU knows are read by [`set_lengths_from`](Self::set_lengths_from) and
/// [`set_mask_from`](Self::set_mask_from). A step that does not count has in the output what a run has there.
///
/// # States
///
/// [`encode`](Self::encode) begins with zeros. [`encode_from`](Self::encode_from) begins with [`GpuStates`] and leaves the final ones there, so that a
/// stream goes on from frame to frame.
///
/// # What runs when
///
/// What was encoded runs when and in the order in which the application submits. A workspace may be encoded any number of times, into one
/// encoder or several. Each time is a whole run over the buffers that were set when it was encoded, by the schedule that was
/// set then. Runs that are to keep their outputs apart have workspaces, or output buffers, of their own. Several threads may
/// encode at the same time.
///
/// A run in here gives the same bits as [`Runner::run`](crate::Runner::run) where both run by the same
/// [`Strategy`](crate::Strategy), but that a `Dense` layer right behind an `Embedding` may sum in another order on a GPU.
/// In relaxed precision the bits also differ on a GPU with matrix units: nobody can look at the input here, so the first projection
/// runs without these units. [`Strategy::Team`](crate::Strategy::Team) is not taken in here, for only the host could see that a team
/// has waited in vain. Settings that name it are refused; the environment variable `CELLSTATE_STRATEGY` is passed over. A
/// `Masking` layer and `mask_zero` are refused: they make a mask of values that the host does not have.
/// [`Settings::timed`](crate::Settings::timed) takes no time stamps in here.
///
/// # What it keeps
///
/// A workspace keeps the model with its weights, and the application's buffers that were set. A buffer that the application
/// destroys all the same is found at the submission. [`Runner::gpu_memory`](crate::Runner::gpu_memory) does not speak of a workspace
/// like this: in the place of staging buffers it has the tensors, and it has the lists and parameters once more.
///
/// ```no_run
/// # async fn example(adapter: wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> cellstate::Result<()> {
/// use cellstate::{Gpu, Lstm};
///
/// let gpu = Gpu::from_wgpu(&adapter, &device, &queue)?;
/// let runner = Lstm::new(2, 64).on(&gpu.into())?;
/// let workspace = runner.workspace(3, 20)?;                      // batch, time_steps: all that is slow
///
/// let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
/// // … a pass of the application that writes workspace.input(): 3 * 20 * 2 values
/// workspace.encode(&mut encoder)?;
/// // … a pass of the application that reads workspace.output(): 3 * 64 values
/// queue.submit([encoder.finish()]);
/// # Ok(())
/// # }
/// ```
pub struct GpuWorkspace {
    model: Arc<GpuModel>,
    /// The plan behind the tokens.
    plan: Arc<Plan>,
    workspace: Workspace,
    time_steps: usize,
    input_shape: Vec<usize>,
    steps: Steps,
    gpu_mask: Option<GpuMask>,
    recorded: Recorded,
}

/// Which steps count.
enum Steps {
    All,
    OfHost(Mask),
    /// Those that a mask in a buffer says.
    OfGpu,
}

/// A schedule, and the commands that run it.
struct Recorded {
    flow: Arc<Flow>,
    commands: Commands,
    parcel: wgpu::Buffer,
    /// Whether commands that an application has read from the parcel.
    is_encoded: AtomicBool,
}

impl GpuWorkspace {
    /// Makes everything for batches of (batch, time_steps).
    pub(crate) async fn make(model: &Arc<GpuModel>, (batch, time_steps): (usize, usize)) -> Result<Self> {
        check::supported(model)?;
        check_steps(batch, time_steps)?;
        let (plan, table) = behind_tokens(&model.plan);
        let ends = Ends::Application {
            steps: batch * time_steps,
            table,
        };
        let workspace = model.new_workspace((&plan, ends), (batch, time_steps)).await?;
        let flow = Arc::new(Flow::new(&plan, Input::Values(unseen(batch, time_steps)?), None)?);
        let mut input_shape = vec![batch, time_steps];
        input_shape.extend(plan.features.filter(|_| table.is_none()));
        let record = || record(model, &workspace, (flow, model.asked), None);
        let recorded = model.gpu.guarded("recording the model", record).await?;
        Ok(Self {
            model: Arc::clone(model),
            plan,
            workspace,
            time_steps,
            input_shape,
            steps: Steps::All,
            gpu_mask: None,
            recorded,
        })
    }

    /// Records a flow in the place of the present one.
    async fn record(&mut self, flow: Arc<Flow>) -> Result<()> {
        let asked = match self.steps {
            Steps::OfGpu => Asked {
                strategy: Some((EVERYTHING, "a mask that only the GPU knows")),
                ..self.model.asked
            },
            Steps::All | Steps::OfHost(_) => self.model.asked,
        };
        let record = || record(&self.model, &self.workspace, (flow, asked), Some(&self.recorded));
        self.recorded = self.model.gpu.guarded("recording the model", record).await?;
        Ok(())
    }

    /// Writes the whole model into an encoder of the application. It submits, waits for, uploads, maps and makes nothing, and the
    /// passes and copies that it writes end within it. The encoder is one of the device that the runner is on, and of the same
    /// `wgpu::Instance`; with one of another instance `wgpu` panics. [`Gpu::from_wgpu`](crate::Gpu::from_wgpu) takes the application's device.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`](crate::Error::Gpu) if the device is lost or destroyed; [`Runner::rebuild`](crate::Runner::rebuild) makes the runner anew.
    /// What `wgpu` finds wrong with an encoder shows at `finish` and `submit`.
    ///
    /// ```no_run
    /// # fn example(workspace: cellstate::GpuWorkspace, device: wgpu::Device, queue: wgpu::Queue) -> cellstate::Result<()> {
    /// let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    /// workspace.encode(&mut encoder)?;
    /// queue.submit([encoder.finish()]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.model.gpu.check_alive("encoding the model")?;
        self.recorded.is_encoded.store(true, Ordering::Relaxed);
        encoder.push_debug_group("cellstate");
        within!("encode" { rows = self.rows_run() }, self.recorded.commands.encode(None, encoder));
        encoder.pop_debug_group();
        Ok(())
    }

    /// As [`encode`](Self::encode), from states on the GPU, where it leaves the final ones: those after the last step of each sequence that
    /// counts, so a sequence without any keeps its state. What is encoded behind it, with the same states and in this encoder or one that is
    /// submitted later, goes on from there.
    ///
    /// Any states of the device will do whose batch and layers are those of the workspace, others each time. It takes two short copies
    /// for each array of the states, and what brings them into the order of the schedule.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) if the states belong to another batch or model; [`Error::Value`](crate::Error::Value) if they are on
    /// another device, and on a GPU with matrix units in relaxed precision if they may be beyond one; [`Error::Gpu`](crate::Error::Gpu) as
    /// [`encode`](Self::encode). Nothing is written down then.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// # let device = Device::named("llvmpipe").unwrap_or_else(|_| Device::auto());
    /// # if let Some(gpu) = device.gpu() {
    /// let runner = Lstm::new(2, 8).on(&device)?;
    /// let (workspace, mut states) = (runner.workspace(3, 10)?, runner.zero_gpu_states(3)?);
    /// let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    /// workspace.encode_from(&mut encoder, &mut states)?; // ten steps
    /// workspace.encode_from(&mut encoder, &mut states)?; // and ten more, which go on from there
    /// gpu.queue().submit([encoder.finish()]);
    /// # }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn encode_from(&self, encoder: &mut wgpu::CommandEncoder, states: &mut GpuStates) -> Result<()> {
        self.model.gpu.check_alive("encoding the model")?;
        self.model.check_gpu_states(states, self.recorded.flow.batch)?;
        self.recorded.is_encoded.store(true, Ordering::Relaxed);
        encoder.push_debug_group("cellstate");
        states.encode_fetch(encoder, self.workspace.homes());
        let commands = &self.recorded.commands;
        within!("encode" { rows = self.rows_run() }, commands.encode_from(Begin::States, None, encoder));
        states.encode_keep(encoder, self.workspace.homes());
        encoder.pop_debug_group();
        states.ran(&self.model.weights.fits);
        Ok(())
    }

    /// How many rows the recurrent layers run when this is encoded: as [`Output::rows_run`](crate::Output::rows_run).
    ///
    /// ```no_run
    /// # fn example(runner: cellstate::Runner) -> cellstate::Result<()> {
    /// assert_eq!(runner.workspace(3, 20)?.rows_run(), 3 * 20); // of one recurrent layer
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn rows_run(&self) -> usize {
        self.recorded.commands.rows_run()
    }
}

impl fmt::Debug for GpuWorkspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuWorkspace")
            .field("gpu", &self.model.gpu.name())
            .field("input_shape", &self.input_shape)
            .field("output_shape", &self.output_shape())
            .field("rows_run", &self.rows_run())
            .finish_non_exhaustive()
    }
}

/// The values of a batch that only the GPU knows: none, of so many time steps.
fn unseen(batch: usize, time_steps: usize) -> Result<ArrayView3<'static, f32>> {
    ArrayView3::from_shape((batch, time_steps, 0), &[]).map_err(|_| defect())
}

/// A plan whose input are the rows of the table that tokens name, and the table; or the plan itself where it reads numbers.
fn behind_tokens(plan: &Arc<Plan>) -> (Arc<Plan>, Option<usize>) {
    let Some(&Operation::Embedding { table, .. }) = plan.operations.first() else {
        return (Arc::clone(plan), None);
    };
    let mut behind = Plan::clone(plan);
    behind.operations.remove(0);
    behind.features = behind.tables.get(table).map(|table| table.ncols());
    (Arc::new(behind), Some(table))
}

/// Whether a parcel of so many bytes fits into a buffer.
fn check_parcel(gpu: &Gpu, bytes: u64) -> Result<()> {
    let limit = gpu.limits().max_buffer_size;
    match bytes <= limit {
        true => Ok(()),
        false => Err(Error::TooLarge {
            what: "the lists and parameters of the schedule, in one buffer".to_owned(),
            needed: bytes,
            limit,
            limit_name: "bytes, max_buffer_size",
            repair: "encode fewer sequences or time steps at once, or open the device with a larger max_buffer_size"
                .to_owned(),
        }),
    }
}

/// The commands of a flow. Its lists and parameters go into the parcel of the recording before, if that has room and no encoded
/// commands read from it.
fn record(
    model: &GpuModel,
    workspace: &Workspace,
    (flow, asked): (Arc<Flow>, Asked),
    before: Option<&Recorded>,
) -> Result<Recorded> {
    let gpu = &model.gpu;
    let asked = Asked {
        may_wait: false,
        ..asked
    };
    let run = workspace.run(
        (gpu, &model.weights),
        &flow,
        asked,
        (false, HostReads::outputs_and(false)),
        false,
    );
    let mut commands = Commands::new(gpu);
    workspace.record(&run, &mut commands)?;
    if commands.waits {
        return Err(defect());
    }
    let mut weighed = Weighed::default();
    workspace.write_lists(&mut weighed, &flow)?;
    commands.write_params(&mut weighed, &workspace.params)?;
    check_parcel(gpu, weighed.bytes)?;
    let free = before.filter(|before| !before.is_encoded.load(Ordering::Relaxed));
    let free = free.filter(|before| before.parcel.size() >= weighed.bytes);
    let parcel = free.map_or_else(|| parcel::make(gpu, weighed.bytes), |before| before.parcel.clone());
    let mut unpacking = Copies::default();
    let mut packing = Packing::new(gpu, &parcel, weighed.bytes, &mut unpacking);
    workspace.write_lists(&mut packing, &flow)?;
    commands.write_params(&mut packing, &workspace.params)?;
    drop(packing);
    commands.first.append(unpacking);
    Ok(Recorded {
        flow,
        commands,
        parcel,
        is_encoded: AtomicBool::new(false),
    })
}
