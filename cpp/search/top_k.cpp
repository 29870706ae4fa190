#include "search/top_k.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "memory/aligned.h"
#include "parallel/float_mode.h"
#include "parallel/stop.h"

namespace bge {
namespace {

// Queries that are compared with the rows together. All rows are read from memory once a group.
constexpr std::int64_t kGroup = 64;
// Queries of one kernel call, whose scores stay in L1.
constexpr int kCall = 8;
// Rows of one kernel call, which stay in L1 while all of the group's queries are compared with
// them.
constexpr std::size_t kBlockBytes = 32 << 10;
constexpr std::int64_t kMostBlockRows = 1024;
// Rows of a task: many blocks, but few enough that all threads end at about the same time.
constexpr std::size_t kTaskBytes = 1 << 20;
constexpr std::int64_t kTasksPerThread = 4;
// With fewer multiply-adds, some 20 us, waking a thread costs more than it saves.
constexpr double kSoloWork = 1e6;

template <class Score>
struct Candidate {
  Score score;
  std::int64_t row;
  bool operator<(const Candidate& other) const {  // the better one comes first
    return score > other.score || (score == other.score && row < other.row);
  }
};

// The best `capacity` candidates so far, as a heap with the worst one on top.
template <class Score>
class Best {
 public:
  void reset(std::int64_t capacity) {
    capacity_ = static_cast<std::size_t>(capacity);
    heap_.clear();
    heap_.reserve(capacity_);
  }
  // Scores of rows first, first + 1, ...
  void offer(const Score* scores, std::int64_t first, int count) {
    int r = 0;
    for (; r < count && heap_.size() < capacity_; ++r) {
      heap_.push_back({scores[r], first + r});
      std::push_heap(heap_.begin(), heap_.end());
    }
    if (r == count) return;
    Score worst = heap_.front().score;
    for (; r < count; ++r) {
      if (r + kGlance <= count && none_reaches(scores + r, worst)) {  // true nearly always
        r += kGlance - 1;
        continue;
      }
      if (scores[r] < worst) continue;
      const Candidate<Score> candidate{scores[r], first + r};
      if (!(candidate < heap_.front())) continue;
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.back() = candidate;
      std::push_heap(heap_.begin(), heap_.end());
      worst = heap_.front().score;
    }
  }
  const std::vector<Candidate<Score>>& candidates() const { return heap_; }

 private:
  static constexpr int kGlance = 16;  // scores that are compared together

  static bool none_reaches(const Score* scores, Score worst) {
    bool none = true;
    for (int i = 0; i < kGlance; ++i) none &= scores[i] < worst;
    return none;
  }

  std::size_t capacity_ = 0;
  std::vector<Candidate<Score>> heap_;
};

// A group's queries in the form that kernels read, and 1 / length of each.
class Queries {
 public:
  Queries(const KernelTable& kernels, const Search& search, std::int64_t first, int count)
      : sums_(static_cast<std::size_t>(count)), inverse_(round_up_lanes(count)) {
    const std::size_t element = element_bytes(search.element);
    padded_ = (search.width + 63) / 64 * 64;
    buffer_.reserve(padded_ * element * static_cast<std::size_t>(count));
    std::memset(buffer_.as<void>(), 0, buffer_.bytes());
    const std::size_t row_bytes = search.width * element;
    const auto* from = static_cast<const std::uint8_t*>(search.queries) +
                       static_cast<std::size_t>(first) * row_bytes;
    for (std::size_t q = 0; q < sums_.size(); ++q) {
      auto* to = buffer_.as<std::uint8_t>() + q * padded_ * element;
      std::memcpy(to, from + q * row_bytes, row_bytes);
      if (search.element == Element::kUint8) {
        for (std::size_t i = 0; i < row_bytes; ++i) to[i] ^= 0x80;
      }
      if (search.element == Element::kInt8 || search.element == Element::kUint8) {
        for (std::size_t i = 0; i < row_bytes; ++i) sums_[q] += static_cast<std::int8_t>(to[i]);
      }
    }
    const SearchRows rows{from, count, search.width, flip_of(search.element)};
    invert_norms(kernels, search.element, rows, inverse_.data());
  }

  static std::size_t round_up_lanes(int count) {
    return static_cast<std::size_t>((count + kLanes - 1) / kLanes * kLanes);
  }
  static std::uint8_t flip_of(Element element) { return element == Element::kUint8 ? 0x80 : 0; }
  static void invert_norms(const KernelTable& kernels, Element element, const SearchRows& rows,
                           float* inverse) {
    if (element == Element::kFloat32) return kernels.search.invert_float_norms(rows, inverse);
    if (element != Element::kBits) return kernels.search.invert_byte_norms(rows, inverse);
  }

  int count() const { return static_cast<int>(sums_.size()); }
  float inverse(int query) const { return inverse_[static_cast<std::size_t>(query)]; }
  SearchQueries part(Element element, int first, int count) const {
    const std::size_t at = static_cast<std::size_t>(first);
    return {buffer_.as<std::uint8_t>() + at * padded_ * element_bytes(element), sums_.data() + at,
            count, padded_};
  }

 private:
  std::size_t padded_ = 0;
  AlignedBuffer buffer_;
  std::vector<std::int32_t> sums_;
  std::vector<float> inverse_;
};

// A worker's buffers for the scores of a block.
template <class Score>
struct Worker {
  std::vector<Best<Score>> best;  // one a query of the group
  std::vector<std::int32_t> ints = std::vector<std::int32_t>(kCall * kMostBlockRows);
  std::vector<float> floats = std::vector<float>(kCall * kMostBlockRows);
  std::vector<float> inverse = std::vector<float>(kMostBlockRows + kLanes);
};

template <class Score>
class TopK {
 public:
  TopK(const KernelTable& kernels, const Search& search, Stop& stop)
      : kernels_(kernels),
        search_(search),
        stop_(stop),
        row_bytes_(search.width * element_bytes(search.element)),
        block_rows_(std::clamp(rows_of(kBlockBytes), std::int64_t{kLanes}, kMostBlockRows)) {}

  void run() {
    const double work = static_cast<double>(search_.row_count) *
                        static_cast<double>(std::min(search_.query_count, kGroup)) *
                        static_cast<double>(search_.width);
    const std::unique_ptr<Team> team = make_team(work < kSoloWork ? 1 : search_.threads, false);
    workers_.resize(static_cast<std::size_t>(team->width()));
    const std::int64_t share = search_.row_count / (team->width() * kTasksPerThread);
    const std::int64_t rows =
        std::clamp(share, block_rows_, std::max(block_rows_, rows_of(kTaskBytes)));
    const std::int64_t tasks = (search_.row_count + rows - 1) / rows;
    for (std::int64_t first = 0; first < search_.query_count; first += kGroup) {
      const int count = static_cast<int>(std::min(kGroup, search_.query_count - first));
      const Queries queries(kernels_, search_, first, count);
      for (Worker<Score>& worker : workers_) {
        worker.best.resize(static_cast<std::size_t>(count));
        for (Best<Score>& best : worker.best) best.reset(search_.k);
      }
      team->run(static_cast<int>(tasks), [&](int task, int worker) {
        if (stop_.requested(worker)) return;
        const std::int64_t begin = task * rows;
        search_rows(queries, begin, std::min(begin + rows, search_.row_count),
                    workers_[static_cast<std::size_t>(worker)]);
      });
      if (stop_.stopped()) throw Stopped();
      for (int q = 0; q < count; ++q) write_best(first, q);
    }
  }

 private:
  std::int64_t rows_of(std::size_t bytes) const {
    return static_cast<std::int64_t>(bytes / row_bytes_);
  }

  void search_rows(const Queries& queries, std::int64_t begin, std::int64_t end,
                   Worker<Score>& worker) {
    for (std::int64_t first = begin; first < end; first += block_rows_) {
      const int count = static_cast<int>(std::min(block_rows_, end - first));
      const SearchRows rows{static_cast<const std::uint8_t*>(search_.rows) +
                                static_cast<std::size_t>(first) * row_bytes_,
                            count, search_.width, Queries::flip_of(search_.element)};
      if (search_.metric == Metric::kCosine) {
        Queries::invert_norms(kernels_, search_.element, rows, worker.inverse.data());
      }
      for (int q = 0; q < queries.count(); q += kCall) {
        const int calls = std::min(kCall, queries.count() - q);
        const Score* scores = score(queries, q, calls, rows, worker);
        for (int i = 0; i < calls; ++i) {
          worker.best[static_cast<std::size_t>(q + i)].offer(scores + i * count, first, count);
        }
      }
    }
  }

  // Scores of some queries and rows, [queries][rows].
  const Score* score(const Queries& queries, int first, int count, const SearchRows& rows,
                     Worker<Score>& worker) const {
    const SearchQueries part = queries.part(search_.element, first, count);
    const std::size_t size = static_cast<std::size_t>(count) * static_cast<std::size_t>(rows.count);
    if (search_.element == Element::kFloat32) {
      kernels_.search.floats(part, rows, worker.floats.data());
    } else {
      const bool bits = search_.element == Element::kBits;
      (bits ? kernels_.search.bits : kernels_.search.bytes)(part, rows, worker.ints.data());
    }
    if constexpr (std::is_same_v<Score, std::int32_t>) {
      return worker.ints.data();
    } else {
      float* scores = worker.floats.data();
      if (search_.element != Element::kFloat32) {
        for (std::size_t i = 0; i < size; ++i) scores[i] = static_cast<float>(worker.ints[i]);
      }
      if (search_.metric == Metric::kCosine) scale(queries, first, count, rows.count, worker);
      for (std::size_t i = 0; i < size; ++i) {
        if (std::isnan(scores[i])) scores[i] = -std::numeric_limits<float>::infinity();
      }
      return scores;
    }
  }

  // Turns dot products into cosines. The two factors are multiplied with each other first, so that
  // the cosine of a and b has the bits of that of b and a.
  void scale(const Queries& queries, int first, int count, int rows, Worker<Score>& worker) const {
    float* scores = worker.floats.data();
    const float bits = 8.0f * static_cast<float>(search_.width);
    for (int q = 0; q < count; ++q, scores += rows) {
      if (search_.element == Element::kBits) {
        for (int r = 0; r < rows; ++r) scores[r] /= bits;
      } else {
        const float inverse = queries.inverse(first + q);
        for (int r = 0; r < rows; ++r) {
          scores[r] *= worker.inverse[static_cast<std::size_t>(r)] * inverse;
        }
      }
    }
  }

  // It does not matter which worker had which rows, because candidates have a total order.
  void write_best(std::int64_t first, int query) {
    std::vector<Candidate<Score>> all;
    for (const Worker<Score>& worker : workers_) {
      const auto& some = worker.best[static_cast<std::size_t>(query)].candidates();
      all.insert(all.end(), some.begin(), some.end());
    }
    const std::size_t k = static_cast<std::size_t>(search_.k);
    std::partial_sort(all.begin(), all.begin() + search_.k, all.end());
    const std::size_t at = static_cast<std::size_t>(first + query) * k;
    for (std::size_t i = 0; i < k; ++i) {
      search_.indices[at + i] = all[i].row;
      static_cast<Score*>(search_.scores)[at + i] = all[i].score;
    }
  }

  const KernelTable& kernels_;
  const Search& search_;
  Stop& stop_;
  const std::size_t row_bytes_;
  const std::int64_t block_rows_;
  std::vector<Worker<Score>> workers_;
};

}  // namespace

void top_k(const KernelTable& kernels, const Search& search, FunctionRef<bool()> stop_asked) {
  if (search.k == 0 || search.query_count == 0) return;
  const FloatMode mode;
  Stop stop(stop_asked);
  if (has_int_scores(search.element, search.metric)) {
    TopK<std::int32_t>(kernels, search, stop).run();
  } else {
    TopK<float>(kernels, search, stop).run();
  }
}

}  // namespace bge
