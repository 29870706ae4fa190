// Products of codes and packed weights by a tile unit, as AMX is one: eight registers of up to 16
// rows x 64 bytes, and an instruction that adds a whole product of two of them to a third.
//
// The packed form is a tile as it is in memory: 16 steps of a panel are a tile of weights, 16 rows
// of 64 bytes, of which each has four values of k for 16 columns. A tile of codes is 64 codes of
// 16 rows; their distance in memory is the stride of the load. A tile of sums is 16 rows x 16
// columns of int32.
//
// A block is what the registers hold at once: 2 tiles of rows x 2 panels (four loads for four
// products), and for a last tile of rows by itself 1 x 4 (five loads). Four sums, because a product
// starts every 16 cycles and takes 52: fewer chains would wait for themselves. Loads take 8 cycles
// each beside the products.
//
// Tails. Rows: the last tile of codes ends at the last row; rows that it shares with the tile
// before are computed twice, with the same result. Fewer than 16 rows are tiles of that many. k:
// fewer than 64 codes are tiles of that depth. Otherwise the last 64 codes of a row are copied,
// with zeros in place of those that are already in the sums.
//
// A TileUnit is made from a TileConfig, once a call of a kernel:
//
//   zero<T>()                              register T
//   load<T>(const void*, size_t stride)    stride: bytes from one row to the next
//   store<T>(void*, size_t stride)
//   dot_unsigned_signed<Sums, Codes, Weights>(), dot_signed_unsigned<Sums, Codes, Weights>()
//   release()                              at the end; registers in use would make every switch to
//                                          another process save 8 KB
//
// A Dot of kernels/lanes.h that has one names it TileUnit, and has tile_dot<Sums, Codes, Weights>(
// TileUnit&) for the product that fits its codes and weights. Its other members are for products
// that are too small for tiles.
#pragma once

#include "kernels/lanes.h"

namespace bge {
namespace {

inline constexpr int kTileRows = 16;
inline constexpr int kTileBytes = 64;  // of a row
inline constexpr int kTileSteps = kTileBytes / kStepDepth;
inline constexpr int kTileRegisters = 8;
// Registers 0 to 3 are sums, then two of codes and two of weights.
inline constexpr int kCodesRegister = 4;
inline constexpr int kWeightsRegister = 6;

template <class Dot>
concept HasTileUnit = requires { typename Dot::TileUnit; };

// The operand of LDTILECFG: the size of each register.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  TileConfig() = default;
  // Tiles of `row_count` rows of `depth` codes, at most 16 and 64.
  TileConfig(int row_count, int depth) {
    for (int i = 0; i < kTileRegisters; ++i) {
      const bool codes = i >= kCodesRegister && i < kWeightsRegister;
      const bool weights = i >= kWeightsRegister;
      rows[i] = static_cast<std::uint8_t>(weights ? depth / kStepDepth : row_count);
      row_bytes[i] = static_cast<std::uint16_t>(codes ? depth : kTileBytes);
    }
  }
};
static_assert(sizeof(TileConfig) == 64);

// Whether tiles are faster than instructions that multiply one row's codes by one step, by a model
// of Sapphire Rapids, in cycles. There, two VPDPBUSD start every cycle, a TDPBUSD or TILESTORED
// every 16; setting up and releasing the registers and filling the pipeline takes about 300. Both
// ways read the weights from L2, at 32 bytes a cycle. So a linear of 384 x 384 features has tiles
// for 5 rows or more; with fewer both wait for the weights. Keys of 32 features have them for 160
// tokens or more, values for 100.
constexpr bool tiles_pay(int rows, int panels, int steps) {
  constexpr std::int64_t kStart = 300;
  const auto up = [](int n, int unit) { return std::int64_t{(n + unit - 1) / unit}; };
  const auto larger = [](std::int64_t a, std::int64_t b) { return a > b ? a : b; };
  const std::int64_t reading = std::int64_t{2} * steps;
  const std::int64_t by_rows = larger(reading, std::int64_t{rows} * steps / 2);
  const std::int64_t by_tiles =
      larger(reading, up(rows, kTileRows) * 16 * (up(steps, kTileSteps) + 1));
  return kStart + panels * by_tiles < panels * by_rows;
}

// 64 zeros, then 64 times 0xff: those from byte n on are a mask of the last n of 64 bytes.
struct Keep {
  unsigned char bytes[2 * kTileBytes] = {};
  constexpr Keep() {
    for (int i = kTileBytes; i < 2 * kTileBytes; ++i) bytes[i] = 0xff;
  }
};
inline constexpr Keep kKeep;

// body(Constant<0>), ..., body(Constant<kCount - 1>): numbers of registers are constants.
template <int kValue>
struct Constant {
  static constexpr int value = kValue;
};
template <int kCount, int kFrom = 0, class Body>
BGE_INLINE void for_constants(const Body& body) {
  if constexpr (kFrom < kCount) {
    body(Constant<kFrom>{});
    for_constants<kCount, kFrom + 1>(body);
  }
}

// The products of some rows of codes with some panels. Output says where sums are stored, and what
// is done with them:
//
//   kTiles x 16 rows x kPanels x 16 columns are one block
//   place<kPanels>(tile of the block, first row, panel)    where the tile's first sum is stored
//   stride<kPanels>()                                      from one row of sums to the next
//   finish<kPanels>(tile of the block, first row, rows, panel)
//       the block is stored; `rows` are those of the tile that no tile before it had
template <class Dot, class Output>
struct TileProducts {
  using Unit = typename Dot::TileUnit;

  Operand input;
  Range rows;
  PackedLinear weights;
  Range panels;
  Output& output;

  void run() const {
    const int most = weights.inner < kTileBytes ? weights.inner : kTileBytes;
    const int tiles = (rows.size() + kTileRows - 1) / kTileRows;
    const TileConfig config(rows.size() < kTileRows ? rows.size() : kTileRows, most);
    Unit unit(config);
    for (int panel = panels.begin; panel < panels.end; panel += 4) {
      const int count = panels.end - panel < 4 ? panels.end - panel : 4;
      for (int tile = 0; tile < tiles; tile += 2) {
        if (tile + 1 == tiles) {
          lone_tile<4>(unit, tile, panel, count);
        } else {
          for (int p = 0; p + 2 <= count; p += 2) block<2, 2>(unit, tile, panel + p);
          if (count % 2 != 0) block<2, 1>(unit, tile, panel + count - 1);
        }
      }
    }
    unit.release();  // kernels never throw: this is the only way out
  }

 private:
  template <int kPanels>
  BGE_INLINE void lone_tile(Unit& unit, int tile, int panel, int count) const {
    if constexpr (kPanels > 1) {
      if (count < kPanels) return lone_tile<kPanels - 1>(unit, tile, panel, count);
    }
    block<1, kPanels>(unit, tile, panel);
  }

  int first_row(int tile) const {
    const int row = rows.begin + tile * kTileRows;
    const int last = rows.end - kTileRows;
    return tile > 0 && row > last ? last : row;
  }

  const unsigned char* codes_of(int row) const {
    return static_cast<const unsigned char*>(input.values) +
           static_cast<std::size_t>(row) * input.stride;
  }

  template <int kTiles, int kPanels>
  BGE_INLINE void block(Unit& unit, int tile, int panel) const {
    const int row = first_row(tile);
    const int next_row = first_row(tile + kTiles - 1);
    const std::size_t panel_bytes =
        static_cast<std::size_t>(weights.inner / kStepDepth) * kStepBytes;
    const unsigned char* steps = weights.steps + static_cast<std::size_t>(panel) * panel_bytes;
    const auto add_products = [&](const unsigned char* codes, const unsigned char* next_codes,
                                  std::size_t stride, const unsigned char* from) {
      unit.template load<kCodesRegister>(codes, stride);
      if constexpr (kTiles == 2) unit.template load<kCodesRegister + 1>(next_codes, stride);
      for_constants<kPanels>([&](auto p) {
        constexpr int kPanel = decltype(p)::value;
        constexpr int kWeights = kWeightsRegister + kPanel % 2;
        unit.template load<kWeights>(from + kPanel * panel_bytes, kStepBytes);
        Dot::template tile_dot<kPanel, kCodesRegister, kWeights>(unit);
        if constexpr (kTiles == 2) {
          Dot::template tile_dot<kPanels + kPanel, kCodesRegister + 1, kWeights>(unit);
        }
      });
    };

    for_constants<kTiles * kPanels>([&](auto i) { unit.template zero<decltype(i)::value>(); });
    const unsigned char* codes = codes_of(row);
    const unsigned char* next_codes = codes_of(next_row);
    const unsigned char* at = steps;
    const int whole = weights.inner < kTileBytes ? 1 : weights.inner / kTileBytes;
    for (int i = 0; i < whole; ++i) {
      add_products(codes, next_codes, input.stride, at);
      codes += kTileBytes;
      next_codes += kTileBytes;
      at += kTileSteps * kStepBytes;
    }
    const int rest = weights.inner - whole * kTileBytes;
    if (rest > 0) {
      alignas(64) unsigned char last[kTiles * kTileRows * kTileBytes];
      const int count = rows.size() < kTileRows ? rows.size() : kTileRows;
      copy_last(row, count, rest, last);
      if constexpr (kTiles == 2) copy_last(next_row, count, rest, last + kTileRows * kTileBytes);
      add_products(last, last + (kTiles - 1) * kTileRows * kTileBytes, kTileBytes,
                   steps + panel_bytes - kTileSteps * kStepBytes);
    }

    for_constants<kTiles * kPanels>([&](auto i) {
      constexpr int kRegister = decltype(i)::value;
      constexpr int kTile = kRegister / kPanels;
      std::int32_t* to = output.template place<kPanels>(kTile, kTile ? next_row : row, panel);
      unit.template store<kRegister>(to + kRegister % kPanels * kLanes,
                                     output.template stride<kPanels>() * sizeof *to);
    });
    for (int t = 0; t < kTiles; ++t) {
      const int begin = rows.begin + (tile + t) * kTileRows;
      const int end = begin + kTileRows < rows.end ? begin + kTileRows : rows.end;
      output.template finish<kPanels>(t, t ? next_row : row, Range{begin, end}, panel);
    }
  }

  // The last 64 codes of `count` rows, of which only the last `rest` are not yet in the sums.
  void copy_last(int row, int count, int rest, unsigned char* to) const {
    const unsigned char* keep = kKeep.bytes + rest;
    for (int r = 0; r < count; ++r, to += kTileBytes) {
      const unsigned char* from = codes_of(row + r) + weights.inner - kTileBytes;
      for (int i = 0; i < kTileBytes; ++i) to[i] = from[i] & keep[i];
    }
  }
};

// Output of TileProducts: sums where the caller wants them.
struct SumsInPlace {
  std::int32_t* sums;  // [rows][row_stride], from row and panel 0 on
  std::size_t row_stride;

  template <int kPanels>
  BGE_INLINE std::int32_t* place(int, int row, int panel) const {
    return sums + static_cast<std::size_t>(row) * row_stride + panel * kLanes;
  }
  template <int kPanels>
  BGE_INLINE std::size_t stride() const {
    return row_stride;
  }
  template <int kPanels>
  BGE_INLINE void finish(int, int, Range, int) const {}
};

// Output of TileProducts: the sums of a block, from which a linear's tile makes outputs.
template <class LinearTile>
struct SumsToFinish {
  explicit SumsToFinish(const LinearTile& linear_tile) : linear(linear_tile) {}

  const LinearTile& linear;
  alignas(64) std::int32_t sums[4 * kTileRows * kLanes];

  template <int kPanels>
  BGE_INLINE std::int32_t* place(int tile, int, int) {
    return sums + tile * kTileRows * kPanels * kLanes;
  }
  template <int kPanels>
  BGE_INLINE std::size_t stride() const {
    return kPanels * kLanes;
  }
  template <int kPanels>
  BGE_INLINE void finish(int tile, int row, Range rows, int panel) const {
    const int from = (tile * kTileRows + rows.begin - row) * kPanels * kLanes;
    for (int p = 0; p < kPanels; ++p) {
      linear.finish(sums + from + p * kLanes, kPanels * kLanes, rows, (panel + p) * kLanes);
    }
  }
};

}  // namespace
}  // namespace bge
