// The core's entry: whatever ids, offsets and sizes, a batch is refused with invalid_argument, or
// every text's vector is the one it gets alone, in plain C++ and by the best instruction set.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine.h"
#include "isa/dispatch.h"

namespace {

constexpr int kHidden = 64;
constexpr int kIntermediate = 64;
constexpr int kVocab = 50;
constexpr int kPositions = 80;

// Made-up numbers, the same in every run.
class Numbers {
 public:
  const float* floats(std::size_t count, float scale, float middle) {
    auto& values = floats_.emplace_back(count);
    for (float& value : values) value = middle + scale * next();
    return values.data();
  }
  const std::int8_t* bytes(std::size_t count, int lowest) {
    auto& values = bytes_.emplace_back(count);
    for (std::int8_t& value : values) {
      const int byte = static_cast<int>(next() * 128.0f);
      value = static_cast<std::int8_t>(byte < lowest ? lowest : byte > 127 ? 127 : byte);
    }
    return values.data();
  }

 private:
  float next() {  // in [-1, 1)
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<std::int32_t>(state_ >> 32)) * 0x1p-31f;
  }

  std::uint64_t state_ = 1;
  std::vector<std::vector<float>> floats_;
  std::vector<std::vector<std::int8_t>> bytes_;
};

bge::Config config() {
  bge::Config c;
  c.layers = 1;
  c.hidden = kHidden;
  c.heads = 2;
  c.intermediate = kIntermediate;
  c.vocab = kVocab;
  c.positions = kPositions;
  c.token_types = 1;
  c.layer_norm_eps = 1e-12f;
  return c;
}

bge::EncoderWeights weights(Numbers& numbers) {
  const auto linear = [&](const char* name, int out, int in) {
    bge::LinearWeights w;
    w.name = name;
    w.out = {out};
    w.in = {in};
    w.weight_int8 = numbers.bytes(static_cast<std::size_t>(out * in), -127);
    w.scale = numbers.floats(static_cast<std::size_t>(out), 0.0005f, 0.001f);
    w.bias = numbers.floats(static_cast<std::size_t>(out), 0.1f, 0.0f);
    return w;
  };
  const auto norm = [&] {
    return bge::NormWeights{numbers.floats(kHidden, 0.1f, 1.0f),
                            numbers.floats(kHidden, 0.1f, 0.0f)};
  };
  bge::EncoderWeights all;
  all.words_int8 = numbers.bytes(kVocab * kHidden, -128);
  static constexpr float kWordsScale = 0.01f;
  all.words_scale = &kWordsScale;
  all.positions = numbers.floats(kPositions * kHidden, 0.3f, 0.0f);
  all.token_types = numbers.floats(kHidden, 0.3f, 0.0f);
  all.norm = norm();
  bge::LayerWeights layer;
  layer.query = linear("query", kHidden, kHidden);
  layer.key = linear("key", kHidden, kHidden);
  layer.value = linear("value", kHidden, kHidden);
  layer.attention_output = linear("attention_output", kHidden, kHidden);
  layer.attention_norm = norm();
  layer.up = linear("up", kIntermediate, kHidden);
  layer.down = linear("down", kHidden, kIntermediate);
  layer.output_norm = norm();
  all.layers.push_back(layer);
  return all;
}

struct Engines {
  Numbers numbers;
  bge::EncoderWeights model = weights(numbers);
  bge::Engine int8{config(), model, bge::Compute::kInt8, ""};
  bge::Engine float32{config(), model, bge::Compute::kFloat32, ""};
  bge::Engine scalar_int8{config(), model, bge::Compute::kInt8, "scalar"};
  bge::Engine scalar_float32{config(), model, bge::Compute::kFloat32, "scalar"};
};

// Reads the input front to back; zeros behind its end.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  template <class T>
  T take() {
    T value{};
    const std::size_t bytes = size_ < sizeof value ? size_ : sizeof value;
    if (bytes > 0) std::memcpy(&value, data_, bytes);
    data_ += bytes;
    size_ -= bytes;
    return value;
  }
  std::size_t left() const { return size_; }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

struct Batch {
  std::vector<std::int32_t> ids;
  std::vector<std::int64_t> offsets{0};
};

// Mostly sound batches, at times with an id or an offset of any value.
Batch make_batch(Input& input) {
  Batch batch;
  const int texts = input.take<std::uint8_t>() % 12;
  for (int t = 0; t < texts; ++t) {
    const std::uint8_t tokens = input.take<std::uint8_t>();
    const int count = tokens < 0xe0 ? 1 + tokens % 24 : (tokens % 32) * 3;  // 0 to 93
    for (int i = 0; i < count; ++i) batch.ids.push_back(input.take<std::uint8_t>() % kVocab);
    batch.offsets.push_back(static_cast<std::int64_t>(batch.ids.size()));
  }
  const std::uint8_t damage = input.take<std::uint8_t>();
  if ((damage & 3) == 1 && !batch.ids.empty()) {
    batch.ids[input.take<std::uint16_t>() % batch.ids.size()] = input.take<std::int32_t>();
  }
  if ((damage & 12) == 4) {
    const std::size_t at = input.take<std::uint8_t>() % batch.offsets.size();
    // The bindings let no batch in whose last offset is not the number of ids.
    if (at + 1 < batch.offsets.size()) batch.offsets[at] = input.take<std::int64_t>();
  }
  return batch;
}

bool sound(const Batch& batch, int dimensions, int skip) {
  if (dimensions < 1 || dimensions > kHidden || skip < 0 || batch.offsets[0] != 0) return false;
  for (std::size_t t = 0; t + 1 < batch.offsets.size(); ++t) {
    if (batch.offsets[t] < 0 || batch.offsets[t + 1] <= batch.offsets[t]) return false;
    if (batch.offsets[t + 1] - batch.offsets[t] > kPositions) return false;
  }
  for (const std::int32_t id : batch.ids) {
    if (id < 0 || id >= kVocab) return false;
  }
  return true;
}

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Engines engines;
  Input input(data, size);
  const std::uint8_t choice = input.take<std::uint8_t>();
  const std::uint8_t form = input.take<std::uint8_t>();
  bge::Request request;
  request.output.dimensions = form & 0x80 ? input.take<std::int32_t>() : 1 + form % kHidden;
  request.output.normalize = choice & 1;
  request.normalize_whole = choice & 2;
  request.output.precision = static_cast<bge::Precision>(choice / 4 % 5);
  request.pooling = static_cast<bge::Pooling>(choice / 20 % 4);
  request.threads = 1 + choice % 3;
  request.skip = form & 0x40 ? input.take<std::int8_t>() : 0;
  const bool int8 = input.take<std::uint8_t>() % 4 != 0;
  const Batch batch = make_batch(input);
  const std::size_t texts = batch.offsets.size() - 1;
  const int dimensions = request.output.dimensions;

  // Rows as the bindings allocate them, exactly: a byte too many is an error.
  request.row_bytes = dimensions < 1 || dimensions > kHidden ? 0
                      : request.output.precision == bge::Precision::kFloat32
                          ? static_cast<std::size_t>(dimensions) * sizeof(float)
                      : request.output.precision == bge::Precision::kInt8 ||
                              request.output.precision == bge::Precision::kUint8
                          ? static_cast<std::size_t>(dimensions)
                          : static_cast<std::size_t>(dimensions + 7) / 8;
  std::vector<unsigned char> vectors(texts * request.row_bytes, 0xa5);
  std::vector<float> tokens(batch.ids.size() * kHidden);
  request.batch = {batch.ids.data(), batch.offsets.data(), static_cast<std::int64_t>(texts)};
  request.vectors = vectors.data();
  request.token_embeddings = tokens.data();
  const auto go_on = [] { return false; };
  try {
    (int8 ? engines.int8 : engines.float32).encode(request, go_on);
  } catch (const std::invalid_argument&) {
    require(!sound(batch, dimensions, request.skip), "refused a sound batch");
    return 0;
  }
  require(sound(batch, dimensions, request.skip), "took an unsound batch");

  // One text of them, alone, in plain C++.
  if (texts == 0) return 0;
  const std::size_t row = choice % texts;
  const std::int64_t begin = batch.offsets[row];
  const std::int64_t length = batch.offsets[row + 1] - begin;
  const std::int64_t alone[] = {0, length};
  std::vector<unsigned char> vector(request.row_bytes, 0x5a);
  std::vector<float> own(static_cast<std::size_t>(length) * kHidden);
  request.batch = {batch.ids.data() + begin, alone, 1};
  request.vectors = vector.data();
  request.token_embeddings = own.data();
  request.threads = 1;
  (int8 ? engines.scalar_int8 : engines.scalar_float32).encode(request, go_on);
  require(
      std::memcmp(vector.data(), vectors.data() + row * request.row_bytes, request.row_bytes) == 0,
      "another vector alone than in the batch");
  require(std::memcmp(own.data(), tokens.data() + static_cast<std::size_t>(begin) * kHidden,
                      own.size() * sizeof(float)) == 0,
          "other token embeddings alone than in the batch");
  return 0;
}
