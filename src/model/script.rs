//! TorchScript modules: networks of the user. One module is one replica. While it is used, its
//! parameters and buffers are views of θ and of the pack's buffers.

use std::ffi::{c_char, c_void, CStr};

use anyhow::{bail, ensure, Context, Result};
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use super::layout::{Init, Layout, Parameter, ParameterKind};
use super::native::check;
use super::{no_grad, read_back};
use crate::base::catch_panic::catch_panic;
use crate::plan::Role;

extern "C" {
    fn transfergrid_script_load(bytes: *const u8, length: usize, device: i32, out: *mut *mut c_void) -> *const c_char;
    fn transfergrid_script_free(script: *mut c_void);
    fn transfergrid_script_count(script: *mut c_void, is_buffer: bool) -> usize;
    fn transfergrid_script_tensor(
        script: *mut c_void,
        is_buffer: bool,
        i: usize,
        name: *mut *const c_char,
        tensor: *mut *mut C_tensor,
    ) -> *const c_char;
    fn transfergrid_script_bind(script: *mut c_void, is_buffer: bool, i: usize, value: *const C_tensor, learns: bool) -> *const c_char;
    fn transfergrid_script_generator(device: i32, state: *mut *mut C_tensor) -> *const c_char;
    fn transfergrid_script_trouble(script: *mut c_void, draws: bool, words: *mut c_char, room: usize) -> *const c_char;
    fn transfergrid_script_forward(script: *mut c_void, input: *const C_tensor, training: bool, out: *mut *mut C_tensor) -> *const c_char;
}

/// A module that a study names, with the layout of its parameters.
#[derive(Debug)]
pub struct Script {
    module: *mut c_void,
    /// Parameters of the module in the order of the layout: backbone first, then the head.
    order: Vec<usize>,
    /// Names and values of its floating-point buffers, as they are in the file.
    buffers: Vec<(String, Tensor)>,
    /// Values of the parameters in the file, in the order of the layout; none for a head of another
    /// number of classes.
    stored: Vec<Option<Tensor>>,
    outputs: i64,
}

impl Drop for Script {
    fn drop(&mut self) {
        // SAFETY: the module that `load` made, freed once.
        unsafe { transfergrid_script_free(self.module) }
    }
}

impl Script {
    /// Loads a module. `head` is the name of its last layer, whose parameters get as many outputs
    /// as the task has classes. `example` is an input of the network, [B, H, W, C].
    ///
    /// # Errors
    /// It is no module, has no such layer, draws random numbers, or does not map the example to
    /// logits of the classes.
    pub fn load(path: &str, bytes: &[u8], head: &str, outputs: usize, example: &Tensor, device: Device) -> Result<(Script, Layout)> {
        let index = if let Device::Cuda(index) = device { index as i32 } else { -1 };
        let mut module = std::ptr::null_mut();
        // SAFETY: the bytes are read during the call; the module is freed when `script` is dropped.
        catch_panic(|| unsafe { check(transfergrid_script_load(bytes.as_ptr(), bytes.len(), index, &raw mut module)) })
            .with_context(|| format!("{path} cannot be loaded as a TorchScript module"))?;
        let mut script = Script { module, order: vec![], buffers: vec![], stored: vec![], outputs: outputs as i64 };
        script.buffers = script.tensors(true).into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        let all = script.tensors(false);
        let is_head = |name: &str| name.strip_prefix(head).is_some_and(|rest| rest.starts_with('.'));
        ensure!(!all.is_empty(), "{path} has no parameters; was it frozen?");
        let names = || all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        ensure!(all.iter().any(|(name, _)| is_head(name)), "{path} has no layer `{head}`; its parameters are {}", names());
        let other = all.iter().chain(&script.buffers).find(|(_, tensor)| tensor.kind() != Kind::Float);
        ensure!(other.is_none(), "`{}` of {path} is not float32", other.map_or("", |(name, _)| name.as_str()));
        let twice =
            (0..all.len()).find(|&i| all[..i].iter().any(|(_, tensor)| tensor.data_ptr() == all[i].1.data_ptr() && tensor.numel() > 0));
        if let Some(i) = twice {
            bail!("`{}` of {path} shares its memory with another parameter; penalties would count it twice", all[i].0);
        }
        let (first, last): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(|&i| !is_head(&all[i].0));
        script.order = [first, last].concat();
        let mut layout = Layout::default();
        for &i in &script.order {
            let (name, tensor) = &all[i];
            let mut size = tensor.size();
            let role = if is_head(name) { Role::Head } else { Role::Backbone };
            if role == Role::Head {
                if let Some(outputs_of_file) = size.first_mut() {
                    *outputs_of_file = script.outputs;
                }
            }
            script.stored.push((size == tensor.size()).then(|| tensor.detach().copy()));
            layout.parameters.push(parameter(name, &all, tensor, size, role));
        }
        // Read before the module has run: libtorch rewrites its graphs then.
        let [random, other] = [true, false].map(|draws| script.trouble(draws));
        if let Some(words) = other.with_context(|| format!("the forward pass of {path} cannot be read"))? {
            bail!("{path} {words}");
        }
        // A trial, in training mode and in evaluation mode.
        let tried = catch_panic(|| {
            let trial = layout.initial(&[0], "source", Kind::Float, device);
            script.views(&layout, &trial, |_| false);
            let input = example.unsqueeze(0).to_device(device);
            let pass = |training: bool| no_grad(|| script.forward(&input, &script.fresh_buffers(), training).size());
            let before = generator(index);
            pass(true);
            let draws = !before.equal(&generator(index));
            (pass(false), draws)
        });
        let (size, draws) = tried.with_context(|| format!("{path} fails on inputs [B, C, H, W] of size {:?}", nchw(example)))?;
        if draws {
            let words = random?.unwrap_or("draws random numbers, which no seed of the study reaches; export it without".into());
            bail!("{path} {words}");
        }
        let wanted = [1, example.size()[0], script.outputs];
        ensure!(size == wanted, "{path} maps {} examples to {:?}, and the task has {outputs} outputs", example.size()[0], &size[1..]);
        Ok((script, layout))
    }

    fn tensors(&self, is_buffer: bool) -> Vec<(String, Tensor)> {
        // SAFETY: the module is alive; each tensor is a new handle that only we own, each name is
        // copied at once.
        unsafe {
            (0..transfergrid_script_count(self.module, is_buffer))
                .map(|i| {
                    let (mut name, mut tensor) = (std::ptr::null(), std::ptr::null_mut());
                    check(transfergrid_script_tensor(self.module, is_buffer, i, &raw mut name, &raw mut tensor));
                    (CStr::from_ptr(name).to_string_lossy().into_owned(), Tensor::from_ptr(tensor))
                })
                .collect()
        }
    }

    /// What the forward pass does that a study cannot repeat. Operations that may draw random
    /// numbers count if `draws`.
    fn trouble(&self, draws: bool) -> Result<Option<String>> {
        let mut words = [0; 256];
        // SAFETY: the buffer has room for a NUL-terminated text.
        catch_panic(|| unsafe { check(transfergrid_script_trouble(self.module, draws, words.as_mut_ptr(), words.len())) })?;
        // SAFETY: it is NUL-terminated.
        let words = unsafe { CStr::from_ptr(words.as_ptr()) }.to_string_lossy().into_owned();
        Ok(Some(words).filter(|words| !words.is_empty()))
    }

    /// The names of the buffers.
    pub fn buffer_names(&self) -> impl Iterator<Item = &str> {
        self.buffers.iter().map(|(name, _)| name.as_str())
    }

    /// The buffers of a model that has not been trained: running means 0, running variances 1, all
    /// others as they are in the file.
    pub fn fresh_buffers(&self) -> Vec<Tensor> {
        let fresh = |(name, tensor): &(String, Tensor)| match name.rsplit('.').next() {
            Some("running_mean") => tensor.zeros_like(),
            Some("running_var") => tensor.ones_like(),
            _ => tensor.copy(),
        };
        self.buffers.iter().map(|buffer| fresh(buffer).reshape([-1])).collect()
    }

    /// The values in the file put into θ [1, P] and the buffers. A head of another number of
    /// classes stays as it is.
    pub fn put_stored(&self, layout: &Layout, theta: &Tensor, buffers: &[Tensor]) {
        let mut column = 0;
        for (parameter, stored) in layout.parameters.iter().zip(&self.stored) {
            if let Some(stored) = stored {
                no_grad(|| theta.narrow(1, column, parameter.count()).copy_(&stored.reshape([1, -1])));
            }
            column += parameter.count();
        }
        for ((_, stored), buffer) in self.buffers.iter().zip(buffers) {
            no_grad(|| buffer.shallow_clone().copy_(&stored.reshape([-1])));
        }
    }

    /// Makes the module's parameters views of θ [1, P], and returns them in the order of the
    /// layout. Those that `learns` selects get gradients.
    pub fn views(&self, layout: &Layout, theta: &Tensor, learns: impl Fn(&Parameter) -> bool) -> Vec<Tensor> {
        let views = layout.views(&theta.detach());
        for ((&i, view), parameter) in self.order.iter().zip(&views).zip(&layout.parameters) {
            // SAFETY: both are alive.
            unsafe { check(transfergrid_script_bind(self.module, false, i, view.get(0).as_ptr(), learns(parameter))) };
        }
        let mut all: Vec<Option<Tensor>> = self.tensors(false).into_iter().map(|(_, tensor)| Some(tensor)).collect();
        self.order.iter().filter_map(|&i| all[i].take()).collect()
    }

    /// Logits [1, B, classes] for inputs [1, B, H, W, C], with the parameters of the last
    /// [`Script::views`]. `training` updates the running statistics in `buffers`.
    pub fn forward(&self, inputs: &Tensor, buffers: &[Tensor], training: bool) -> Tensor {
        for (i, ((_, like), buffer)) in self.buffers.iter().zip(buffers).enumerate() {
            // SAFETY: as above.
            unsafe { check(transfergrid_script_bind(self.module, true, i, buffer.reshape(like.size()).as_ptr(), false)) };
        }
        let x = inputs.get(0);
        let x = if x.size()[1..3] == [1, 1] { x.flatten(1, -1) } else { x.permute([0, 3, 1, 2]) };
        let mut out = std::ptr::null_mut();
        // SAFETY: the input is alive, and the output is a new tensor that only we own.
        let y = unsafe {
            check(transfergrid_script_forward(self.module, x.as_ptr(), training, &raw mut out));
            Tensor::from_ptr(out)
        };
        y.unsqueeze(0)
    }
}

/// The state of a device's generator of random numbers.
fn generator(device: i32) -> Tensor {
    let mut state = std::ptr::null_mut();
    // SAFETY: the state is a new tensor that only we own.
    unsafe {
        check(transfergrid_script_generator(device, &raw mut state));
        Tensor::from_ptr(state)
    }
}

fn nchw(example: &Tensor) -> Vec<i64> {
    let size = example.size();
    vec![size[0], size[3], size[1], size[2]]
}

/// How a parameter is initialised and penalised, by its name and size: a weight of two or more
/// dimensions and its bias as PyTorch initialises a layer, the scale and the shift of a
/// normalisation layer as 1 and 0, anything else as it is in the file.
fn parameter(name: &str, all: &[(String, Tensor)], tensor: &Tensor, size: Vec<i64>, role: Role) -> Parameter {
    let fan_in = |size: &[i64]| size[1..].iter().product::<i64>().max(1) as usize;
    let find = |name: &str| all.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor);
    // `fc.bias` belongs to `fc.weight`, `in_proj_bias` to `in_proj_weight`, `bias_ih_l0` to
    // `weight_ih_l0`.
    let weight = find(&name.replace("bias", "weight")).filter(|weight| weight.dim() > 1);
    let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
    let is_norm = ["weight", "bias"].iter().all(|part| find(&format!("{layer}.{part}")).is_some_and(|own| own.dim() == 1));
    let (shape, init) = match (tensor.dim(), weight) {
        (2.., _) => (ParameterKind::Weight, Init::FanIn(fan_in(&tensor.size()))),
        (_, Some(weight)) => (ParameterKind::Bias, Init::FanIn(fan_in(&weight.size()))),
        (_, None) if is_norm && name.ends_with(".weight") => (ParameterKind::Norm, Init::Constant(1.0)),
        (_, None) if is_norm => (ParameterKind::Norm, Init::Constant(0.0)),
        (_, None) => (ParameterKind::Norm, Init::Values(read_back::<f32>(&tensor.detach().to_device(Device::Cpu).reshape([-1])).into())),
    };
    Parameter { name: name.into(), size, role, shape, init }
}
