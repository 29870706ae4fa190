#include "model/config.h"

#include <stdexcept>
#include <string>

#include "kernels/packed.h"
#include "model/distance_bias.h"

namespace bge {
namespace {

void require(bool good, const std::string& field, int found, const std::string& expected) {
  if (good) return;
  throw std::invalid_argument("config: " + field + " is " + std::to_string(found) + ", expected " +
                              expected);
}

}  // namespace

void check_config(const Config& c) {
  const std::string width = "1 to " + std::to_string(kMaxInner);
  const auto good_width = [](int n) { return n > 0 && n <= kMaxInner; };
  require(c.layers > 0, "layers", c.layers, "a positive number");
  require(good_width(c.hidden), "hidden", c.hidden, width);
  require(good_width(c.intermediate), "intermediate", c.intermediate, width);
  require(c.heads > 0 && c.hidden % c.heads == 0, "heads", c.heads,
          "a divisor of hidden, " + std::to_string(c.hidden));
  require(c.heads <= kMaxInner / c.padded_head(), "heads", c.heads,
          "at most " + std::to_string(kMaxInner / c.padded_head()) + ", each padded to " +
              std::to_string(c.padded_head()) + " features");
  require(c.vocab > 0, "vocab", c.vocab, "a positive number");
  // Tokens are the inner dimension of the product of probabilities and values.
  require(c.positions > 0 && c.positions <= kMaxInner, "positions", c.positions,
          "1 to " + std::to_string(kMaxInner));
  require(c.padding_id >= -1 && c.padding_id < c.positions - 1, "padding_id", c.padding_id,
          "-1 to " + std::to_string(c.positions - 2) + ", positions less 2");
  require(c.distance_buckets == 0 || c.distance_buckets == kDistanceBuckets, "distance_buckets",
          c.distance_buckets, "0 or " + std::to_string(kDistanceBuckets));
  require(c.token_types > 0, "token_types", c.token_types, "a positive number");
}

}  // namespace bge
