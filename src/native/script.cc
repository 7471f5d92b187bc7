// TorchScript modules: loading, their tensors, and their forward pass.
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/graph_iterator.h>
#include <torch/csrc/jit/serialization/import.h>

#include <memory>
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

/// Operations that draw random numbers from a generator of libtorch.
const char* const RANDOM[] = {"dropout", "rand", "normal", "bernoulli", "multinomial", "rrelu", "uniform", "exponential"};

bool is_random(const torch::jit::Node* node) {
  std::string name = node->kind().toUnqualString();
  bool found = false;
  for (const char* word : RANDOM) found = found || name.find(word) != std::string::npos;
  if (!found) return false;
  // Dropout with a probability of 0 draws nothing.
  if (name.find("dropout") != std::string::npos && node->inputs().size() > 1) {
    auto probability = torch::jit::toIValue(node->input(1));
    return !(probability && probability->isDouble() && probability->toDouble() == 0.0);
  }
  return true;
}

}  // namespace

extern "C" {

/// Loads a module onto a CUDA device, or onto the CPU for a negative number.
const char* transfergrid_script_load(const char* path, int device, Script** out) {
  return guarded([&] {
    auto where = device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device));
    auto script = std::make_unique<Script>();
    script->module = torch::jit::load(path, where);
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

/// The name of an operation of the forward pass that draws random numbers; null if there is none.
const char* transfergrid_script_random(Script* script, char* name, size_t room) {
  return guarded([&] {
    auto graph = script->module.get_method("forward").graph()->copy();
    torch::jit::Inline(*graph);
    torch::jit::DepthFirstGraphNodeIterator nodes(graph);
    name[0] = 0;
    for (auto* node = nodes.next(); node != nullptr; node = nodes.next()) {
      if (!is_random(node)) continue;
      std::string words = node->kind().toQualString();
      words.copy(name, room - 1);
      name[std::min(words.size(), room - 1)] = 0;
      return;
    }
  });
}

/// One forward pass. Graphs are not optimised: an optimised graph replaces the first one after some
/// passes, and rounds differently.
const char* transfergrid_script_forward(Script* script, const at::Tensor* input, bool training, at::Tensor** output) {
  return guarded([&] {
    torch::jit::GraphOptimizerEnabledGuard plain(false);
    if (script->module.is_training() != training) script->module.train(training);
    auto result = script->module.forward({*input});
    TORCH_CHECK(result.isTensor(), "its forward pass returns a ", result.tagKind(), ", not a tensor");
    *output = new at::Tensor(result.toTensor());
  });
}
}
