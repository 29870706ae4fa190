// Chooses the kernels: those of the best instruction set that this CPU can run, or of a named one.
#pragma once

#include <string>
#include <vector>

#include "kernels/table.h"

namespace bge {

struct InstructionSet {
  const char* name;
  const KernelTable& kernels;
  bool supported;       // by this CPU and its operating system
  std::string refusal;  // why the operating system refuses to this process what the CPU has, or ""
};

// All instruction sets of this build, best first; scalar, which runs everywhere, is last. The first
// call detects the CPU, which may ask for a permission (isa/cpu.h).
const std::vector<InstructionSet>& instruction_sets();

// The named one, or the best one for an empty name. Throws std::invalid_argument for a name that
// this build does not have or this CPU cannot run.
const InstructionSet& select_instruction_set(const std::string& name);
const KernelTable& select_kernels(const std::string& name);

}  // namespace bge
