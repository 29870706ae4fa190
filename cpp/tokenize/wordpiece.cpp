#include "tokenize/wordpiece.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace bge {

// Collects the characters of a word, and appends the ids of its pieces when it ends.
class WordPiece::Words {
 public:
  Words(const WordPiece& wordpiece, std::vector<std::int32_t>& ids)
      : owner_(wordpiece),
        ids_(ids),
        word_(wordpiece.rules_.longest_word, '\0'),
        hashes_(std::max(wordpiece.first_.longest(), wordpiece.next_.longest())) {}

  bool is_too_long() const { return length_ > word_.size(); }

  void add(char character) {
    if (length_ < word_.size()) word_[length_] = character;
    ++length_;
  }

  void end() {
    if (length_ != 0) append_pieces();
  }

 private:
  void append_pieces() {
    const std::size_t before = ids_.size();
    if (is_too_long() || !split(std::string_view(word_).substr(0, length_))) {
      ids_.resize(before);
      ids_.push_back(owner_.rules_.unknown);
    }
    length_ = 0;
  }

  // Appends the longest piece, then the longest that continues it, and so on; false if none does.
  bool split(std::string_view word) {
    const PieceTable* pieces = &owner_.first_;
    while (!word.empty()) {
      const PieceTable::Match match = pieces->longest_match(word, hashes_.data());
      if (match.length == 0) return false;
      ids_.push_back(match.id);
      word.remove_prefix(match.length);
      pieces = &owner_.next_;
    }
    return true;
  }

  const WordPiece& owner_;
  std::vector<std::int32_t>& ids_;
  std::string word_;        // its first longest_word characters
  std::size_t length_ = 0;  // all its characters
  std::vector<std::uint64_t> hashes_;
};

WordPiece::WordPiece(const Vocabulary& vocabulary, WordPieceRules rules)
    : rules_(std::move(rules)), first_(vocabulary.tokens.size()), next_(vocabulary.tokens.size()) {
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    const char byte = static_cast<char>(i);
    bytes_[i] = {kByteClasses[i], false, rules_.lowercase ? lower_case(byte) : byte};
  }
  for (const std::string& token : rules_.added) {
    if (token.empty()) throw std::invalid_argument("an added token is empty");
    bytes_[static_cast<unsigned char>(token[0])].begins_added = true;
  }
  const std::string_view prefix = rules_.continuing_prefix;
  for (const auto& [text, id] : vocabulary.tokens) {
    if (is_word(text)) first_.insert(text, id);
    if (!text.starts_with(prefix)) continue;
    const std::string_view rest = std::string_view(text).substr(prefix.size());
    if (is_word(rest)) next_.insert(rest, id);
  }
}

// Whether a word of a text may be this, or have it as a part.
bool WordPiece::is_word(std::string_view text) const {
  if (text.empty() || text.size() > rules_.longest_word) return false;
  return std::all_of(text.begin(), text.end(), [&](char character) {
    const Byte& byte = bytes_[static_cast<unsigned char>(character)];
    const bool in_word = byte.kind == ByteClass::kLetter ||
                         (byte.kind == ByteClass::kPunctuation && text.size() == 1);
    return in_word && byte.normalized == character;
  });
}

Tokenized WordPiece::append(std::string_view prefix, std::string_view text, std::size_t room,
                            std::vector<std::int32_t>& ids) const {
  const std::size_t begin = ids.size();
  ids.insert(ids.end(), rules_.before.begin(), rules_.before.end());
  const std::size_t content = ids.size();
  const auto is_full = [&] { return ids.size() - content > room; };
  Words words(*this, ids);
  std::size_t part_begin = 0;  // in the whole text
  for (const std::string_view part : {prefix, text}) {
    for (std::size_t i = 0; i < part.size() && !is_full();) {
      const Byte& byte = bytes_[static_cast<unsigned char>(part[i])];
      if (byte.kind == ByteClass::kNotAscii ||
          (byte.begins_added && added_token_at(prefix, text, part_begin + i))) {
        ids.resize(begin);
        return Tokenized::kNotPlain;
      }
      ++i;
      switch (byte.kind) {
        case ByteClass::kLetter:
          words.add(byte.normalized);
          if (words.is_too_long()) i = end_of_run(part, i, byte.kind);
          break;
        case ByteClass::kPunctuation:
          words.end();
          words.add(byte.normalized);
          words.end();
          break;
        case ByteClass::kBlank:
          words.end();
          [[fallthrough]];
        default:
          i = end_of_run(part, i, byte.kind);
      }
    }
    part_begin += part.size();
  }
  if (!is_full()) words.end();
  const bool truncated = is_full();
  if (truncated) ids.resize(content + room);
  ids.insert(ids.end(), rules_.after.begin(), rules_.after.end());
  return truncated ? Tokenized::kTruncated : Tokenized::kAll;
}

// Where characters of a class that tell nothing more end: there may be millions.
std::size_t WordPiece::end_of_run(std::string_view part, std::size_t at, ByteClass kind) const {
  while (at < part.size()) {
    const Byte& byte = bytes_[static_cast<unsigned char>(part[at])];
    if (byte.kind != kind || byte.begins_added) break;
    ++at;
  }
  return at;
}

// Whether an added token begins at this position of `prefix` + `text`.
bool WordPiece::added_token_at(std::string_view prefix, std::string_view text,
                               std::size_t at) const {
  const auto character = [&](std::size_t i) {
    return i < prefix.size() ? prefix[i] : text[i - prefix.size()];
  };
  const std::size_t rest = prefix.size() + text.size() - at;
  return std::any_of(rules_.added.begin(), rules_.added.end(), [&](const std::string& token) {
    std::size_t same = 0;
    while (same < std::min(token.size(), rest) && character(at + same) == token[same]) ++same;
    return same == token.size();
  });
}

}  // namespace bge
