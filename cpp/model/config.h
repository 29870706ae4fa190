// The sizes of a BERT encoder, under the names of bge_micro.checkpoint.EncoderConfig, and those
// that rows have in memory: padded with zeros to whole vectors, so that kernels need no tails.
#pragma once

#include "kernels/packed.h"

namespace bge {

struct Config {
  int layers = 0;
  int hidden = 0;  // features of a token
  int heads = 0;   // a divisor of hidden
  int intermediate = 0;
  int vocab = 0;        // rows of the word embeddings
  int positions = 0;    // rows of the position embeddings
  int token_types = 0;  // rows of the token type embeddings
  float layer_norm_eps = 0.0f;
  int padding_id = -1;       // of RoBERTa, which counts positions from behind it: see positions.h
  int distance_buckets = 0;  // of MPNet, rows of attention biases: see distance_bias.h

  int head_size() const { return hidden / heads; }
  int max_tokens() const { return positions - padding_id - 1; }  // of the longest text

  int row() const { return whole_vectors(hidden); }
  int intermediate_row() const { return whole_vectors(intermediate); }
  int padded_head() const { return whole_vectors(head_size()); }
  int heads_row() const { return heads * padded_head(); }
};

// Throws std::invalid_argument naming the field.
void check_config(const Config& config);

}  // namespace bge
