// SPDX-License-Identifier: Apache-2.0
/// @file  A language model on any machine (ablation::cpu_machine, ablation::gpu_machine), whose operations and mixers are included.
#pragma once

#include <map>     // map
#include <memory>  // make_unique, shared_ptr
#include <span>    // span
#include <vector>  // vector

#include <sextant/blocks/initialise.hpp>
#include <sextant/interop/checkpoint.hpp>
#include <sextant/models/language.hpp>

#include "../ablation/machine_weights.hpp"
#include "model.hpp"

namespace generate {

using mamba_model = sextant::models::language<std::remove_const_t<decltype(sextant::mamba)>>;
using mamba2_model = sextant::models::language<std::remove_const_t<decltype(sextant::mamba2)>>;

/// How a model of each kind is made.
struct makers {
  template <class Net>
  using maker = std::unique_ptr<model> (*)(const Net&, const request&, const sextant::safetensors::archive&,
                                           std::string&);
  maker<mamba_model> mamba;
  maker<mamba2_model> mamba2;

  template <class Net>
  std::unique_ptr<model> make(const Net& net, const request& what, const sextant::safetensors::archive& file,
                              std::string& error) const {
    if constexpr (std::is_same_v<Net, mamba_model>) return mamba(net, what, file, error);
    else return mamba2(net, what, file, error);
  }
};

/// Models on a GPU by the names of the precisions. Each model_gpu_*.cu of the build puts itself here before main() begins.
std::map<std::string, makers>& precisions_on_gpu();

/// A model on a machine whose tokens are of type E.
template <class Machine, class Net, class E> class model_on final : public model {
 public:
  model_on(std::shared_ptr<const Machine> its, const Net& n)
      : machine(std::move(its)),
        net(n),
        w(n.template weights<E>()),
        state(machine->take(sextant::models::state_bytes<E>(n, 1))),
        token(machine->take(sizeof(std::int32_t))),
        logits(machine->take(std::size_t(n.sizes.vocabulary) * sizeof(E))),
        decode_memory(machine->take(sextant::models::workspace_bytes<E>(n, machine->on(), 1, 1))),
        stored(std::size_t(n.sizes.vocabulary)) {}
  /// The weights of a file, or such as training begins with. Returns "" or what is wrong.
  std::string begin(const request& what, const sextant::safetensors::archive& from) {
    using namespace sextant;
    if (what.weights.empty()) return ablation::begin_weights(*machine, w, weights, what.seed);
    return ablation::fill_weights(*machine, w, weights, [&](std::span<std::byte> room) {
      return blocks::load(w, room, from, {.allowed = models::is_tied_head});
    });
  }
  std::string next(std::span<const std::int32_t> tokens, std::span<const float>& found) override {
    using namespace sextant;
    const auto T = index_t(tokens.size());
    const auto run = [&](const typename Machine::memory& ids, const typename Machine::memory& scratch) {
      return forward(net, machine->on(scratch), w, {reinterpret_cast<const std::int32_t*>(ids.data()), {1, T}},
                     {reinterpret_cast<E*>(logits.data()), {1, net.sizes.vocabulary}}, {state.data()});
    };
    status done;
    if (T == 1) {
      machine->send(token.data(), tokens.data(), sizeof(std::int32_t));
      done = decode(*machine, [&] { return run(token, decode_memory); });
    } else {
      const auto ids = machine->take(tokens.size_bytes());
      const auto scratch = machine->take(models::workspace_bytes<E>(net, machine->on(), 1, T));
      machine->send(ids.data(), tokens.data(), tokens.size_bytes());
      done = run(ids, scratch);
      machine->wait();
    }
    if (!done) return done.what;
    machine->fetch(stored.data(), logits.data(), stored.size() * sizeof(E));
    numbers.assign(stored.begin(), stored.end());
    found = numbers;
    return {};
  }
  std::string describe() const override {
    const sextant::models::language_sizes& s = net.sizes;
    return std::string(std::is_same_v<Net, mamba_model> ? "Mamba" : "Mamba-2") + ", " + std::to_string(s.layers) +
           " layers of " + std::to_string(s.model) + " channels" +
           (s.experts > 0 ? " and " + std::to_string(s.experts) + " experts" : std::string{}) + ", " +
           std::to_string(sextant::models::parameters(net)) + " parameters";
  }
  std::size_t state_bytes() const override { return state.size(); }

 private:
  using memory = typename Machine::memory;

  std::shared_ptr<const Machine> machine;
  Net net;
  decltype(std::declval<Net>().template weights<E>()) w;
  memory weights, state, token, logits, decode_memory;
  std::vector<E> stored;
  std::vector<float> numbers;
  typename Machine::again decode;
};

/// A model with its weights, or null and why.
template <class E, class Machine, class Net>
std::unique_ptr<model> make_of(std::shared_ptr<const Machine> machine, const Net& net, const request& what,
                               const sextant::safetensors::archive& file, std::string& error) {
  if (!what.weights.empty() && std::size_t(sextant::models::parameters(net)) > file.bytes()) {
    error = "holds fewer bytes than a model of these sizes has numbers";
    return {};
  }
  auto made = std::make_unique<model_on<Machine, Net, E>>(std::move(machine), net);
  error = made->begin(what, file);
  if (!error.empty()) return {};
  return made;
}

}  // namespace generate
