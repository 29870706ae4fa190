// What BERT's normalizer (with clean_text) and pre-tokenizer do with each ASCII character.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace bge {

enum class ByteClass : std::uint8_t {
  kLetter,       // part of a word; digits are, too
  kBlank,        // ends a word
  kPunctuation,  // ends a word and is a word of its own
  kRemoved,      // not there: the characters before and after it are neighbours
  kNotAscii,
};

constexpr ByteClass byte_class(unsigned char byte) {
  if (byte >= 0x80) return ByteClass::kNotAscii;
  if (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r') return ByteClass::kBlank;
  if (byte < ' ' || byte == 0x7f) return ByteClass::kRemoved;  // \v and \f, too
  const bool digit = byte >= '0' && byte <= '9';
  const bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
  return digit || letter ? ByteClass::kLetter : ByteClass::kPunctuation;
}

inline constexpr std::array<ByteClass, 256> kByteClasses = [] {
  std::array<ByteClass, 256> classes{};
  for (std::size_t byte = 0; byte < classes.size(); ++byte) {
    classes[byte] = byte_class(static_cast<unsigned char>(byte));
  }
  return classes;
}();

constexpr char lower_case(char byte) {
  return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte | 0x20) : byte;
}

}  // namespace bge
