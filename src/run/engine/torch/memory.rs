//! The memory of a GPU, which other processes may use too.

use std::ffi::{c_int, c_void, CStr};

use tch::Device;

/// Bytes of a device's memory. libtorch's own cache counts as used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    pub free: u64,
    pub total: u64,
}

impl Memory {
    /// Whether so little is free that a lack of it may be the cause of an error that does not say
    /// so.
    pub fn is_short(self) -> bool {
        self.free < self.total / 16
    }
}

/// What CUDA's runtime says. None for the CPU, and if it cannot be asked.
pub fn memory(device: Device) -> Option<Memory> {
    let Device::Cuda(index) = device else { return None };
    let (mut before, mut free, mut total): (c_int, usize, usize) = (0, 0, 0);
    // SAFETY: these functions of the runtime have had these types since CUDA 2; libtorch has loaded
    // it. The calling thread's device is set back.
    unsafe {
        let get: unsafe extern "C" fn(*mut c_int) -> c_int = std::mem::transmute(symbol(c"cudaGetDevice")?);
        let set: unsafe extern "C" fn(c_int) -> c_int = std::mem::transmute(symbol(c"cudaSetDevice")?);
        let ask: unsafe extern "C" fn(*mut usize, *mut usize) -> c_int = std::mem::transmute(symbol(c"cudaMemGetInfo")?);
        // Setting a device creates its context, so it is not done without need.
        let wanted = index as c_int;
        if get(&mut before) != 0 || (before != wanted && set(wanted) != 0) {
            return None;
        }
        let answered = ask(&mut free, &mut total) == 0;
        if before != wanted {
            set(before);
        }
        answered.then_some(Memory { free: free as u64, total: total as u64 })
    }
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name is NUL-terminated.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_is_asked_and_no_gpu_is_no_answer() {
        tch::set_num_threads(1); // links libtorch, which links the runtime
        for name in [c"cudaGetDevice", c"cudaSetDevice", c"cudaMemGetInfo"] {
            assert!(symbol(name).is_some(), "{name:?}");
        }
        assert_eq!(memory(Device::Cpu), None);
        assert!(Memory { free: 1, total: 100 }.is_short() && !Memory { free: 50, total: 100 }.is_short());
    }
}
