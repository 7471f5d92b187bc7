//! What the NVIDIA driver says about this machine's GPUs. It is asked directly, through `libcuda`,
//! because libtorch says how many devices it can use and nothing about why.

use std::ffi::{c_char, c_int, c_uint, c_void, CStr};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A sign that the machine has an NVIDIA GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuSign {
    /// The file or program that shows it.
    pub seen: String,
    /// The driver's version, e.g. `580.95.05`, where the sign contains it.
    pub driver: Option<String>,
}

/// A sign of a GPU: a device file, the kernel module's version file, or a working `nvidia-smi`.
/// None on a machine without. `TRANSFERGRID_TEST_ROOT` is put before the paths, for tests.
pub fn gpu_sign() -> Option<GpuSign> {
    let root = std::env::var_os("TRANSFERGRID_TEST_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let module = Path::new("proc/driver/nvidia/version");
    let driver = std::fs::read_to_string(root.join(module)).ok().and_then(|text| module_version(&text));
    let is_device = |name: &str| name.strip_prefix("nvidia").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let names = std::fs::read_dir(root.join("dev")).ok().into_iter().flatten().flatten();
    let device = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| is_device(name)).min();
    let seen = match device {
        Some(name) => Some(format!("/dev/{name}")),
        None => root.join(module).exists().then(|| format!("/{}", module.display())),
    };
    seen.map(|seen| GpuSign { seen, driver }).or_else(asked_of_nvidia_smi)
}

/// The kernel module's version in its version file, the first word of three numbers with dots
/// between them, or of two.
fn module_version(text: &str) -> Option<String> {
    text.lines().find(|line| line.starts_with("NVRM version"))?.split_whitespace().find(|word| is_version(word)).map(str::to_string)
}

/// Seconds after which `nvidia-smi` is given up; it can hang where a GPU does.
const PATIENCE: Duration = Duration::from_secs(10);

/// WSL and some containers have no device files under these names.
fn asked_of_nvidia_smi() -> Option<GpuSign> {
    let mut command = Command::new("nvidia-smi");
    command.args(["--query-gpu=driver_version", "--format=csv,noheader"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let started = Instant::now();
    let status = loop {
        match child.try_wait().ok()? {
            Some(status) => break status,
            None if started.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Some(GpuSign { seen: "nvidia-smi, which does not answer".into(), driver: None });
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let mut text = vec![];
    child.stdout.take()?.read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let version = text.lines().map(str::trim).find(|line| is_version(line))?;
    status.success().then(|| GpuSign { seen: "nvidia-smi".into(), driver: Some(version.into()) })
}

/// Two or three numbers with dots between them.
fn is_version(word: &str) -> bool {
    word.contains('.') && word.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// A device as the driver names it, in CUDA's order, after `CUDA_VISIBLE_DEVICES`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gpu {
    pub name: String,
    /// `GPU-…`, or `MIG-…` of a slice of a GPU.
    pub uuid: String,
    /// Compute capability, e.g. (9, 0).
    pub capability: (i32, i32),
    /// Bytes in all.
    pub memory: u64,
}

/// What the driver offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Driver {
    /// The newest CUDA version that it supports, e.g. (13, 0).
    pub cuda: (i32, i32),
    /// Why it offers no device, in its own words.
    pub gpus: Result<Vec<Gpu>, String>,
}

/// Asks the driver.
///
/// # Errors
/// Its library cannot be loaded; the loader's message.
pub fn driver() -> Result<Driver, String> {
    let library = Library::open()?;
    let mut version = 0;
    let asked = library.call::<unsafe extern "C" fn(*mut c_int) -> c_int>(c"cuDriverGetVersion", |f| unsafe { f(&mut version) });
    asked.map_err(|why| format!("the driver does not tell its version: {why}"))?;
    Ok(Driver { cuda: (version / 1000, version % 1000 / 10), gpus: library.gpus() })
}

/// The driver's library, which is never unloaded.
struct Library(*mut c_void);

impl Library {
    fn open() -> Result<Library, String> {
        // SAFETY: the name is NUL-terminated; dlerror's text is copied at once.
        unsafe {
            let handle = libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_NOW);
            match handle.is_null() {
                true => Err(last_error()),
                false => Ok(Library(handle)),
            }
        }
    }

    /// Calls a function of the driver, whose result is 0 or an error's number.
    ///
    /// `F` must be the function's type.
    fn call<F: Copy>(&self, name: &CStr, call: impl FnOnce(F) -> c_int) -> Result<(), String> {
        // SAFETY: the name is NUL-terminated.
        let function = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if function.is_null() {
            return Err(format!("libcuda.so.1 has no {}", name.to_string_lossy()));
        }
        assert_eq!(std::mem::size_of::<F>(), std::mem::size_of::<*mut c_void>());
        // SAFETY: the driver API's functions keep their types; F is the pointer type of this one.
        let code = call(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&function) });
        match code {
            0 => Ok(()),
            code => Err(self.words(code)),
        }
    }

    /// The driver's own text for an error.
    fn words(&self, code: c_int) -> String {
        let mut text: *const c_char = std::ptr::null();
        // SAFETY: as in `call`; the text is a constant of the library.
        unsafe {
            let function = libc::dlsym(self.0, c"cuGetErrorString".as_ptr());
            if !function.is_null() {
                let ask: unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int = std::mem::transmute(function);
                ask(code, &mut text);
            }
            match text.is_null() {
                true => format!("error {code}"),
                false => format!("{} (error {code})", CStr::from_ptr(text).to_string_lossy()),
            }
        }
    }

    fn gpus(&self) -> Result<Vec<Gpu>, String> {
        // SAFETY: all pointers are to live variables of the types that the driver API states.
        self.call::<unsafe extern "C" fn(c_uint) -> c_int>(c"cuInit", |f| unsafe { f(0) })?;
        let mut n = 0;
        self.call::<unsafe extern "C" fn(*mut c_int) -> c_int>(c"cuDeviceGetCount", |f| unsafe { f(&mut n) })?;
        (0..n).map(|index| self.gpu(index)).collect()
    }

    fn gpu(&self, index: c_int) -> Result<Gpu, String> {
        type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
        type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
        type Uuid = unsafe extern "C" fn(*mut [u8; 16], c_int) -> c_int;
        type Memory = unsafe extern "C" fn(*mut usize, c_int) -> c_int;
        type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
        const MAJOR: c_int = 75; // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
        const MINOR: c_int = 76;
        let (mut device, mut memory, mut uuid, mut name) = (0, 0, [0u8; 16], [0 as c_char; 256]);
        let (mut major, mut minor) = (0, 0);
        // SAFETY: as above; `name` has room for the length given, and the driver ends it with NUL.
        self.call::<Get>(c"cuDeviceGet", |f| unsafe { f(&mut device, index) })?;
        self.call::<Name>(c"cuDeviceGetName", |f| unsafe { f(name.as_mut_ptr(), 255, device) })?;
        self.call::<Uuid>(c"cuDeviceGetUuid_v2", |f| unsafe { f(&mut uuid, device) })?;
        self.call::<Memory>(c"cuDeviceTotalMem_v2", |f| unsafe { f(&mut memory, device) })?;
        self.call::<Attribute>(c"cuDeviceGetAttribute", |f| unsafe { f(&mut major, MAJOR, device) })?;
        self.call::<Attribute>(c"cuDeviceGetAttribute", |f| unsafe { f(&mut minor, MINOR, device) })?;
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        let kind = if name.contains(" MIG ") { "MIG" } else { "GPU" };
        Ok(Gpu { name, uuid: uuid_text(kind, &uuid), capability: (major, minor), memory: memory as u64 })
    }
}

/// A UUID as `nvidia-smi -L` prints it.
fn uuid_text(kind: &str, bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The loader's last error.
pub fn last_error() -> String {
    // SAFETY: dlerror's text is copied before another call can replace it.
    unsafe {
        let why = libc::dlerror();
        if why.is_null() {
            "no reason given".into()
        } else {
            CStr::from_ptr(why).to_string_lossy().into_owned()
        }
    }
}

/// The CUDA version that a driver of this version supports, as far as it matters here: CUDA 13
/// needs driver 580, CUDA 12 needs 525 (NVIDIA's table of compatibility within a major version).
pub fn supported_cuda(driver: &str) -> Option<i32> {
    match driver.split('.').next()?.parse().ok()? {
        580.. => Some(13),
        525..580 => Some(12),
        0..525 => Some(11),
        _ => None,
    }
}

/// The oldest driver for a major version of CUDA.
pub fn oldest_driver(cuda: i32) -> &'static str {
    if cuda >= 13 {
        "580"
    } else {
        "525.60.13"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_kernel_module() {
        let closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc 12.2.0\n";
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder@U22)  Tue Sep 23\n";
        assert_eq!(module_version(closed).as_deref(), Some("535.104.05"));
        assert_eq!(module_version(open).as_deref(), Some("580.95.05"));
        assert_eq!(module_version("GCC version: 12.2.0"), None);
    }

    #[test]
    fn drivers_and_their_cuda() {
        assert_eq!(["580.95.05", "575.64", "535.104.05", "470.1"].map(supported_cuda), [Some(13), Some(12), Some(12), Some(11)]);
        assert_eq!(supported_cuda("unknown"), None);
        assert_eq!((oldest_driver(13), oldest_driver(12)), ("580", "525.60.13"));
    }

    #[test]
    fn uuids_as_nvidia_smi_prints_them() {
        let bytes = [0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xfe, 0xff];
        assert_eq!(uuid_text("GPU", &bytes), "GPU-1a2b3c4d-0001-0203-0405-06070809feff");
    }
}
