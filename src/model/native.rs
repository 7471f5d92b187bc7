//! What tch does not reach of libtorch, through the few lines of `native.cc`.

use std::ffi::{c_char, c_void, CStr, CString};

use tch::{Device, Tensor};
use torch_sys::C_tensor;

use crate::caught::caught;

type BackwardFn = extern "C" fn(*mut c_void, *mut C_tensor, *mut *const C_tensor) -> *const c_char;

extern "C" {
    fn transfergrid_with_gradient(
        label: *const c_char,
        inputs: *const *const C_tensor,
        n: usize,
        output: *const C_tensor,
        closure: *mut c_void,
        backward: BackwardFn,
        release: extern "C" fn(*mut c_void),
    ) -> *mut C_tensor;
    fn transfergrid_allow_tf32(allowed: bool);
    fn transfergrid_release_memory();
    fn transfergrid_profile_start();
    fn transfergrid_profile_stop(closure: *mut c_void, see: extern "C" fn(*mut c_void, *const c_char, i64, i64));
    fn transfergrid_enter(name: *const c_char) -> *mut c_void;
    fn transfergrid_leave(scope: *mut c_void);
}

type Closure = Box<dyn FnOnce(Tensor) -> Vec<Option<Tensor>> + Send>;

/// A gradient waiting to be asked for, then what it gave.
struct Waiting {
    closure: Option<Closure>,
    results: Vec<Option<Tensor>>,
    /// Why it gave none.
    trouble: CString,
}

/// `output` as a function of `inputs` with a gradient written in Rust: `backward` gets the output's gradient and gives each
/// input's. It is called at most once, on the thread that runs the backward pass. `label` is for profiles.
pub fn with_gradient(
    label: &'static CStr,
    inputs: &[&Tensor],
    output: Tensor,
    backward: impl FnOnce(Tensor) -> Vec<Option<Tensor>> + Send + 'static,
) -> Tensor {
    if inputs.iter().all(|input| !input.requires_grad()) {
        return output;
    }
    let pointers: Vec<*const C_tensor> = inputs.iter().map(|input| input.as_ptr()).collect();
    let waiting = Box::new(Waiting { closure: Some(Box::new(backward)), results: vec![], trouble: CString::default() });
    // SAFETY: the pointers are of live tensors; libtorch gets the closure for its own and gives it back to `release` once.
    let result = unsafe {
        let waiting = Box::into_raw(waiting).cast();
        transfergrid_with_gradient(label.as_ptr(), pointers.as_ptr(), pointers.len(), output.as_ptr(), waiting, call, release)
    };
    assert!(!result.is_null(), "libtorch could not record an operation's gradient");
    // SAFETY: a fresh tensor, ours alone.
    unsafe { Tensor::from_ptr(result) }
}

extern "C" fn call(closure: *mut c_void, gradient: *mut C_tensor, results: *mut *const C_tensor) -> *const c_char {
    // SAFETY: the box that `with_gradient` made, used by one thread at a time.
    let waiting = unsafe { &mut *closure.cast::<Waiting>() };
    // A panic must not cross into C++. Its words do: they may say that the device's memory is full.
    let outcome = caught(|| {
        // SAFETY: the gradient lives through the call.
        let gradient = unsafe { Tensor::clone_from_ptr(gradient) };
        let backward = waiting.closure.take().expect("an operation's gradient is asked for once");
        waiting.results = tch::no_grad(|| backward(gradient));
        for (i, result) in waiting.results.iter().enumerate() {
            if let Some(tensor) = result {
                // SAFETY: libtorch has room for one pointer an input, and reads them before it releases the closure.
                unsafe { *results.add(i) = tensor.as_ptr() };
            }
        }
    });
    let Err(error) = outcome else { return std::ptr::null() };
    waiting.trouble = CString::new(error.to_string()).unwrap_or_default();
    waiting.trouble.as_ptr()
}

extern "C" fn release(closure: *mut c_void) {
    // SAFETY: the box that `with_gradient` made; called once.
    drop(unsafe { Box::from_raw(closure.cast::<Waiting>()) });
}

/// Whether CUDA's float32 matrix products and convolutions may round their inputs to TF32's ten bits. Of the whole process.
pub fn allow_tf32(allowed: bool) {
    // SAFETY: sets two flags.
    unsafe { transfergrid_allow_tf32(allowed) }
}

/// Gives back to the GPU what libtorch keeps of tensors that are no more. cuBLAS, cuDNN and other processes cannot have their memory from what it keeps.
/// Does nothing where there is no GPU.
pub fn release_memory() {
    // SAFETY: catches its own errors.
    unsafe { transfergrid_release_memory() }
}

/// Runs `work` as an operation of that name in profiles.
pub fn scope<T>(name: &'static CStr, work: impl FnOnce() -> T) -> T {
    struct Scope(*mut c_void);
    impl Drop for Scope {
        fn drop(&mut self) {
            // SAFETY: what `transfergrid_enter` gave, given back once, in the reverse order; null is allowed.
            unsafe { transfergrid_leave(self.0) }
        }
    }
    // SAFETY: a name that lives for ever.
    let _scope = Scope(unsafe { transfergrid_enter(name.as_ptr()) });
    work()
}

/// What one operation took while it was watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Profiled {
    pub name: String,
    pub calls: usize,
    /// Its own, without operations called from it. On CUDA the host's time: kernels run later.
    pub seconds: f64,
}

/// Runs `work` and tells which operations its time went to, the longest first. Profiles wait for each other.
pub fn profile<T>(work: impl FnOnce() -> T) -> (T, Vec<Profiled>) {
    extern "C" fn see(closure: *mut c_void, name: *const c_char, calls: i64, nanoseconds: i64) {
        // SAFETY: the vector below, and a NUL-terminated name that lives through the call.
        let (all, name) = unsafe { (&mut *closure.cast::<Vec<Profiled>>(), CStr::from_ptr(name)) };
        all.push(Profiled { name: name.to_string_lossy().into_owned(), calls: calls as usize, seconds: nanoseconds as f64 * 1e-9 });
    }
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // SAFETY: starts and stops in pairs on this thread, one profile at a time; `see` gets the vector that lives here.
    unsafe { transfergrid_profile_start() };
    let result = work();
    let mut all: Vec<Profiled> = vec![];
    unsafe { transfergrid_profile_stop((&raw mut all).cast(), see) };
    all.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then(a.name.cmp(&b.name)));
    (result, all)
}

/// A contiguous CPU tensor's elements.
///
/// # Safety
/// `T` has to be the tensor's kind, and nobody may write to it meanwhile.
pub unsafe fn slice<T>(x: &Tensor) -> &[T] {
    debug_assert!(x.device() == Device::Cpu && x.kind().elt_size_in_bytes() == std::mem::size_of::<T>());
    std::slice::from_raw_parts(x.data_ptr().cast::<T>(), x.numel())
}

/// The same, to write to; of a tensor that nobody else looks at.
///
/// # Safety
/// See [`slice()`].
pub unsafe fn slice_mut<T>(x: &mut Tensor) -> &mut [T] {
    debug_assert!(x.device() == Device::Cpu && x.kind().elt_size_in_bytes() == std::mem::size_of::<T>());
    std::slice::from_raw_parts_mut(x.data_ptr().cast::<T>(), x.numel())
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::with_gradient;
    use crate::caught::caught;

    #[test]
    fn what_goes_wrong_in_a_gradient_is_told_in_its_own_words() {
        let x = Tensor::ones([2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let y = with_gradient(c"double", &[&x], &x.detach() * 2.0, |_| panic!("CUDA out of memory. Tried to allocate 2 GiB"));
        let error = caught(|| y.sum(Kind::Float).backward()).unwrap_err().to_string();
        assert!(error.starts_with("double_backward: CUDA out of memory. Tried to allocate 2 GiB") && !error.contains("frame"), "{error}");
    }
}
