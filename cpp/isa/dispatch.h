// Chooses the kernels: the best this CPU can run, or the one asked for by name.
#pragma once

#include <string>
#include <vector>

#include "kernels/table.h"

namespace bge {

struct IsaEntry {
  const KernelTable* kernels;
  bool supported;
};

// All ISAs of this build, best first; scalar, which runs everywhere, is last.
const std::vector<IsaEntry>& isa_list();

// The kernels named, or the best for an empty name. Throws std::invalid_argument for a name that
// this build does not have or this CPU cannot run.
const KernelTable& select_kernels(const std::string& name);

}  // namespace bge
