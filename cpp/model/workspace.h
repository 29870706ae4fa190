// Scratch memory of one worker: activations of a block, and buffers for one chunk of its rows.
#pragma once

#include <algorithm>
#include <atomic>

#include "kernels/table.h"
#include "memory/aligned.h"
#include "model/config.h"

namespace bge {

// Rows that go through a layer's linears together. A chunk's widest activations (the FFN's, 1536
// floats a row, and their codes) take about 9 KB a row on the widest ISA: 48 rows are 430 KB and
// stay in an L2 of 512 KB. 48 is a multiple of the rows of every ISA's tile (8, 6, 4, 2 or 1).
inline constexpr int kChunkRows = 48;

class Workspace {
 public:
  // `held` counts the bytes of all workspaces.
  explicit Workspace(std::atomic<std::size_t>& held) : held_(held) {}
  ~Workspace() { held_ -= counted_; }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // Grows to what a block of `rows` tokens, a text of `longest` tokens and vectors of
  // `widest_vector` floats need. After std::bad_alloc it can still be used. Tasks allocate nothing
  // else, so they never throw.
  void reserve(const Config& config, const ComputeKernels& compute, std::size_t rows,
               std::size_t longest, std::size_t widest_vector) {
    const Recount recount{*this};
    const std::size_t hidden = static_cast<std::size_t>(config.row());
    const std::size_t heads = static_cast<std::size_t>(config.heads_row());
    const std::size_t intermediate = static_cast<std::size_t>(config.intermediate_row());
    const std::size_t widest = std::max({hidden, heads, intermediate});
    hidden_states_.reserve(rows * hidden * sizeof(float));
    positions_.reserve(rows * sizeof(std::int32_t));
    query_key_value_.reserve(rows * 3 * heads * sizeof(float));
    context_.reserve(rows * heads * sizeof(float));
    output_.reserve(kChunkRows * hidden * sizeof(float));
    intermediate_.reserve(kChunkRows * intermediate * sizeof(float));
    codes_.reserve(kChunkRows * widest * compute.code_bytes);
    row_facts_.reserve(2 * kFactBytes);
    vector_.reserve(widest_vector * sizeof(float));
    next_vector_.reserve(widest_vector * sizeof(float));
    attention_.reserve(compute.attention_scratch(static_cast<int>(longest), config.padded_head()));
  }

  float* hidden_states() const { return hidden_states_.as<float>(); }        // [rows][row]
  std::int32_t* positions() const { return positions_.as<std::int32_t>(); }  // [rows]
  float* query_key_value() const { return query_key_value_.as<float>(); }  // [rows][3 * heads row]
  float* context() const { return context_.as<float>(); }                  // [rows][row]
  float* output() const { return output_.as<float>(); }                    // [kChunkRows][row]
  float* intermediate() const {
    return intermediate_.as<float>();
  }  // [kChunkRows][intermediate row]
  float* vector() const { return vector_.as<float>(); }            // [widest vector]
  float* next_vector() const { return next_vector_.as<float>(); }  // [widest vector]
  void* attention() const { return attention_.as<void>(); }

  OperandBuffers operand() const {  // [kChunkRows][widest]
    unsigned char* facts = row_facts_.as<unsigned char>();
    return {codes_.as<void>(), reinterpret_cast<float*>(facts),
            reinterpret_cast<std::int32_t*>(facts + kFactBytes)};
  }

  std::size_t bytes() const {
    return hidden_states_.bytes() + positions_.bytes() + query_key_value_.bytes() +
           context_.bytes() + output_.bytes() + intermediate_.bytes() + codes_.bytes() +
           row_facts_.bytes() + vector_.bytes() + next_vector_.bytes() + attention_.bytes();
  }

 private:
  static constexpr std::size_t kFactBytes = kChunkRows * sizeof(std::int32_t);

  // Updates the count, also when one of the allocations fails.
  struct Recount {
    explicit Recount(Workspace& of) : workspace(of) {}
    Recount(const Recount&) = delete;
    Recount& operator=(const Recount&) = delete;
    ~Recount() {
      const std::size_t now = workspace.bytes();
      workspace.held_ += now - workspace.counted_;  // unsigned: correct also if it has shrunk
      workspace.counted_ = now;
    }
    Workspace& workspace;
  };

  std::atomic<std::size_t>& held_;
  std::size_t counted_ = 0;
  AlignedBuffer hidden_states_, positions_, query_key_value_, context_;
  AlignedBuffer output_, intermediate_, codes_, row_facts_, vector_, next_vector_, attention_;
};

}  // namespace bge
