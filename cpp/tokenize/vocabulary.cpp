#include "tokenize/vocabulary.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace bge {
namespace {

// Reads the few parts of JSON that a vocabulary has.
class JsonReader {
 public:
  JsonReader(std::string_view json, std::size_t begin)
      : json_(json), at_(std::min(begin, json.size())) {}

  std::size_t position() const { return at_; }

  // Passes blanks, then this character if it comes next.
  bool takes(char wanted) {
    while (at_ < json_.size() && is_blank(json_[at_])) ++at_;
    const bool found = at_ < json_.size() && json_[at_] == wanted;
    if (found) ++at_;
    return found;
  }

  void expect(char wanted) {
    if (!takes(wanted)) fail(std::string("expected '") + wanted + "'");
  }

  // A string: its text if that is ASCII, nothing if not.
  std::optional<std::string> string() {
    expect('"');
    std::string text;
    bool ascii = true;
    for (;;) {
      const std::size_t begin = at_;
      while (at_ < json_.size() && is_plain(json_[at_])) ++at_;
      text.append(json_, begin, at_ - begin);
      const char byte = next();
      if (byte == '"') break;
      if (static_cast<unsigned char>(byte) < ' ') fail("a control character in a string");
      const unsigned code = byte == '\\' ? escaped() : static_cast<unsigned char>(byte);
      if (code < 0x80) text += static_cast<char>(code);
      ascii = ascii && code < 0x80;
    }
    return ascii ? std::optional(std::move(text)) : std::nullopt;
  }

  // A whole number from 0 to the largest std::int32_t.
  std::int32_t number() {
    while (at_ < json_.size() && is_blank(json_[at_])) ++at_;
    std::int32_t value = -1;
    const char* const begin = json_.data() + at_;
    const auto [end, error] = std::from_chars(begin, json_.data() + json_.size(), value);
    const bool zeros = end - begin > 1 && *begin == '0';
    if (error != std::errc() || value < 0 || *begin == '-' || zeros) fail("expected an id");
    at_ += static_cast<std::size_t>(end - begin);
    return value;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument("not a vocabulary: byte " + std::to_string(at_) + ": " + what);
  }

 private:
  static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
  }

  // A character that means itself in a string.
  static bool is_plain(char byte) {
    return byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\';
  }

  char next() {
    if (at_ == json_.size()) fail("the text ends");
    return json_[at_++];
  }

  // The character after a backslash; of a pair of surrogates one half.
  unsigned escaped() {
    static constexpr std::string_view kLetters = "\"\\/bfnrt";
    static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char letter = next();
    if (letter != 'u') {
      const std::size_t which = kLetters.find(letter);
      if (which == std::string_view::npos) fail("an unknown escape");
      return static_cast<unsigned char>(kMeanings[which]);
    }
    unsigned code = 0;
    const std::string_view digits = json_.substr(at_, 4);
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, code, 16);
    if (error != std::errc() || stop != end || digits.size() != 4) fail("an unknown escape");
    at_ += digits.size();
    return code;
  }

  std::string_view json_;
  std::size_t at_;
};

}  // namespace

std::optional<std::int32_t> Vocabulary::id_of(std::string_view text) const {
  // From the end: of a token that is there twice, the last id counts.
  const auto found = std::find_if(tokens.rbegin(), tokens.rend(),
                                  [&](const Token& token) { return token.text == text; });
  return found == tokens.rend() ? std::nullopt : std::optional(found->id);
}

Vocabulary read_vocabulary(std::string_view json, std::size_t begin) {
  Vocabulary vocabulary;
  JsonReader reader(json, begin);
  reader.expect('{');
  bool more = !reader.takes('}');
  while (more) {
    std::optional<std::string> text = reader.string();
    reader.expect(':');
    const std::int32_t id = reader.number();
    if (text) vocabulary.tokens.push_back({std::move(*text), id});
    vocabulary.max_id = std::max(vocabulary.max_id, id);
    more = reader.takes(',');
    if (!more) reader.expect('}');
  }
  vocabulary.end = reader.position();
  return vocabulary;
}

}  // namespace bge
