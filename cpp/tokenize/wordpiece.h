// BERT's tokenizer for ASCII texts: normalizer, pre-tokenizer and WordPiece in one pass over the
// bytes. The ids are those of Hugging Face's `tokenizers`, which reads all other texts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenize/byte_classes.h"
#include "tokenize/piece_table.h"
#include "tokenize/vocabulary.h"

namespace bge {

struct WordPieceRules {
  std::int32_t unknown = 0;       // the id of a word that pieces do not make up
  std::string continuing_prefix;  // of pieces that do not begin a word, such as "##"
  std::size_t longest_word = 0;   // characters; a longer word is unknown
  bool lowercase = false;
  std::vector<std::string> added;  // tokens that are found before the text is split into words
  std::vector<std::int32_t> before, after;  // special tokens around each text
};

// What a text gave.
enum class Tokenized { kAll, kTruncated, kNotPlain };

// Immutable: any number of threads may use one at once.
class WordPiece {
 public:
  // Throws std::invalid_argument for an empty added token.
  WordPiece(const Vocabulary& vocabulary, WordPieceRules rules);

  // Appends the ids of the text `prefix` + `text`: at most `room` between the special tokens. A
  // text that is not plain, because it holds other characters than ASCII or an added token, adds
  // nothing; of a text that is truncated, only the beginning is read.
  Tokenized append(std::string_view prefix, std::string_view text, std::size_t room,
                   std::vector<std::int32_t>& ids) const;

  std::size_t special_tokens() const { return rules_.before.size() + rules_.after.size(); }

 private:
  struct Byte {
    ByteClass kind = ByteClass::kNotAscii;
    bool begins_added = false;  // whether an added token begins with it
    char normalized = 0;
  };
  class Words;

  bool is_word(std::string_view text) const;
  std::size_t end_of_run(std::string_view part, std::size_t at, ByteClass kind) const;
  bool added_token_at(std::string_view prefix, std::string_view text, std::size_t at) const;

  WordPieceRules rules_;
  std::array<Byte, 256> bytes_;
  PieceTable first_;  // pieces that begin a word
  PieceTable next_;   // pieces that continue one, without their prefix
};

}  // namespace bge
