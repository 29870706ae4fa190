#include "isa/dispatch.h"

#include <stdexcept>

#include "isa/cpu.h"
#include "isa/tables.h"

namespace bge {
namespace {

std::string refusal(const std::string& name, const CpuFeatures& cpu) {
  return name == "amx_int8" ? cpu.amx_refused : "";
}

}  // namespace

const std::vector<InstructionSet>& instruction_sets() {
  static const std::vector<InstructionSet> list = [] {
    const CpuFeatures cpu = detect_cpu();
    return std::vector<InstructionSet>{
#define BGE_ISA(name, table, feature) {#name, table, cpu.feature, refusal(#name, cpu)},
#include "isa/instruction_sets.inc"
    };
  }();
  return list;
}

const InstructionSet& select_instruction_set(const std::string& name) {
  std::string built;
  for (const InstructionSet& set : instruction_sets()) {
    if (name.empty() ? set.supported : name == set.name) {
      if (set.supported) return set;
      if (!set.refusal.empty()) {
        throw std::invalid_argument("instruction set '" + name + "' cannot run: " + set.refusal +
                                    "; unset BGE_MICRO_ISA to use the best one that can");
      }
      throw std::invalid_argument("instruction set '" + name +
                                  "' is not supported by this CPU (or not enabled by its "
                                  "operating system); unset BGE_MICRO_ISA to use the best one");
    }
    built += built.empty() ? "" : ", ";
    built += set.name;
  }
  throw std::invalid_argument("unknown instruction set '" + name + "'; this build has: " + built);
}

const KernelTable& select_kernels(const std::string& name) {
  return select_instruction_set(name).kernels;
}

}  // namespace bge
