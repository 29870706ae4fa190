// Which row of the position table each token of a text has.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace bge {

// BERT counts from 0. RoBERTa counts from padding_id + 1 and leaves out tokens whose id is
// padding_id, which have row padding_id: a text may hold "<pad>" itself.
inline void write_positions(const Config& config, const std::int32_t* ids, int tokens,
                            std::int32_t* rows) {
  std::int32_t next = config.padding_id + 1;
  for (int t = 0; t < tokens; ++t) {
    const bool padding = config.padding_id >= 0 && ids[t] == config.padding_id;
    rows[t] = padding ? config.padding_id : next++;
  }
}

}  // namespace bge
