// A plain C++ model of AMX's tile unit and of VPDPBUSD. It runs the source of amx_int8 on CPUs that
// have neither; instead of the CPU's exception for a wrong use it traps.
#pragma once

#include "isa/dots_vnni.h"
#include "kernels/tile_unit.h"

namespace bge {
namespace {

class AmxModel {
 public:
  explicit AmxModel(const TileConfig& config) : config_(config) {
    require(config.palette == 1 && config.start_row == 0);
    for (const std::uint8_t byte : config.reserved) require(byte == 0);
    for (int t = 0; t < 16; ++t) {
      const int rows = config.rows[t];
      const int bytes = config.row_bytes[t];
      require(t < kTileRegisters ? rows > 0 && bytes > 0 : rows == 0 && bytes == 0);
      require(rows <= kTileRows && bytes <= kTileBytes);
    }
    for (int t = 0; t < kTileRegisters; ++t) clear(t);
  }
  void release() { config_ = {}; }

  template <int kTile>
  void zero() {
    clear(kTile);
  }
  template <int kTile>
  void load(const void* rows, std::size_t stride) {
    read(kTile, static_cast<const unsigned char*>(rows), stride);
  }
  template <int kTile>
  void store(void* rows, std::size_t stride) const {
    write(kTile, static_cast<unsigned char*>(rows), stride);
  }
  template <int kSums, int kCodes, int kWeights>
  void dot_unsigned_signed() {
    dot<std::uint8_t, std::int8_t>(kSums, kCodes, kWeights);
  }
  template <int kSums, int kCodes, int kWeights>
  void dot_signed_unsigned() {
    dot<std::int8_t, std::uint8_t>(kSums, kCodes, kWeights);
  }

 private:
  using Tile = unsigned char[kTileRows][kTileBytes];

  static void require(bool condition) {
    if (!condition) __builtin_trap();
  }

  void clear(int tile) { __builtin_memset(tiles_[tile], 0, sizeof tiles_[tile]); }

  BGE_NOINLINE void read(int tile, const unsigned char* from, std::size_t stride) {
    require(config_.rows[tile] > 0);
    clear(tile);
    for (int r = 0; r < config_.rows[tile]; ++r, from += stride) {
      __builtin_memcpy(tiles_[tile][r], from, config_.row_bytes[tile]);
    }
  }

  BGE_NOINLINE void write(int tile, unsigned char* to, std::size_t stride) const {
    require(config_.rows[tile] > 0);
    for (int r = 0; r < config_.rows[tile]; ++r, to += stride) {
      __builtin_memcpy(to, tiles_[tile][r], config_.row_bytes[tile]);
    }
  }

  // sums[r][c] += codes[r][4 k + i] * weights[k][4 c + i], over k and i.
  template <class Code, class Weight>
  BGE_NOINLINE void dot(int sums, int codes, int weights) {
    const TileConfig& c = config_;
    require(c.rows[sums] > 0);
    require(c.rows[sums] == c.rows[codes] && c.row_bytes[sums] == c.row_bytes[weights]);
    require(c.row_bytes[codes] == kStepDepth * c.rows[weights]);
    require(sums != codes && sums != weights && codes != weights);
    for (int r = 0; r < c.rows[sums]; ++r) {
      std::int32_t row[kLanes];
      __builtin_memcpy(row, tiles_[sums][r], sizeof row);
      for (int k = 0; k < c.rows[weights]; ++k) {
        const unsigned char* step = tiles_[weights][k];
        for (int lane = 0; lane < c.row_bytes[weights] / kStepDepth; ++lane) {
          for (int i = 0; i < kStepDepth; ++i) {
            row[lane] += static_cast<Code>(tiles_[codes][r][kStepDepth * k + i]) *
                         static_cast<Weight>(step[kStepDepth * lane + i]);
          }
        }
      }
      __builtin_memcpy(tiles_[sums][r], row, sizeof row);
    }
  }

  TileConfig config_;  // no rows after release()
  Tile tiles_[kTileRegisters];
};

// VPDPBUSD, as VnniDots needs it: one row x 16 columns.
template <class Isa>
struct VnniModel {
  struct Tile {
    static constexpr ByteForm kByteForm = ByteForm::kSigned;
    static constexpr int kColumns = kLanes;
    static constexpr int kPanels = 1;
    static constexpr int kRows = 1;
    using I = typename Isa::I;
    struct Weights {
      const unsigned char* step;
    };
    struct Quad {
      unsigned char codes[kStepDepth];
    };
    struct Acc {
      std::int32_t lane[kLanes];
    };

    static BGE_INLINE Weights load_weights(const unsigned char* step) { return {step}; }
    static BGE_INLINE Quad load_codes4(const void* codes) {
      Quad quad;
      __builtin_memcpy(quad.codes, codes, sizeof quad.codes);
      return quad;
    }
    static BGE_INLINE Acc zero_acc() { return {}; }
    static BGE_INLINE Acc dpbusd(Acc acc, Quad u, Weights s) {
      return dot<std::uint8_t, std::int8_t>(acc, u, s);
    }
    static BGE_INLINE Acc dpbusd(Acc acc, Weights u, Quad s) {
      return dot<std::int8_t, std::uint8_t>(acc, s, u);
    }
    static BGE_INLINE void store_acc(std::int32_t* columns, const Acc& acc) {
      __builtin_memcpy(columns, acc.lane, sizeof acc.lane);
    }

   private:
    template <class Code, class Weight>
    static BGE_INLINE Acc dot(Acc acc, Quad quad, Weights weights) {
      for (int lane = 0; lane < kLanes; ++lane) {
        for (int i = 0; i < kStepDepth; ++i) {
          acc.lane[lane] += static_cast<Code>(quad.codes[i]) *
                            static_cast<Weight>(weights.step[kStepDepth * lane + i]);
        }
      }
      return acc;
    }
  };
  using LinearDot = typename VnniDots<Isa, Tile>::LinearDot;
  using KeyDot = typename VnniDots<Isa, Tile>::KeyDot;
  using ValueDot = typename VnniDots<Isa, Tile>::ValueDot;
};

}  // namespace
}  // namespace bge
