//! The parts of libtorch that tch does not expose, through the functions of
//! `native/native.cc`.

use std::ffi::{c_char, c_void, CStr, CString};

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use transfergrid_native as _; // links the C++

use super::kernels::Bf16;
use crate::base::catch_panic::{catch_panic, plain};

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
        result: *mut *mut C_tensor,
    ) -> *const c_char;
    fn transfergrid_allow_tf32(allowed: bool) -> *const c_char;
    fn transfergrid_release_memory();
    fn transfergrid_profile_start() -> *const c_char;
    fn transfergrid_profile_stop(closure: *mut c_void, see: Option<See>) -> *const c_char;
    fn transfergrid_enter(name: *const c_char, scope: *mut *mut c_void) -> *const c_char;
    fn transfergrid_leave(scope: *mut c_void);
}

type See = extern "C" fn(*mut c_void, *const c_char, i64, i64);

/// Panics with libtorch's message if a function of `native.cc` returned one. tch's plain methods
/// panic in the same way, and both are caught alike.
///
/// # Safety
/// `words` is null, or a text that stays valid until this thread's next call into `native.cc`.
pub(super) unsafe fn check(words: *const c_char) {
    if !words.is_null() {
        panic!("{}", plain(&CStr::from_ptr(words).to_string_lossy()));
    }
}

type Closure = Box<dyn FnOnce(Tensor) -> Vec<Option<Tensor>> + Send>;

/// A gradient's closure until it is called, then its results.
struct Waiting {
    closure: Option<Closure>,
    /// Number of gradients that libtorch has room for.
    inputs: usize,
    results: Vec<Option<Tensor>>,
    /// The error message, if the closure failed.
    trouble: CString,
}

/// Returns `output` as a function of `inputs` with a gradient written in Rust. `backward` gets the
/// output's gradient and returns each input's. It is called at most once, on the thread that runs
/// the backward pass. `label` is the operation's name in profiles.
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
    let waiting =
        Box::new(Waiting { closure: Some(Box::new(backward)), inputs: inputs.len(), results: vec![], trouble: CString::default() });
    let mut result = std::ptr::null_mut();
    // SAFETY: the pointers are of live tensors. libtorch takes ownership of the closure and passes
    // it to `release` exactly once.
    unsafe {
        let waiting = Box::into_raw(waiting).cast();
        let n = pointers.len();
        check(transfergrid_with_gradient(label.as_ptr(), pointers.as_ptr(), n, output.as_ptr(), waiting, call, release, &raw mut result));
    }
    // SAFETY: a new tensor that only we own.
    unsafe { Tensor::from_ptr(result) }
}

extern "C" fn call(closure: *mut c_void, gradient: *mut C_tensor, results: *mut *const C_tensor) -> *const c_char {
    // SAFETY: the box that `with_gradient` made, used by one thread at a time.
    let waiting = unsafe { &mut *closure.cast::<Waiting>() };
    // A panic must not cross into C++. Its message is passed on: it may say that the device's
    // memory is full.
    let outcome = catch_panic(|| {
        // SAFETY: the gradient stays valid during the call.
        let gradient = unsafe { Tensor::clone_from_ptr(gradient) };
        let backward = waiting.closure.take().expect("an operation's gradient is asked for once");
        waiting.results = no_grad(|| backward(gradient));
        assert_eq!(waiting.results.len(), waiting.inputs, "an operation gives a gradient, or none, for each of its inputs");
        for (i, result) in waiting.results.iter().enumerate() {
            if let Some(tensor) = result {
                // SAFETY: libtorch has room for one pointer per input, and reads them before it
                // releases the closure.
                unsafe { *results.add(i) = tensor.as_ptr() };
            }
        }
    });
    let Err(error) = outcome else { return std::ptr::null() };
    waiting.trouble = CString::new(error.to_string().replace('\0', " ")).unwrap_or_default(); // it has no NUL
    waiting.trouble.as_ptr()
}

extern "C" fn release(closure: *mut c_void) {
    // SAFETY: the box that `with_gradient` made; this function is called once.
    let waiting = unsafe { Box::from_raw(closure.cast::<Waiting>()) };
    let _ = catch_panic(|| drop(waiting)); // a panic must not cross into C++
}

/// Sets whether CUDA's float32 matrix products and convolutions may round their inputs to TF32's
/// ten bits. Applies to the whole process.
pub fn allow_tf32(allowed: bool) {
    // SAFETY: sets two flags.
    unsafe { check(transfergrid_allow_tf32(allowed)) }
}

/// Returns the memory of dropped tensors, which libtorch caches, to the GPU. cuBLAS, cuDNN and
/// other processes cannot use cached memory. Does nothing without a GPU.
pub fn release_memory() {
    // SAFETY: it catches its own errors.
    unsafe { transfergrid_release_memory() }
}

/// Runs `work` as an operation of that name in profiles.
pub fn scope<T>(name: &'static CStr, work: impl FnOnce() -> T) -> T {
    struct Scope(*mut c_void);
    impl Drop for Scope {
        fn drop(&mut self) {
            // SAFETY: a value from `transfergrid_enter`, returned once and in reverse order; null
            // is allowed.
            unsafe { transfergrid_leave(self.0) }
        }
    }
    let mut scope = Scope(std::ptr::null_mut());
    // SAFETY: the name is valid for the whole process.
    unsafe { check(transfergrid_enter(name.as_ptr(), &raw mut scope.0)) };
    work()
}

/// The calls and time of one operation during a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Profiled {
    pub name: String,
    pub calls: usize,
    /// Own time, without operations called from it. On CUDA this is the host's time: kernels run
    /// later.
    pub seconds: f64,
}

/// Ends a profile, also if the profiled code panics. It stays on the thread that began the profile.
struct Profiling(std::marker::PhantomData<*const ()>);

impl Drop for Profiling {
    fn drop(&mut self) {
        // SAFETY: without a callback nothing is written.
        let _ = unsafe { transfergrid_profile_stop(std::ptr::null_mut(), None) };
    }
}

/// Runs `work` and returns which operations its time was spent in, the longest first. Profiles wait
/// for each other and cannot be nested.
pub fn profile<T>(work: impl FnOnce() -> T) -> (T, Vec<Profiled>) {
    extern "C" fn see(closure: *mut c_void, name: *const c_char, calls: i64, nanoseconds: i64) {
        // SAFETY: the vector below, and a NUL-terminated name that stays valid during the call.
        let (all, name) = unsafe { (&mut *closure.cast::<Vec<Profiled>>(), CStr::from_ptr(name)) };
        let of = || Profiled { name: name.to_string_lossy().into_owned(), calls: calls as usize, seconds: nanoseconds as f64 * 1e-9 };
        let _ = catch_panic(|| all.push(of())); // a panic must not cross into C++
    }
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // SAFETY: starts and stops come in pairs on this thread, one profile at a time. `see` gets the
    // vector below, which outlives the call.
    unsafe { check(transfergrid_profile_start()) };
    let profiling = Profiling(std::marker::PhantomData);
    let result = work();
    let mut all: Vec<Profiled> = vec![];
    // SAFETY: as above.
    unsafe { check(transfergrid_profile_stop((&raw mut all).cast(), Some(see))) };
    std::mem::forget(profiling);
    all.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then(a.name.cmp(&b.name)));
    (result, all)
}

/// An element type, with libtorch's name for it.
pub trait Plain: Copy + sealed::Sealed {
    const KIND: Kind;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! plain {
    ($($t:ty => $kind:ident),*) => {$(
        impl sealed::Sealed for $t {}
        impl Plain for $t {
            const KIND: Kind = Kind::$kind;
        }
    )*};
}
plain!(u8 => Uint8, i64 => Int64, f32 => Float, f64 => Double, Bf16 => BFloat16);

/// The address and number of a tensor's elements. None if it has none, since its pointer may be
/// null then.
///
/// # Panics
/// The element type is not `T`'s, the device is not the CPU, or the elements are not contiguous.
fn elements<T: Plain>(x: &Tensor) -> Option<(*mut T, usize)> {
    let (device, kind) = (x.device(), x.kind());
    assert!(device == Device::Cpu && kind == T::KIND, "a tensor of {kind:?} on {device:?}, where {:?} on the CPU is read", T::KIND);
    assert!(x.is_contiguous(), "a tensor of strides {:?}, where a contiguous one is read", x.stride());
    let (pointer, n) = (x.data_ptr().cast::<T>(), x.numel());
    if n == 0 {
        return None;
    }
    assert!(!pointer.is_null() && pointer.is_aligned(), "a tensor without memory of its own");
    Some((pointer, n))
}

/// A contiguous CPU tensor's elements. While they are borrowed, nothing may write to the tensor or
/// to another tensor with the same memory.
///
/// # Panics
/// The element type is not `T`'s, the device is not the CPU, or the elements are not contiguous.
pub(crate) fn slice<T: Plain>(x: &Tensor) -> &[T] {
    // SAFETY: the tensor has this many elements of this type, contiguous and aligned, and outlives
    // the borrow.
    elements(x).map_or(&[], |(pointer, n)| unsafe { std::slice::from_raw_parts(pointer, n) })
}

/// The same, for writing. While the elements are borrowed, no other tensor with the same memory (a
/// view, a shallow clone) may be read or written. libtorch does not report which tensors share
/// memory, so this function is not public outside the crate. Its callers write only to tensors that
/// they have just made or that only they own.
///
/// # Panics
/// The element type is not `T`'s, the device is not the CPU, or the elements are not contiguous.
pub(crate) fn slice_mut<T: Plain>(x: &mut Tensor) -> &mut [T] {
    // SAFETY: as above, and the tensor is borrowed exclusively.
    elements(x).map_or(&mut [], |(pointer, n)| unsafe { std::slice::from_raw_parts_mut(pointer, n) })
}

/// Runs `work` without recording gradients. Unlike tch's function of this name, it restores the
/// previous mode even if `work` panics.
pub fn no_grad<T>(work: impl FnOnce() -> T) -> T {
    let _guard = tch::no_grad_guard();
    work()
}

/// The values of a tensor of one dimension, copied from its device.
///
/// # Panics
/// With libtorch's words where they cannot be read, as tch's plain methods do: a device that is
/// lost, another type. (`catch_panic` makes an error of that; no value is made up.)
pub fn read_back<T>(tensor: &Tensor) -> Vec<T>
where
    for<'a> Vec<T>: TryFrom<&'a Tensor, Error = tch::TchError>,
{
    READS.with(|reads| reads.set(reads.get() + 1));
    Vec::try_from(tensor).unwrap_or_else(|error| panic!("a tensor could not be read: {error}"))
}

/// Values as a tensor on a device.
pub fn upload<T: tch::kind::Element>(values: &[T], device: tch::Device) -> Tensor {
    UPLOADS.with(|uploads| uploads.set(uploads.get() + 1));
    Tensor::from_slice(values).to_device(device)
}

thread_local! {
    /// How often this thread has read a tensor, and made one on a device.
    static READS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    static UPLOADS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How often this thread has called [`read_back`] and [`upload`] since [`forget_transfers`].
pub fn times_transferred() -> (usize, usize) {
    (READS.with(std::cell::Cell::get), UPLOADS.with(std::cell::Cell::get))
}

pub fn forget_transfers() {
    READS.with(|reads| reads.set(0));
    UPLOADS.with(|uploads| uploads.set(0));
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::{profile, slice, slice_mut, with_gradient, Bf16};
    use crate::base::catch_panic::catch_panic;

    #[test]
    fn only_what_is_contiguous_and_of_the_kind_is_read() {
        let cpu = tch::Device::Cpu;
        let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).reshape([2, 2]);
        assert_eq!(slice::<f32>(&x), [1.0, 2.0, 3.0, 4.0]);
        let empty = Tensor::empty([0, 3], (Kind::Float, cpu));
        assert!(slice::<f32>(&empty).is_empty() && slice_mut::<f32>(&mut empty.shallow_clone()).is_empty(), "its pointer is null");
        assert!(slice::<Bf16>(&Tensor::zeros([2], (Kind::BFloat16, cpu))).len() == 2);
        let refused = |work: &dyn Fn()| catch_panic(work).unwrap_err().to_string();
        assert!(refused(&|| drop(slice::<i64>(&x).to_vec())).contains("a tensor of Float on Cpu, where Int64"));
        assert!(refused(&|| drop(slice::<f64>(&Tensor::zeros([2], (Kind::Int64, cpu))).to_vec())).contains("where Double"), "of one size");
        assert!(refused(&|| drop(slice::<f32>(&x.transpose(0, 1)).to_vec())).contains("strides"));
        assert!(refused(&|| drop(slice_mut::<f32>(&mut x.slice(1, 0, 1, 1)).to_vec())).contains("strides"));
    }

    #[test]
    fn an_operation_that_gives_too_many_gradients_writes_nowhere() {
        let x = Tensor::ones([2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let y = with_gradient(c"double", &[&x], &x.detach() * 2.0, |g| vec![Some(g.shallow_clone()), Some(g)]);
        let error = catch_panic(|| y.sum(Kind::Float).backward()).unwrap_err().to_string();
        assert!(error.contains("a gradient, or none, for each of its inputs"), "{error}");
    }

    #[test]
    fn a_profile_ends_where_what_it_profiles_panics() {
        let cpu = (Kind::Float, tch::Device::Cpu);
        assert!(catch_panic(|| profile(|| panic!("on purpose"))).is_err());
        let (_, first) = profile(|| Tensor::ones([8], cpu).cumsum(0, Kind::Float));
        let calls: usize = first.iter().filter(|operation| operation.name == "aten::cumsum").map(|operation| operation.calls).sum();
        assert_eq!(calls, 1, "counted once: the first profile's callback is gone: {first:?}");
        assert!(catch_panic(|| Tensor::ones([2], cpu).matmul(&Tensor::ones([3], cpu))).is_err(), "errors are still errors");
    }

    #[test]
    fn what_goes_wrong_in_a_gradient_is_told_in_its_own_words() {
        let x = Tensor::ones([2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let y = with_gradient(c"double", &[&x], &x.detach() * 2.0, |_| panic!("CUDA out of memory. Tried to allocate 2 GiB"));
        let error = catch_panic(|| y.sum(Kind::Float).backward()).unwrap_err().to_string();
        assert!(error.starts_with("double_backward: CUDA out of memory. Tried to allocate 2 GiB") && !error.contains("frame"), "{error}");
    }
}
