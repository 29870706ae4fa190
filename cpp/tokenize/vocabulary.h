// The vocabulary of a tokenizer.json, read from its bytes: to make 30,000 Python objects of it
// would take ten times as long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bge {

struct Vocabulary {
  struct Token {
    std::string text;  // ASCII
    std::int32_t id = 0;
  };

  std::vector<Token> tokens;  // only those of ASCII: no other can match an ASCII text
  std::int32_t max_id = -1;   // of all tokens
  std::size_t end = 0;        // where in the JSON the vocabulary ends

  // The id of a token of ASCII.
  std::optional<std::int32_t> id_of(std::string_view text) const;
};

// Reads the JSON object of ids by token that begins at a position.
// Throws std::invalid_argument if there is something else.
Vocabulary read_vocabulary(std::string_view json, std::size_t begin);

}  // namespace bge
