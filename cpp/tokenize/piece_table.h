// A hash table of word pieces that finds the longest one at the beginning of a word.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bge {

class PieceTable {
 public:
  struct Match {
    std::size_t length = 0;  // 0: no piece begins the word
    std::int32_t id = 0;
  };

  // For at most `pieces` pieces.
  explicit PieceTable(std::size_t pieces);

  // Adds a piece that is not empty; its last id counts.
  void insert(std::string_view piece, std::int32_t id);

  // The longest piece that begins the word. `hashes` is scratch memory, [longest()].
  Match longest_match(std::string_view word, std::uint64_t* hashes) const;

  std::size_t longest() const { return longest_; }

 private:
  struct Slot {
    std::uint32_t tag = 0;     // the hash's upper half
    std::uint32_t begin = 0;   // in bytes_
    std::uint32_t length = 0;  // 0: the slot is empty
    std::int32_t id = 0;
  };

  // The slot of a piece, or the empty one where it belongs.
  std::size_t find(std::string_view piece, std::uint64_t hash) const;

  std::vector<Slot> slots_;  // a power of two, at most half of them in use
  std::string bytes_;        // all pieces, one after the other
  std::size_t longest_ = 0;
};

}  // namespace bge
