// Linear layers over packed panels (kernels/packed.h): most of the time is spent here.
//
// Order of loops: panels outermost, then rows, the inner dimension innermost. A panel (or a pair)
// stays in L1 or L2 while it is multiplied with every row of the block, so the weights are read
// from memory once a block. A tile is rows x columns of accumulators, which stay in registers for
// the whole inner dimension: each output is one chain of additions, never split, whatever the
// tile's shape. Rejected: to prefetch the next panel tile by tile. The hardware does that (Zen 4:
// no gain over 384 features, 3 % slower over 1536).
#pragma once

#include "kernels/gelu.h"
#include "kernels/lanes.h"
#include "kernels/tile_unit.h"

namespace bge {
namespace {

// Calls tile.run<kPanels, rows>() with the row count as a constant.
template <int kPanels, int kRows, class Tile>
BGE_INLINE void run_tile(const Tile& tile, int rows, int row, int panel) {
  if constexpr (kRows == 1) {
    tile.template run<kPanels, 1>(row, panel);
  } else if (rows == kRows) {
    tile.template run<kPanels, kRows>(row, panel);
  } else {
    run_tile<kPanels, kRows - 1>(tile, rows, row, panel);
  }
}

// Divides the rows into tiles of nearly equal size: 15 rows, with at most 12 a tile, run as 8 and 7
// instead of 12 and 3, because a tile of few rows waits for its weights.
template <int kPanels, int kMostRows, class Tile>
BGE_INLINE void run_strip(const Tile& tile, Range rows, int panel) {
  int tiles = (rows.size() + kMostRows - 1) / kMostRows;
  for (int row = rows.begin; row < rows.end; --tiles) {
    const int count = (rows.end - row + tiles - 1) / tiles;
    run_tile<kPanels, kMostRows>(tile, count, row, panel);
    row += count;
  }
}

template <int kPanels, int kMostRows, class Tile>
BGE_INLINE void run_tiles(const Tile& tile, Range rows, Range panels) {
  int panel = panels.begin;
  for (; panel + kPanels <= panels.end; panel += kPanels) {
    run_strip<kPanels, kMostRows>(tile, rows, panel);
  }
  if constexpr (kPanels > 1) {
    for (; panel < panels.end; ++panel) run_strip<1, kMostRows>(tile, rows, panel);
  }
}

// sums[r][a * kColumns + c] = the dot product of row r and column c of the a-th accumulator.
//   codes [kRows][stride]; steps: `count` steps of 64 bytes, the next panel begins `panel_bytes`
//   later; sums [kRows][sum_stride]
template <class Dot, int kAcross, int kRows>
BGE_INLINE void dot_tile(const typename Dot::Code* codes, std::size_t stride,
                         const unsigned char* steps, std::size_t panel_bytes, int count,
                         std::int32_t* sums, std::size_t sum_stride) {
  typename Dot::Acc acc[kRows][kAcross];
  BGE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    BGE_UNROLL
    for (int a = 0; a < kAcross; ++a) acc[r][a] = Dot::zero_acc();
  }
  for (int step = 0; step < count; ++step) {
    typename Dot::Weights weights[kAcross];
    BGE_UNROLL
    for (int a = 0; a < kAcross; ++a) {
      weights[a] = Dot::load_weights(steps + static_cast<std::size_t>(a) * panel_bytes);
    }
    BGE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const auto quad = Dot::load_codes4(codes + static_cast<std::size_t>(r) * stride);
      BGE_UNROLL
      for (int a = 0; a < kAcross; ++a) acc[r][a] = Dot::dot(acc[r][a], weights[a], quad);
    }
    steps += kStepBytes;
    codes += kStepDepth;
  }
  BGE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    BGE_UNROLL
    for (int a = 0; a < kAcross; ++a) {
      Dot::store_acc(sums + static_cast<std::size_t>(r) * sum_stride + a * Dot::kColumns,
                     acc[r][a]);
    }
  }
}

// The same for ByteForm::kPaired and one half panel: two steps at a time, then the extra steps.
template <class Dot, int kRows>
BGE_INLINE void paired_tile(const typename Dot::Code* codes, std::size_t stride,
                            const unsigned char* steps, int count, const PairedSteps& paired,
                            int half_panel, std::int32_t* sums, std::size_t sum_stride) {
  typename Dot::Acc acc[kRows];
  BGE_UNROLL
  for (int r = 0; r < kRows; ++r) acc[r] = Dot::zero_acc();
  const std::uint16_t* k =
      paired.k + static_cast<std::size_t>(half_panel) * static_cast<std::size_t>(count);
  for (const std::uint16_t* end = k + count; k != end; k += 2) {
    const auto first = Dot::load_weights(steps);
    const auto second = Dot::load_weights(steps + kStepBytes);
    const typename Dot::Code* first_codes = codes + std::size_t{k[0]};
    const typename Dot::Code* second_codes = codes + std::size_t{k[1]};
    BGE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const std::size_t row = static_cast<std::size_t>(r) * stride;
      acc[r] = Dot::dot(acc[r], first, Dot::load_codes4(first_codes + row), second,
                        Dot::load_codes4(second_codes + row));
    }
    steps += 2 * kStepBytes;
  }
  constexpr std::size_t kHalfStep = kStepBytes / 2;
  const std::int32_t* ends = paired.extra_ends;
  for (int e = half_panel ? ends[half_panel - 1] : 0; e < ends[half_panel]; ++e) {
    const auto weights =
        Dot::load_weights(paired.extra_weights + static_cast<std::size_t>(e) * kHalfStep);
    const typename Dot::Code* at = codes + std::size_t{paired.extra_k[e]};
    BGE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const auto quad = Dot::load_codes4(at + static_cast<std::size_t>(r) * stride);
      acc[r] = Dot::dot(acc[r], weights, quad);
    }
  }
  BGE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    Dot::store_acc(sums + static_cast<std::size_t>(r) * sum_stride, acc[r]);
  }
}

// Tiles hold their inputs by value. Through references, a compiler would read them again after each
// store of sums, which might change them (GCC: the products with keys take a fifth longer).

// Integer sums of codes times weights, without zero points, scales and bias.
template <class Dot>
struct ProductTile {
  Operand input;
  PackedLinear weights;
  std::int32_t* sums;  // [rows][stride], from first_row and first_panel on
  std::size_t stride;
  int first_row = 0;
  int first_panel = 0;

  template <int kPanels, int kRows>
  BGE_INLINE void run(int row, int panel) const {
    using Code = typename Dot::Code;
    constexpr int kTileColumns = kPanels * kLanes;
    constexpr int kAcross = Dot::kColumns == kLanes ? kPanels : 1;
    const int count = weights.inner / kStepDepth;
    const std::size_t panel_bytes = static_cast<std::size_t>(count) * kStepBytes;
    const Code* codes =
        static_cast<const Code*>(input.values) + static_cast<std::size_t>(row) * input.stride;
    const unsigned char* steps = weights.steps + static_cast<std::size_t>(panel) * panel_bytes;
    std::int32_t* out =
        sums + static_cast<std::size_t>(row - first_row) * stride + (panel - first_panel) * kLanes;
    for (int column = 0; column < kTileColumns; column += kAcross * Dot::kColumns) {
      const unsigned char* first = steps + column * kStepDepth;
      if constexpr (Dot::kByteForm == ByteForm::kPaired) {
        paired_tile<Dot, kRows>(codes, input.stride, first, count, weights.paired,
                                2 * panel + column / Dot::kColumns, out + column, stride);
      } else if constexpr (requires { Dot::kOwnTile; }) {
        Dot::template tile<kRows>(codes, input.stride, first, count, out + column, stride);
      } else {
        dot_tile<Dot, kAcross, kRows>(codes, input.stride, first, panel_bytes, count, out + column,
                                      stride);
      }
    }
  }
};

template <class Isa, class Dot>
struct Int8Tile {
  Operand input;
  PackedLinear weights;
  Epilogue epilogue;
  float* out;  // [rows][stride]
  std::size_t stride;

  template <int kPanels, int kRows>
  BGE_INLINE void run(int row, int panel) const {
    constexpr int kTileColumns = kPanels * kLanes;
    alignas(64) std::int32_t sums[kRows * kTileColumns];
    ProductTile<Dot>{input, weights, sums, kTileColumns, row, panel}.template run<kPanels, kRows>(
        row, panel);
    for (int p = 0; p < kPanels; ++p) {
      finish(sums + p * kLanes, kTileColumns, {row, row + kRows}, (panel + p) * kLanes);
    }
  }

  // int32 dot products of some rows and 16 columns -> outputs. With code q, zero point z, weight w:
  //   sum (q - z) w = sum q w - z * sum w.
  // It is inlined into every tile shape. That costs 24 KB of code for each ISA and makes a linear
  // over 384 features 3 % faster, because its loads and stores overlap with the next tile's
  // products. Rejected: to finish the sums in the registers that hold them; 4 % slower, because the
  // next tile waits for these registers.
  BGE_INLINE void finish(const std::int32_t* sums, int sum_stride, Range rows, int column) const {
    using F = typename Isa::F;
    using I = typename Isa::I;
    const I column_sums = Isa::iload(weights.column_sums + column);
    const F scales = Isa::load(weights.scales + column);
    const F bias = Isa::load(weights.bias + column);
    float* to = out + static_cast<std::size_t>(rows.begin) * stride + column;
    for (int row = rows.begin; row < rows.end; ++row, sums += sum_stride, to += stride) {
      const I correction = Isa::imul(Isa::isplat(input.zero_point[row]), column_sums);
      const F scale = Isa::mul(Isa::splat(input.scale[row]), scales);
      F y = Isa::fma(Isa::to_float(Isa::isub(Isa::iload(sums), correction)), scale, bias);
      if (epilogue == Epilogue::kBiasGelu) y = gelu_for_codes<Isa>(y);
      Isa::store(to, y);
    }
  }
};

template <class Isa>
struct FloatTile {
  Operand input;
  PackedLinear weights;
  Epilogue epilogue;
  float* out;  // [rows][stride]
  std::size_t stride;

  template <int kPanels, int kRows>
  BGE_INLINE void run(int row, int panel) const {
    using F = typename Isa::F;
    const std::size_t panel_bytes = static_cast<std::size_t>(weights.inner) * kStepBytes;
    const float* x =
        static_cast<const float*>(input.values) + static_cast<std::size_t>(row) * input.stride;
    const unsigned char* steps = weights.steps + static_cast<std::size_t>(panel) * panel_bytes;

    F acc[kRows][kPanels];
    BGE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      BGE_UNROLL
      for (int p = 0; p < kPanels; ++p) {
        acc[r][p] = Isa::load(weights.bias + (panel + p) * kLanes);
      }
    }
    for (int k = 0; k < weights.inner; ++k) {
      F column[kPanels];
      BGE_UNROLL
      for (int p = 0; p < kPanels; ++p) {
        column[p] = Isa::load(
            reinterpret_cast<const float*>(steps + static_cast<std::size_t>(p) * panel_bytes));
      }
      BGE_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const F value = Isa::splat(x[static_cast<std::size_t>(r) * input.stride]);
        BGE_UNROLL
        for (int p = 0; p < kPanels; ++p) acc[r][p] = Isa::fma(value, column[p], acc[r][p]);
      }
      steps += kStepBytes;
      ++x;
    }
    BGE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      float* row_out = out + static_cast<std::size_t>(row + r) * stride + panel * kLanes;
      BGE_UNROLL
      for (int p = 0; p < kPanels; ++p) {
        const F y = epilogue == Epilogue::kBiasGelu ? gelu<Isa>(acc[r][p]) : acc[r][p];
        Isa::store(row_out + p * kLanes, y);
      }
    }
  }
};

template <class Isa, class Dot>
BGE_NOINLINE void linear_int8(const Operand& input, Range rows, const PackedLinear& weights,
                              Range panels, Epilogue epilogue, float* out, std::size_t stride) {
  const Int8Tile<Isa, Dot> tile{input, weights, epilogue, out, stride};
  if constexpr (HasTileUnit<Dot>) {
    if (tiles_pay(rows.size(), panels.size(), weights.inner / kStepDepth)) {
      SumsToFinish<Int8Tile<Isa, Dot>> sums(tile);
      TileProducts<Dot, decltype(sums)>{input, rows, weights, panels, sums}.run();
      return;
    }
  }
  run_tiles<Dot::kPanels, Dot::kRows>(tile, rows, panels);
}

// sums[r][j] = sum over k of code[r][k] * weight[k][j], for rows 0 .. rows - 1 and all columns.
template <class Dot>
BGE_NOINLINE void dot_products(const Operand& input, int rows, const PackedLinear& weights,
                               std::int32_t* sums, std::size_t stride) {
  if constexpr (HasTileUnit<Dot>) {
    if (tiles_pay(rows, weights.panels, weights.inner / kStepDepth)) {
      SumsInPlace out{sums, stride};
      TileProducts<Dot, SumsInPlace>{input, {0, rows}, weights, {0, weights.panels}, out}.run();
      return;
    }
  }
  const ProductTile<Dot> tile{input, weights, sums, stride};
  run_tiles<Dot::kPanels, Dot::kRows>(tile, {0, rows}, {0, weights.panels});
}

template <class Isa>
void linear_float32(const Operand& input, Range rows, const PackedLinear& weights, Range panels,
                    Epilogue epilogue, float* out, std::size_t stride) {
  const FloatTile<Isa> tile{input, weights, epilogue, out, stride};
  run_tiles<Isa::kFloatPanels, Isa::kFloatRows>(tile, rows, panels);
}

}  // namespace
}  // namespace bge
