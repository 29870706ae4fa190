#include "tokenize/piece_table.h"

#include <algorithm>
#include <bit>

namespace bge {
namespace {

// FNV-1a: the hash of a beginning comes on the way to that of the whole.
constexpr std::uint64_t kNoBytes = 0xcbf29ce484222325;

constexpr std::uint64_t with_byte(std::uint64_t hash, char byte) {
  return (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
}

}  // namespace

PieceTable::PieceTable(std::size_t pieces) : slots_(std::bit_ceil(2 * pieces + 2)) {}

void PieceTable::insert(std::string_view piece, std::int32_t id) {
  std::uint64_t hash = kNoBytes;
  for (const char byte : piece) hash = with_byte(hash, byte);
  Slot& slot = slots_[find(piece, hash)];
  if (slot.length == 0) {
    slot = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(bytes_.size()),
            static_cast<std::uint32_t>(piece.size()), id};
    bytes_ += piece;
    longest_ = std::max(longest_, piece.size());
  }
  slot.id = id;
}

PieceTable::Match PieceTable::longest_match(std::string_view word, std::uint64_t* hashes) const {
  const std::size_t most = std::min(word.size(), longest_);
  std::uint64_t hash = kNoBytes;
  for (std::size_t i = 0; i < most; ++i) hashes[i] = hash = with_byte(hash, word[i]);
  for (std::size_t length = most; length > 0; --length) {
    const Slot& slot = slots_[find(word.substr(0, length), hashes[length - 1])];
    if (slot.length != 0) return {length, slot.id};
  }
  return {};
}

std::size_t PieceTable::find(std::string_view piece, std::uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  // FNV's low bits depend on few bits of the last bytes, so the high ones are added.
  for (std::size_t at = (hash ^ (hash >> 32)) & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.length == 0) return at;
    if (slot.tag == tag && std::string_view(bytes_).substr(slot.begin, slot.length) == piece) {
      return at;
    }
  }
}

}  // namespace bge
