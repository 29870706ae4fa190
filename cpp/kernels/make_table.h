// Makes an ISA's kernel table from the templates; the last include of every isa/*.cpp.
#pragma once

#include "kernels/activation.h"
#include "kernels/attention_float32.h"
#include "kernels/attention_int8.h"
#include "kernels/layernorm.h"
#include "kernels/linear.h"
#include "kernels/pool.h"
#include "kernels/quantize.h"
#include "kernels/search.h"

namespace bge {
namespace {

template <class Isa>
void prepare_int8(const float* x, int rows, int width, const float* factor,
                  const OperandBuffers& buffers) {
  quantize_rows<Isa, typename Isa::LinearDot>(x, static_cast<std::size_t>(width), rows, width,
                                              factor, buffers);
}

// Float weights are already multiplied by their input factors (model/pack.cpp): nothing is to do.
inline void prepare_float32(const float*, int, int, const float*, const OperandBuffers&) {}

template <class Isa>
constexpr KernelTable make_table() {
  using Dot = typename Isa::LinearDot;
  return {
      {Dot::kByteForm, sizeof(typename Dot::Code), Dot::kCodeOffset, prepare_int8<Isa>,
       linear_int8<Isa, Dot>, attention_scratch<Int8Attention<Isa>>, attention<Int8Attention<Isa>>},
      {ByteForm::kSigned, 0, 0, prepare_float32, linear_float32<Isa>,
       attention_scratch<FloatAttention<Isa>>, attention<FloatAttention<Isa>>},
      embed<Isa>,
      add_norm<Isa>,
      pool<Isa>,
      finish<Isa>,
      activate<Isa>,
      softmax<Isa>,
      {search_floats<Isa>, search_bytes<Isa>, search_bits<Isa>, invert_float_norms<Isa>,
       invert_byte_norms<Isa>},
  };
}

}  // namespace
}  // namespace bge
