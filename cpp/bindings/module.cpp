#include <tuple>

#include "bindings/choices.h"
#include "bindings/register.h"
#include "isa/dispatch.h"
#include "parallel/float_mode.h"
#include "parallel/parallel.h"

namespace py = pybind11;

namespace {

class FloatModeScope {
 public:
  void enter() { mode_.emplace(); }
  void exit(const py::args&) { mode_.reset(); }

 private:
  std::optional<bge::FloatMode> mode_;
};

// The names of every choice, by the argument that takes one of them.
py::dict choices() {
  py::dict names;
  const auto add = [&](const auto& choice) {
    py::list list;
    for (const auto& [name, value] : choice.all) list.append(name);
    names[choice.what] = py::tuple(list);
  };
  std::apply([&](const auto&... choice) { (add(choice), ...); },
             std::tie(bge::kComputeTypes, bge::kPoolings, bge::kPrecisions, bge::kActivations,
                      bge::kElements, bge::kMetrics));
  return names;
}

}  // namespace

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  module.doc() = "The C++ core of bge_micro: private, its interface may change at any time.";
  module.attr("numerics_version") = bge::kNumericsVersion;
  module.attr("parallel_backend") = bge::parallel_backend();
  module.attr("choices") = choices();
  module.def(
      "instruction_sets",
      [] {
        py::list list;
        for (const bge::InstructionSet& set : bge::instruction_sets()) {
          list.append(py::make_tuple(set.name, set.supported));
        }
        return list;
      },
      "Instruction sets of this build, best first, and whether this CPU has them.");
  module.def(
      "refusals",
      [] {
        py::dict reasons;
        for (const bge::InstructionSet& set : bge::instruction_sets()) {
          if (!set.refusal.empty()) reasons[set.name] = set.refusal;
        }
        return reasons;
      },
      "Why the operating system refuses instruction sets that the CPU has, by their names.");
  py::class_<FloatModeScope>(module, "DefaultFloatMode",
                             "A with block in which this thread rounds to nearest even and keeps "
                             "subnormals, whatever the caller has set.")
      .def(py::init<>())
      .def("__enter__", &FloatModeScope::enter)
      .def("__exit__", &FloatModeScope::exit);
  bge::register_engine(module);
  bge::register_layers(module);
  bge::register_kernels(module);
  bge::register_search(module);
  bge::register_scores(module);
  bge::register_tokenize(module);
}
