// The sizes of a BERT encoder, under the names of bge_micro.checkpoint.config.EncoderConfig.
#pragma once

namespace bge {

struct Config {
  int layers = 0;
  int hidden = 0;        // features of a token; a multiple of 64
  int heads = 0;         // hidden / heads is a multiple of 16
  int intermediate = 0;  // a multiple of 64
  int vocab = 0;         // rows of the word embeddings
  int positions = 0;     // rows of the position embeddings
  int token_types = 0;   // rows of the token type embeddings
  float layer_norm_eps = 0.0f;
  int padding_id = -1;  // of RoBERTa, which counts positions from behind it: see positions.h

  int head_size() const { return hidden / heads; }
  int max_tokens() const { return positions - padding_id - 1; }  // of the longest text
};

// Throws std::invalid_argument naming the field.
void check_config(const Config& config);

}  // namespace bge
