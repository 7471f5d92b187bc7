// The parts of libtorch that tch 0.24 does not expose and that are needed here: operations whose
// gradient is written in Rust, the TF32 switches, the allocator's cache, and profiles.
#include <ATen/Context.h>
#include <ATen/record_function.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "guarded.h"

using torch::autograd::Node;
using torch::autograd::variable_list;

extern "C" {
/// Computes the gradient of each input (null: none) from the output's gradient. Returns null on
/// success, otherwise the error message. The closure keeps ownership of the tensors and of the
/// message.
typedef const char* (*Backward)(void* closure, const at::Tensor* gradient, const at::Tensor** results);
typedef void (*Release)(void* closure);
}

namespace {

struct RustNode : Node {
  RustNode(const char* label, size_t inputs, void* closure, Backward backward, Release release)
      : label(label), inputs(inputs), closure(closure), backward(backward), release(release) {}
  ~RustNode() override { release_variables(); }
  std::string name() const override { return std::string(label) + "_backward"; }

  variable_list apply(variable_list&& gradients) override {
    TORCH_CHECK(!at::GradMode::is_enabled(), name(), " has no second derivative");
    TORCH_CHECK(closure, "an operation's gradient was asked for twice");
    variable_list results(inputs);
    if (!gradients[0].defined()) return results;
    std::vector<const at::Tensor*> found(inputs, nullptr);
    const char* trouble = backward(closure, &gradients[0], found.data());
    TORCH_CHECK(!trouble, name(), ": ", trouble);
    for (size_t i = 0; i < inputs; ++i)
      if (found[i]) results[i] = *found[i];
    release_variables();
    return results;
  }

  void release_variables() override {
    if (closure) release(closure);
    closure = nullptr;
  }

  const char* label;
  size_t inputs;
  void* closure;
  Backward backward;
  Release release;
};

}  // namespace

extern "C" {

/// Returns the output with a history in which `backward` computes its gradients. Takes ownership of
/// the closure, even on failure. Keeps a pointer to the label, which must stay valid for the whole
/// process.
const char* transfergrid_with_gradient(
    const char* label, const at::Tensor* const* inputs, size_t n, const at::Tensor* output, void* closure, Backward backward, Release release,
    at::Tensor** recorded) {
  bool taken = false;
  const char* trouble = guarded([&] {
    RustNode* raw = new RustNode(label, n, closure, backward, release);
    taken = true;
    auto node = std::shared_ptr<RustNode>(raw, torch::autograd::deleteNode);
    torch::autograd::edge_list edges;
    for (size_t i = 0; i < n; ++i) edges.push_back(torch::autograd::impl::gradient_edge(*inputs[i]));
    node->set_next_edges(std::move(edges));
    auto result = output->detach();
    torch::autograd::set_history(result, node);
    *recorded = new at::Tensor(result);
  });
  if (!taken) release(closure);
  return trouble;
}

/// Whether CUDA's float32 matrix products and convolutions may round their inputs to TF32.
const char* transfergrid_allow_tf32(bool allowed) {
  return guarded([&] {
    at::globalContext().setAllowTF32CuBLAS(allowed);
    at::globalContext().setAllowTF32CuDNN(allowed);
  });
}

/// Returns the memory that CUDA's allocator has cached to the device.
void transfergrid_release_memory() {
  try {
    at::getDeviceAllocator(at::kCUDA)->emptyCache();
  } catch (...) {
    // There is no CUDA device, or it is lost: its next use returns an error.
  }
}
}

// --- profile of the operations that one thread calls

namespace {

struct Frame {
  const char* name;
  std::chrono::steady_clock::time_point start;
  int64_t inner = 0;  // nanoseconds in operations called from this one
};
struct Total {
  int64_t calls = 0, nanoseconds = 0;
};
thread_local std::vector<Frame> frames;
// The callbacks also apply to the backward pass, which on CUDA runs on one of libtorch's threads.
std::mutex totals_lock;
std::unordered_map<std::string, Total> totals;
thread_local at::CallbackHandle profiling = at::INVALID_CALLBACK_HANDLE;

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& function) {
  frames.push_back({function.name(), std::chrono::steady_clock::now()});
  return nullptr;
}

void leave(const at::RecordFunction&, at::ObserverContext*) {
  if (frames.empty()) return;  // entered before the profile began
  Frame frame = frames.back();
  frames.pop_back();
  int64_t all = (std::chrono::steady_clock::now() - frame.start).count();
  {
    std::lock_guard<std::mutex> guard(totals_lock);
    Total& total = totals[frame.name];
    total.calls += 1;
    total.nanoseconds += all - frame.inner;
  }
  if (!frames.empty()) frames.back().inner += all;
}

}  // namespace

extern "C" {

/// Starts counting and timing this thread's operations, and those of its backward passes. One
/// profile at a time.
const char* transfergrid_profile_start() {
  return guarded([] {
    TORCH_CHECK(profiling == at::INVALID_CALLBACK_HANDLE, "a profile runs on this thread already");
    frames.clear();
    {
      std::lock_guard<std::mutex> guard(totals_lock);
      totals.clear();
    }
    profiling = at::addThreadLocalCallback(
        at::RecordFunctionCallback(enter, leave).scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE}));
  });
}

/// Ends the profile. Calls `see`, if not null, with each operation's name, calls and own
/// nanoseconds (without operations called from it).
const char* transfergrid_profile_stop(void* closure, void (*see)(void*, const char*, int64_t, int64_t)) {
  return guarded([&] {
    if (profiling != at::INVALID_CALLBACK_HANDLE) at::removeCallback(profiling);
    profiling = at::INVALID_CALLBACK_HANDLE;
    std::unordered_map<std::string, Total> found;
    {
      std::lock_guard<std::mutex> guard(totals_lock);
      found.swap(totals);
    }
    if (see)
      for (auto& [name, total] : found) see(closure, name.c_str(), total.calls, total.nanoseconds);
  });
}

/// Begins an operation of ours in profiles; the scope stays null if no profile is running.
/// `transfergrid_leave` ends it.
const char* transfergrid_enter(const char* name, at::RecordFunction** scope) {
  return guarded([&] {
    if (!at::hasCallbacks()) return;
    auto function = std::make_unique<at::RecordFunction>(at::RecordScope::USER_SCOPE);
    if (function->isActive()) function->before(name);
    *scope = function.release();
  });
}

void transfergrid_leave(at::RecordFunction* function) {
  guarded([&] { delete function; });
}
}
