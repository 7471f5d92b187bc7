// What tch 0.24 does not reach of libtorch, and no more: operations whose gradient is written in Rust, TF32's switches, the allocator's cache, profiles.
#include <ATen/Context.h>
#include <ATen/record_function.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <chrono>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

using torch::autograd::Node;
using torch::autograd::variable_list;

extern "C" {
/// Gives the gradient of each input (null: none) for the output's gradient; null if all went well, else what went wrong. Tensors and words stay the
/// closure's.
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

/// The output with a history: `backward` gives its gradients. Takes over the closure; keeps the label, which has to live for ever.
/// Null on an error of libtorch's.
at::Tensor* transfergrid_with_gradient(
    const char* label, const at::Tensor* const* inputs, size_t n, const at::Tensor* output, void* closure, Backward backward, Release release) {
  try {
    auto node = std::shared_ptr<RustNode>(new RustNode(label, n, closure, backward, release), torch::autograd::deleteNode);
    torch::autograd::edge_list edges;
    for (size_t i = 0; i < n; ++i) edges.push_back(torch::autograd::impl::gradient_edge(*inputs[i]));
    node->set_next_edges(std::move(edges));
    auto result = output->detach();
    torch::autograd::set_history(result, node);
    return new at::Tensor(result);
  } catch (...) {
    return nullptr;
  }
}

/// Whether CUDA's float32 matrix products and convolutions may round their inputs to TF32.
void transfergrid_allow_tf32(bool allowed) {
  at::globalContext().setAllowTF32CuBLAS(allowed);
  at::globalContext().setAllowTF32CuDNN(allowed);
}

/// Gives the device what CUDA's allocator keeps for later.
void transfergrid_release_memory() {
  try {
    at::getDeviceAllocator(at::kCUDA)->emptyCache();
  } catch (...) {
    // There is no CUDA, or its device is lost: whoever uses it next is told so.
  }
}
}

// --- a profile of what one thread asks for

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
// The callbacks go along with the backward pass, which for CUDA runs on a thread of libtorch's.
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

/// From here on this thread's operations, and those of its backward passes, are counted and timed. One profile at a time.
void transfergrid_profile_start() {
  frames.clear();
  totals.clear();
  profiling = at::addThreadLocalCallback(
      at::RecordFunctionCallback(enter, leave).scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE}));
}

/// Ends the profile; `see` gets each operation's name, calls and own nanoseconds (without operations called from it).
void transfergrid_profile_stop(void* closure, void (*see)(void*, const char*, int64_t, int64_t)) {
  at::removeCallback(profiling);
  for (auto& [name, total] : totals) see(closure, name.c_str(), total.calls, total.nanoseconds);
  totals.clear();
}

/// An operation of ours in profiles; null where none runs. `transfergrid_leave` ends it.
at::RecordFunction* transfergrid_enter(const char* name) {
  if (!at::hasCallbacks()) return nullptr;
  auto* function = new at::RecordFunction(at::RecordScope::USER_SCOPE);
  if (function->isActive()) function->before(name);
  return function;
}

void transfergrid_leave(at::RecordFunction* function) { delete function; }
}
