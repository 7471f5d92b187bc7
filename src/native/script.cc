// TorchScript modules: loading, their tensors, and their forward pass.
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/graph_iterator.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "guarded.h"

namespace {

struct Script {
  torch::jit::Module module;
  std::vector<std::pair<std::string, at::Tensor>> parameters, buffers;

  std::vector<std::pair<std::string, at::Tensor>>& tensors(bool is_buffer) { return is_buffer ? buffers : parameters; }
};

/// Whether an argument of an operation is this constant.
bool is_constant(const torch::jit::Node* node, const char* name, double number) {
  const auto* schema = node->maybeSchema();
  if (!schema) return false;
  auto at = schema->argumentIndexWithName(name);
  if (!at || static_cast<size_t>(*at) >= node->inputs().size()) return false;
  auto value = torch::jit::toIValue(node->input(*at));
  if (!value) return false;
  if (value->isBool()) return value->toBool() == (number != 0.0);
  return value->isScalar() && value->toScalar().toDouble() == number;
}

/// Whether an operation draws random numbers from a generator of libtorch.
bool is_random(const torch::jit::Node* node) {
  const auto* op = node->maybeOperator();
  if (!op) return false;
  auto handle = c10::Dispatcher::singleton().findOp(node->schema().operator_name());
  if (!handle || !handle->hasTag(at::Tag::nondeterministic_seeded)) return false;
  // With a probability of 0, or outside of training, nothing is drawn.
  for (const char* probability : {"p", "dropout", "dropout_p"})
    if (is_constant(node, probability, 0.0)) return false;
  return !is_constant(node, "train", 0.0) && !is_constant(node, "training", 0.0);
}

/// Why a study could not repeat a node, or nothing.
std::string trouble(const torch::jit::Node* node, bool draws) {
  std::string name = node->kind().toQualString();
  if (draws && is_random(node)) return "draws random numbers (`" + name + "`), which no seed of the study reaches; export it without";
  if (node->kind() == c10::prim::SetAttr) return "changes its attributes in its forward pass, which a checkpoint would lose; export it without";
  if (name == "aten::batch_norm" && is_constant(node, "training", 1.0))
    return "was traced in training mode, and would learn from validation images; script it, or trace it after `net.eval()`";
  return "";
}

/// Whether a normalisation layer averages over all batches, with a counter that is no number of the
/// model.
bool counts_batches(const torch::jit::Module& module) {
  if (!module.hasattr("running_mean") || !module.hasattr("num_batches_tracked")) return false;
  auto slot = module.type()->findConstantSlot("momentum");
  if (slot) return module.type()->getConstant(*slot).isNone();
  return module.hasattr("momentum") && module.attr("momentum").isNone();
}

}  // namespace

extern "C" {

/// Loads a module from its bytes onto a CUDA device, or onto the CPU for a negative number.
const char* transfergrid_script_load(const char* bytes, size_t length, int device, Script** out) {
  return guarded([&] {
    auto where = device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device));
    auto script = std::make_unique<Script>();
    std::istringstream stream(std::string(bytes, length));
    script->module = torch::jit::load(stream, where);
    for (const auto& entry : script->module.named_parameters(true)) script->parameters.emplace_back(entry.name, entry.value);
    for (const auto& entry : script->module.named_buffers(true))
      if (entry.value.is_floating_point()) script->buffers.emplace_back(entry.name, entry.value);
    *out = script.release();
  });
}

void transfergrid_script_free(Script* script) {
  guarded([&] { delete script; });
}

size_t transfergrid_script_count(Script* script, bool is_buffer) { return script->tensors(is_buffer).size(); }

/// The name of a tensor, valid as long as the module, and a new handle to it.
const char* transfergrid_script_tensor(Script* script, bool is_buffer, size_t i, const char** name, at::Tensor** tensor) {
  return guarded([&] {
    auto& entry = script->tensors(is_buffer).at(i);
    *name = entry.first.c_str();
    *tensor = new at::Tensor(entry.second);
  });
}

/// Makes a tensor of the module a view of another's memory.
const char* transfergrid_script_bind(Script* script, bool is_buffer, size_t i, const at::Tensor* value, bool learns) {
  return guarded([&] {
    auto& tensor = script->tensors(is_buffer).at(i).second;
    tensor.set_data(*value);
    if (!is_buffer) {
      tensor.set_requires_grad(learns);
      tensor.mutable_grad().reset();
    }
  });
}

/// Writes why a study could not repeat the forward pass; nothing if it could. Operations that may
/// draw random numbers count if `draws`. To be called before the module has run.
const char* transfergrid_script_trouble(Script* script, bool draws, char* words, size_t room) {
  return guarded([&] {
    std::string found;
    for (const auto& module : script->module.modules())
      if (counts_batches(module)) found = "has BatchNorm with `momentum=None`, whose count of batches a checkpoint would lose";
    auto graph = script->module.get_method("forward").graph()->copy();
    torch::jit::Inline(*graph);
    torch::jit::DepthFirstGraphNodeIterator nodes(graph);
    for (auto* node = nodes.next(); node != nullptr && found.empty(); node = nodes.next()) found = trouble(node, draws);
    size_t n = std::min(found.size(), room - 1);
    found.copy(words, n);
    words[n] = 0;
  });
}

/// The state of the generator from which a device's random numbers come.
const char* transfergrid_script_generator(int device, at::Tensor** state) {
  return guarded([&] {
    auto where = device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device));
    at::Generator generator = at::globalContext().defaultGenerator(where);
    std::lock_guard<std::mutex> lock(generator.mutex());
    *state = new at::Tensor(generator.get_state().clone());
  });
}

/// One forward pass. Graphs are not optimised: an optimised graph replaces the first one after some
/// passes, and rounds differently.
const char* transfergrid_script_forward(Script* script, const at::Tensor* input, bool training, at::Tensor** output) {
  return guarded([&] {
    torch::jit::setGraphExecutorOptimize(false);
    if (script->module.is_training() != training) script->module.train(training);
    auto result = script->module.forward({*input});
    TORCH_CHECK(result.isTensor(), "its forward pass returns a ", result.tagKind(), ", not a tensor");
    *output = new at::Tensor(result.toTensor());
  });
}
}
