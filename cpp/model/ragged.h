// A batch of texts without padding: the token ids of all texts, one text after the other, and where
// each text begins. A pair of texts, for a reranker, is one text of two token types.
#pragma once

#include <cstdint>
#include <vector>

namespace bge {

struct RaggedBatch {
  const std::int32_t* ids = nullptr;      // [offsets[texts]]
  const std::int64_t* offsets = nullptr;  // [texts + 1], ascending, offsets[0] == 0
  const std::int32_t* types = nullptr;    // [offsets[texts]], or null: all tokens have type 0
  std::int64_t texts = 0;

  int tokens(std::int64_t text) const {
    return static_cast<int>(offsets[text + 1] - offsets[text]);
  }
  // The first token that is pooled if `skip` are not: at least one is.
  int first_pooled(std::int64_t text, int skip) const {
    return skip < tokens(text) ? skip : tokens(text) - 1;
  }
  std::int64_t total() const { return texts ? offsets[texts] : 0; }
};

// Texts begin .. end - 1, which one thread encodes together.
struct Block {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// Divides a batch into blocks of at most `budget` tokens; a longer text is a block of its own.
inline std::vector<Block> plan_blocks(const RaggedBatch& batch, std::int64_t budget) {
  std::vector<Block> blocks;
  for (std::int64_t begin = 0; begin < batch.texts;) {
    std::int64_t end = begin + 1;
    while (end < batch.texts && batch.offsets[end + 1] - batch.offsets[begin] <= budget) ++end;
    blocks.push_back({begin, end});
    begin = end;
  }
  return blocks;
}

}  // namespace bge
