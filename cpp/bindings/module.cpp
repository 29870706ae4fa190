#include "bindings/register.h"
#include "engine.h"
#include "isa/dispatch.h"
#include "parallel/parallel.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  module.doc() = "The C++ core of bge_micro: private, its interface may change at any time.";
  module.attr("numerics_version") = bge::kNumericsVersion;
  module.attr("parallel_backend") = bge::parallel_backend();
  module.def(
      "instruction_sets",
      [] {
        py::list list;
        for (const bge::IsaEntry& entry : bge::isa_list()) {
          list.append(py::make_tuple(entry.kernels->name, entry.supported));
        }
        return list;
      },
      "Instruction sets of this build, best first, and whether this CPU has them.");
  bge::register_model(module);
  bge::register_kernels(module);
}
