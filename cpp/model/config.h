// The shape of a BERT encoder, as its config.json gives it.
#pragma once

namespace bge {

struct Config {
  int layers = 0;
  int hidden = 0;        // a multiple of 64
  int heads = 0;         // hidden / heads is a multiple of 16
  int intermediate = 0;  // a multiple of 64
  int vocabulary = 0;
  int positions = 0;
  int token_types = 0;
  float norm_epsilon = 0.0f;

  int head_size() const { return hidden / heads; }
};

// Throws std::invalid_argument naming the field.
void check_config(const Config& config);

}  // namespace bge
