// The tokenizer of ASCII texts: strings in, arrays out, the GIL released, errors mapped.
#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/gil.h"
#include "bindings/register.h"
#include "tokenize/vocabulary.h"
#include "tokenize/wordpiece.h"

namespace py = pybind11;

namespace bge {
namespace {

// How much is tokenized before signals are looked for: some 15 ms. A unit is 16 bytes, which take
// 0.2 us; of a huge text, few bytes are read as a rule, so it counts as 16 KB at most.
constexpr std::size_t kUnitBytes = 16;
constexpr std::size_t kMostBytes = 1 << 14;
constexpr std::size_t kWorkBetweenSignals = 1 << 16;

// A string's own bytes if it is ASCII, which Python knows; nothing for another string.
std::optional<std::string_view> ascii_bytes(const py::handle& text) {
  if (!PyUnicode_Check(text.ptr())) {
    throw py::type_error("a text is a " + std::string(Py_TYPE(text.ptr())->tp_name) +
                         ", expected a string");
  }
#if PY_VERSION_HEX < 0x030C0000
  if (PyUnicode_READY(text.ptr()) != 0) throw py::error_already_set();
#endif
  if (!PyUnicode_IS_ASCII(text.ptr())) return std::nullopt;
  return std::string_view(static_cast<const char*>(PyUnicode_DATA(text.ptr())),
                          static_cast<std::size_t>(PyUnicode_GET_LENGTH(text.ptr())));
}

template <class Number>
py::array_t<Number> to_array(const std::vector<Number>& values) {
  return py::array_t<Number>(static_cast<py::ssize_t>(values.size()), values.data());
}

class PyWordPiece {
 public:
  PyWordPiece(const Vocabulary& vocabulary, std::int32_t unknown, std::string continuing_prefix,
              std::size_t longest_word, bool lowercase, std::vector<std::string> added,
              std::vector<std::int32_t> before, std::vector<std::int32_t> after)
      : wordpiece_(vocabulary, {unknown, std::move(continuing_prefix), longest_word, lowercase,
                                std::move(added), std::move(before), std::move(after)}) {}

  // Ids and offsets of all texts, whether each was truncated, and the rows of those that are not
  // plain, which have no ids.
  py::tuple ragged(const py::iterable& texts, std::int64_t limit, const py::str& prefix) const {
    const py::tuple rows(texts);  // so that they outlive the call
    const auto special = static_cast<std::int64_t>(wordpiece_.special_tokens());
    if (limit < special) {
      throw std::invalid_argument("limit is " + std::to_string(limit) + "; expected at least " +
                                  std::to_string(special) + ", the number of special tokens");
    }
    const std::optional<std::string_view> prefix_bytes = ascii_bytes(prefix);
    std::vector<std::optional<std::string_view>> plain;
    plain.reserve(rows.size());
    for (const py::handle row : rows) {
      plain.push_back(ascii_bytes(row));
      if (!prefix_bytes) plain.back() = std::nullopt;
    }
    py::array_t<std::int64_t> offsets(static_cast<py::ssize_t>(rows.size() + 1));
    py::array_t<bool> truncated(static_cast<py::ssize_t>(rows.size()));
    std::int64_t* const ends = offsets.mutable_data();
    bool* const cut = truncated.mutable_data();
    std::vector<std::int32_t> ids;
    std::vector<std::int64_t> others;
    bool stopped = false;
    {
      ReleasedGil released;
      const auto room = static_cast<std::size_t>(limit - special);
      std::size_t work = 0;
      ends[0] = 0;
      for (std::size_t row = 0; row < plain.size() && !stopped; ++row) {
        const Tokenized found = plain[row]
                                    ? wordpiece_.append(*prefix_bytes, *plain[row], room, ids)
                                    : Tokenized::kNotPlain;
        if (found == Tokenized::kNotPlain) others.push_back(static_cast<std::int64_t>(row));
        cut[row] = found == Tokenized::kTruncated;
        ends[row + 1] = static_cast<std::int64_t>(ids.size());
        work += 1 + (plain[row] ? std::min(plain[row]->size(), kMostBytes) / kUnitBytes : 0);
        if (work >= kWorkBetweenSignals) {
          stopped = released.with_gil([] { return PyErr_CheckSignals() != 0; });
          work = 0;
        }
      }
    }
    if (stopped) throw py::error_already_set();  // what the signal handler raised
    return py::make_tuple(to_array(ids), offsets, truncated, others);
  }

 private:
  WordPiece wordpiece_;
};

}  // namespace

void register_tokenize(py::module_& module) {
  // Local, as types of unnamed namespaces are: two builds of the core may be in one process.
  py::class_<Vocabulary>(module, "Vocabulary", py::module_local())
      .def(py::init([](const py::bytes& json, std::size_t begin) {
             return read_vocabulary(std::string_view(json), begin);
           }),
           py::arg("json"), py::arg("begin"))
      .def("id_of", &Vocabulary::id_of, py::arg("text"))
      .def_readonly("max_id", &Vocabulary::max_id)
      .def_readonly("end", &Vocabulary::end);
  py::class_<PyWordPiece>(module, "WordPiece")
      .def(py::init<const Vocabulary&, std::int32_t, std::string, std::size_t, bool,
                    std::vector<std::string>, std::vector<std::int32_t>,
                    std::vector<std::int32_t>>(),
           py::arg("vocabulary"), py::kw_only(), py::arg("unknown"), py::arg("continuing_prefix"),
           py::arg("longest_word"), py::arg("lowercase"), py::arg("added"), py::arg("before"),
           py::arg("after"))
      .def("ragged", &PyWordPiece::ragged, py::arg("texts"), py::arg("limit"), py::arg("prefix"));
}

}  // namespace bge
