"""The mutants: one small edit each, a constant, a bound, a sign, that changes what is computed.

Edits that change no result are left out: tile shapes, block sizes, and code that only instruction
sets without hardware here run (neon, avxvnni). `before` must occur once in its file.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """An edit; `isa` is the instruction set that shows it, if not every one does."""

    file: str
    before: str
    after: str
    isa: str = ""


QUANTIZE = "cpp/kernels/quantize.h"
NORM = "cpp/kernels/layernorm.h"
EXP = "cpp/kernels/exp.h"
GELU = "cpp/kernels/gelu.h"
LINEAR = "cpp/kernels/linear.h"
INT8 = "cpp/kernels/attention_int8.h"
FLOAT = "cpp/kernels/attention_float32.h"
POOL = "cpp/kernels/pool.h"
FMA = "cpp/kernels/soft_fma.h"
SCALAR = "cpp/isa/lanes_scalar.h"
AVX2 = "cpp/isa/lanes_avx2.h"
AVX512 = "cpp/isa/lanes_avx512.h"
SSE41 = "cpp/isa/lanes_sse41.h"
VNNI = "cpp/isa/dots_vnni.h"
TILES = "cpp/kernels/tile_unit.h"
AMX = "cpp/isa/dots_amx.h"
MODEL = "cpp/isa/amx_model.h"
PACK = "cpp/model/pack.cpp"
PAIRED = "cpp/model/pack_paired.cpp"
ENCODER = "cpp/model/encoder.cpp"
CONFIG = "cpp/model/config.cpp"
WEIGHTS = "cpp/model/weights.cpp"
ENGINE = "cpp/engine.cpp"
PIECES = "cpp/tokenize/piece_table.cpp"
VOCABULARY = "cpp/tokenize/vocabulary.cpp"
WORDS = "cpp/tokenize/wordpiece.cpp"
SAFETENSORS = "python/bge_micro/checkpoint/safetensors_file.py"
JSON = "python/bge_micro/checkpoint/json_file.py"
FAMILY = "python/bge_micro/checkpoint/families/family.py"
PY_CONFIG = "python/bge_micro/checkpoint/config.py"
TENSORS = "python/bge_micro/checkpoint/tensors.py"
FILES = "python/bge_micro/checkpoint/weight_files.py"
MODULES = "python/bge_micro/checkpoint/modules.py"
CACHE = "python/bge_micro/checkpoint/hub_cache.py"
CUTTING = "python/bge_micro/tokenization/cutting.py"
TOKEN_DOOR = "python/bge_micro/tokenization/tokenizer.py"
TOKENIZER = "python/bge_micro/tokenization/reference.py"

MUTANTS = [
    Mutant(QUANTIZE, "Isa::mul(v, Isa::load(factor + c)) : v", "v : v"),
    Mutant(QUANTIZE, "F low = Isa::splat(0.0f)", "F low = load(row, 0)"),
    Mutant(QUANTIZE, "1.0f : 255.0f / range", "1.0f : 254.0f / range"),
    Mutant(QUANTIZE, "(-128.0f - lowest", "(-127.0f - lowest"),
    Mutant(QUANTIZE, "range / 255.0f;", "range / 256.0f;"),
    Mutant(QUANTIZE, "position, -128.0f, 127.0f", "position, -127.0f, 127.0f"),
    Mutant(QUANTIZE, "kRoundToInteger = 12582912.0f", "kRoundToInteger = 8388608.0f"),
    Mutant(QUANTIZE, "kSmallestRange = 1e-30f", "kSmallestRange = 1e-25f"),
    Mutant(QUANTIZE, "range < kSmallestRange || range", "range"),
    Mutant(QUANTIZE, " || range > kLargestRange", ""),
    Mutant(QUANTIZE, "= constant ? 1.0f : range", "= constant ? 0.0f : range"),
    Mutant(NORM, "sum_lanes<Isa>(sum) / width", "sum_lanes<Isa>(sum) / (width + 1)"),
    Mutant(NORM, "variance + norm.epsilon", "variance"),
    Mutant(
        NORM,
        "Isa::fma(deviation, deviation, squares)",
        "Isa::add(Isa::mul(deviation, deviation), squares)",
    ),
    Mutant(NORM, "Isa::load(norm.bias + c)", "Isa::splat(0.0f)"),
    Mutant(NORM, "Isa::add(sum, Isa::load(token_type + c))", "sum"),
    Mutant(NORM, "Isa::splat(scale)", "Isa::splat(1.0f)"),
    Mutant(NORM, "id * tables.words_scale_stride", "0"),
    Mutant(NORM, "size_t>(rows.positions[t]) * hidden", "size_t>(t / 2) * hidden"),
    Mutant(EXP, "-0x1.62e430p-1f", "-0x1.62e432p-1f"),
    Mutant(EXP, "0x1.fffdc6p-2f", "0x1.fffdc4p-2f"),
    Mutant(EXP, "Isa::splat(-87.0f), x", "Isa::splat(-86.0f), x"),
    Mutant(EXP, "kExpRootSlope = 0x1.e87c5cp-5f", "kExpRootSlope = 0x1.e87c6cp-5f"),
    Mutant(EXP, "Isa::max(q, Isa::splat(0x1.dff068p-4f))", "q"),
    Mutant(EXP, "kIntegerMagicBits = 0x4b400000", "kIntegerMagicBits = 0x4b400001"),
    Mutant(GELU, "0x1.d52d1ap-1f", "0x1.d52d1cp-1f"),
    Mutant(GELU, "(x, -5.75f)", "(x, -5.5f)"),
    Mutant(GELU, "0x1.975a94p-5f", "0x1.975c94p-5f"),
    Mutant(GELU, "(x, -4.5f)", "(x, -4.25f)"),
    Mutant(GELU, "Isa::max(x, Isa::splat(0.0f))", "x"),
    Mutant(GELU, "0x80000000u", "0x00000000u"),
    Mutant(LINEAR, "row < rows.end; --tiles", "row < rows.end - 1; --tiles"),
    Mutant(LINEAR, "panel + kPanels <= panels.end", "panel + kPanels < panels.end", "scalar"),
    Mutant(LINEAR, "Isa::isub(Isa::iload(sums), correction)", "Isa::iload(sums)"),
    Mutant(LINEAR, "Isa::mul(Isa::splat(input.scale[row]), scales)", "scales"),
    Mutant(LINEAR, "scale, bias);", "scale, Isa::splat(0.0f));"),
    Mutant(LINEAR, "if (epilogue == Epilogue::kBiasGelu)", "if (epilogue != Epilogue::kBiasGelu)"),
    Mutant(
        LINEAR, "weights.bias + (panel + p) * kLanes", "weights.bias + panel * kLanes", "avx512vnni"
    ),
    Mutant(LINEAR, "epilogue == Epilogue::kBiasGelu ?", "epilogue == Epilogue::kBias ?"),
    Mutant(LINEAR, "half_panel ? ends[half_panel - 1] : 0", "0", "avx2"),
    Mutant(LINEAR, "{paired.extra_k[e]}", "{paired.extra_k[e]} / 2", "avx2"),
    Mutant(LINEAR, "2 * panel + column / Dot::kColumns", "2 * panel", "avx2"),
    Mutant("cpp/kernels/packed.h", "(n + kLanes - 1)", "(n + kLanes - 2)"),
    Mutant("cpp/kernels/attention.h", "t < tokens ? 0.0f", "t <= tokens ? 0.0f"),
    Mutant(INT8, "Isa::fma(all.low, half, Isa::mul(all.high, half))", "Isa::mul(all.high, half)"),
    Mutant(INT8, "all.sum = Isa::add(v, all.sum)", "all.sum = v"),
    Mutant(INT8, "Isa::div(Isa::splat(127.0f), largest)", "Isa::div(Isa::splat(128.0f), largest)"),
    Mutant(INT8, "Isa::max(Isa::sub(mean, all.low), above)", "above"),
    Mutant(INT8, "1.0f / __builtin_sqrtf", "1.01f / __builtin_sqrtf"),
    Mutant(
        INT8,
        "Isa::max(Isa::max(v, Isa::sub(Isa::splat(0.0f), v)), largest)",
        "Isa::max(v, largest)",
    ),
    Mutant(INT8, "top / 127.0f * score_scale", "top / 128.0f * score_scale"),
    Mutant(INT8, "kLowest = INT32_MIN", "kLowest = 0"),
    Mutant(
        INT8,
        "for (int t = 0; t < last; t += kLanes) top",
        "for (int t = kLanes; t < last; t += kLanes) top",
    ),
    Mutant(INT8, "sum = Isa::fma(root, root, sum)", "sum = Isa::add(Isa::mul(root, root), sum)"),
    Mutant(INT8, "weigh(last, real)", "weigh(last, Isa::isplat(-1))"),
    Mutant(INT8, "keys - kLanes + i < task.tokens", "keys - kLanes + i <= task.tokens"),
    Mutant(INT8, "query + 2 * task.width", "query + task.width"),
    Mutant(FLOAT, "Isa::sub(Isa::load(row + t), highest)", "Isa::load(row + t)"),
    Mutant(
        FLOAT, "sum = Isa::add(sum, probability)", "sum = Isa::add(probability, Isa::splat(0.0f))"
    ),
    Mutant(FLOAT, "1.0f / __builtin_sqrtf", "1.000001f / __builtin_sqrtf"),
    Mutant(POOL, "int t = 1; t < tokens", "int t = 2; t < tokens"),
    Mutant(POOL, "Isa::max(v, token) : Isa::add", "Isa::min(v, token) : Isa::add"),
    Mutant(POOL, "Isa::div(v, Isa::sqrt(count))", "Isa::div(v, count)"),
    Mutant(POOL, "Isa::splat(1e-12f)", "Isa::splat(1e-6f)"),
    Mutant(POOL, "lowest > highest ? lowest : highest", "highest"),
    Mutant(POOL, "largest > 0.0f ? largest : 1.0f", "largest"),
    Mutant(POOL, "v[c + i] > 0.0f", "v[c + i] >= 0.0f"),
    Mutant(POOL, "width, 128,", "width, 127,"),
    Mutant(POOL, "c < width; ++c) vector[c] = 0.0f", "c < width - 1; ++c) vector[c] = 0.0f"),
    Mutant(FMA, "(error > 0.0) != (sum > 0.0)", "(error > 0.0) == (sum > 0.0)", "scalar"),
    Mutant(FMA, "bits |= 1", "bits |= 0", "scalar"),
    Mutant(FMA, "bits & 0x0fffffff", "bits & 0x1fffffff", "scalar"),
    Mutant(SCALAR, "6755399441055744.0", "6755399441055745.0", "scalar"),
    Mutant(SCALAR, "return select_less(a, b, a, b)", "return select_less(b, a, b, a)", "scalar"),
    Mutant(
        SCALAR, "a.lane[i] < b.lane[i] ? x.lane[i]", "a.lane[i] <= b.lane[i] ? x.lane[i]", "scalar"
    ),
    Mutant(
        AVX2,
        "_mm256_permute2f128_ps(v.lo, v.lo, 0x11)",
        "_mm256_permute2f128_ps(v.lo, v.lo, 0x00)",
        "avx2",
    ),
    Mutant(AVX2, "_mm256_min_ps(a.lo, b.lo)", "_mm256_min_ps(b.lo, a.lo)", "avx2"),
    Mutant(AVX2, "_mm256_max_ps(a.hi, b.hi)", "_mm256_max_ps(b.hi, a.hi)", "avx2"),
    Mutant(
        AVX2,
        "_mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)",
        "_mm256_cmp_ps(a.hi, b.hi, _CMP_LE_OQ)",
        "avx2",
    ),
    Mutant(AVX2, "_mm_srli_si128(bytes, 8)", "bytes", "avx2"),
    Mutant(AVX2, "_mm256_maddubs_epi16(codes1, w1)", "_mm256_maddubs_epi16(codes1, w0)", "avx2"),
    Mutant(AVX512, "_mm512_min_ps(a, b)", "_mm512_min_ps(b, a)", "avx512vnni"),
    Mutant(AVX512, "_CMP_LT_OQ", "_CMP_LE_OQ", "avx512vnni"),
    Mutant(
        AVX512, "(v, v, _MM_SHUFFLE(3, 2, 3, 2))", "(v, v, _MM_SHUFFLE(3, 2, 1, 0))", "avx512vnni"
    ),
    Mutant(
        AVX512, "N == 2 ? _MM_SHUFFLE(3, 2, 3, 2)", "N == 2 ? _MM_SHUFFLE(3, 2, 3, 3)", "avx512vnni"
    ),
    Mutant(
        AVX512, "_mm512_fmadd_ps(a, b, c)", "_mm512_add_ps(_mm512_mul_ps(a, b), c)", "avx512vnni"
    ),
    Mutant(VNNI, "kWeightOffset = 128", "kWeightOffset = 126", "avx512vnni"),
    Mutant(VNNI, "kCodeOffset = 128", "kCodeOffset = 127", "avx512vnni"),
    Mutant(TILES, "weights ? depth / kStepDepth : row_count", "row_count", "amx_int8_model"),
    Mutant(TILES, "return tile > 0 && row > last ? last : row", "return row", "amx_int8_model"),
    Mutant(TILES, "kKeep.bytes + rest", "kKeep.bytes + kTileBytes", "amx_int8_model"),
    Mutant(TILES, "if (rest > 0)", "if (rest > 16)", "amx_int8_model"),
    Mutant(TILES, "steps + panel_bytes - kTileSteps * kStepBytes", "at", "amx_int8_model"),
    Mutant(TILES, "kTile ? next_row : row, panel", "row, panel", "amx_int8_model"),
    Mutant(TILES, "tile * kTileRows + rows.begin - row", "tile * kTileRows", "amx_int8_model"),
    Mutant(TILES, "if (count % 2 != 0)", "if (count == 1)", "amx_int8_model"),
    Mutant(TILES, "if (count < kPanels)", "if (count + 1 < kPanels)", "amx_int8_model"),
    Mutant(AMX, "dot_signed_unsigned<", "dot_unsigned_signed<", "amx_int8_model"),
    Mutant(MODEL, "[codes][r][kStepDepth * k + i]", "[codes][r][kStepDepth * k]", "amx_int8_model"),
    Mutant(PACK, "sum += q;", "sum -= q;"),
    Mutant(PACK, "too_low |= q == -128", "too_low |= q == -127"),
    Mutant(PACK, "if (part.input_factor) w *= part.input_factor[k];", ""),
    Mutant(
        PACK,
        "part.weight_int8[at]) * part.scale[j]",
        "part.weight_int8[at]) * part.scale[0]",
    ),
    Mutant(PACK, "bytes) != 0", "bytes) > 0"),
    Mutant(
        PACK,
        "packer.linear({&w.query, &w.key, &w.value})",
        "packer.linear({&w.key, &w.query, &w.value})",
    ),
    Mutant(PAIRED, "kBound = 128", "kBound = 130", "avx2"),
    Mutant(PAIRED, "append(extras, step->k, memory)", "append(extras, 0, memory)", "avx2"),
    Mutant(PAIRED, "extras.add(i, step->weights[i] -", "extras.add(i, step->weights[i] +", "avx2"),
    Mutant(PAIRED, "return worst <= kBound;", "return worst <= kBound + 2;", "avx2"),
    Mutant(PAIRED, ", step * kStepDepth)", ", (step ^ 1) * kStepDepth)", "avx2"),
    Mutant(ENCODER, "parts) * grain", "parts) * (grain > 2 ? grain - 1 : grain)"),
    Mutant(ENCODER, "buffers.zero_point + row", "buffers.zero_point"),
    Mutant(
        ENCODER, "add_norm(layer.attention_norm, chunk, x)", "add_norm(layer.output_norm, chunk, x)"
    ),
    Mutant(
        ENCODER, "Epilogue::kBiasGelu, chunk, intermediate", "Epilogue::kBias, chunk, intermediate"
    ),
    Mutant(ENCODER, "width, weights.input_factor", "width, nullptr"),
    Mutant(ENCODER, "task % config.heads", "task / texts % config.heads"),
    Mutant(CONFIG, "c.heads <= kMaxInner / c.padded_head()", "c.heads <= kMaxInner"),
    Mutant(CONFIG, "c.positions <= kMaxInner", "c.positions <= 2 * kMaxInner"),
    Mutant(CONFIG, "c.hidden % c.heads == 0", "c.heads <= c.hidden"),
    Mutant(WEIGHTS, "tensor->shape != shape", "tensor->shape.size() != shape.size()"),
    Mutant(WEIGHTS, "tensor.dtype != DType::kFloat32", "tensor.dtype == DType::kFloat32 && false"),
    Mutant(
        WEIGHTS,
        'w.value = binder.linear(layer + "attention.self.value"',
        'w.value = binder.linear(layer + "attention.self.key"',
    ),
    Mutant(ENGINE, "dimensions > model_.vector_width()", "dimensions > model_.vector_width() + 1"),
    Mutant(ENGINE, "tokens < 1 ||", "tokens < 0 ||"),
    Mutant(ENGINE, "tokens > config.max_tokens()", "tokens > config.max_tokens() + 1"),
    Mutant(ENGINE, "batch.ids[i] >= config.vocab", "batch.ids[i] > config.vocab"),
    Mutant(ENGINE, "batch.ids[i] < 0 ||", ""),
    Mutant(ENGINE, "batch.offsets[0] != 0", "batch.offsets[0] < 0"),
    Mutant("cpp/model/ragged.h", "? skip : tokens(text) - 1", "? skip : tokens(text)"),
    Mutant(ENGINE, "if (stop.stopped()) throw Stopped();", ""),
    Mutant(PIECES, "std::min(word.size(), longest_)", "std::min(word.size(), longest_) / 2"),
    Mutant(PIECES, "length > 0; --length", "length > 1; --length"),
    Mutant(PIECES, "  slot.id = id;", ""),
    Mutant(VOCABULARY, "code < 0x80;", "code <= 0x80;"),
    Mutant(VOCABULARY, "value < 0 ||", ""),
    Mutant(VOCABULARY, "code, 16)", "code, 10)"),
    Mutant(WORDS, "ids_.resize(before);", ""),
    Mutant(WORDS, "pieces = &owner_.next_;", "pieces = &owner_.first_;"),
    Mutant(WORDS, "return length_ > word_.size();", "return length_ >= word_.size();"),
    Mutant(WORDS, "ids.size() - content > room", "ids.size() - content >= room"),
    Mutant(WORDS, "if (!is_full()) words.end();", ""),
    Mutant(WORDS, "byte.kind != kind || byte.begins_added", "byte.kind != kind"),
    Mutant(
        WORDS, "added_token_at(prefix, text, part_begin + i)", "added_token_at(prefix, text, i)"
    ),
    Mutant(SAFETENSORS, "length > min(available, MAX_HEADER_BYTES)", "length > available"),
    Mutant(SAFETENSORS, "needed != end - begin", "needed > end - begin"),
    Mutant(SAFETENSORS, "info.begin != position", "info.begin > position"),
    Mutant(SAFETENSORS, "info.end > data_bytes", "info.end > data_bytes + 1"),
    Mutant(SAFETENSORS, "if position != data_bytes", "if position > data_bytes"),
    Mutant(SAFETENSORS, "len(offsets) != 2", "len(offsets) < 2"),
    Mutant(SAFETENSORS, "<< np.uint32(16)", "<< np.uint32(15)"),
    Mutant(SAFETENSORS, "type(n) is int and 0 <= n", "type(n) is int and -1 <= n"),
    Mutant(SAFETENSORS, "type(n) is int", "isinstance(n, int)"),
    Mutant(SAFETENSORS, "if not array.flags.aligned:", "if False:"),
    Mutant(SAFETENSORS, "if len(content) < _LENGTH_BYTES", "if len(content) < 1"),
    Mutant(JSON, "_MAX_INT_DIGITS = 40", "_MAX_INT_DIGITS = 4000"),
    Mutant(JSON, "size > most_bytes", "size > 2 * most_bytes"),
    Mutant(JSON, "len(result) < len(pairs)", "len(result) > len(pairs)"),
    Mutant(JSON, "parse_constant=_refuse_constant,", ""),
    Mutant(FAMILY, "not least <= found <= largest", "not 0 <= found <= largest"),
    Mutant(FAMILY, "not 1e-37 <= found", "not 0 <= found"),
    Mutant(PY_CONFIG, "padded > MAX_INNER", "padded > 2 * MAX_INNER"),
    Mutant(
        "python/bge_micro/checkpoint/encoder_config.py",
        "MAX_INNER = 32768",
        "MAX_INNER = 32768 + 64",
    ),
    Mutant(FAMILY, "type(found) is not int or", ""),
    Mutant(TENSORS, "chunk.min() < -127", "chunk.min() < -128"),
    Mutant(TENSORS, "array.min() <= 0", "array.min() < 0"),
    Mutant(TENSORS, "range(0, flat.size, _CHUNK)", "range(0, min(flat.size, _CHUNK), _CHUNK)"),
    Mutant(TENSORS, "len(present) < 3", "len(present) < 2"),
    Mutant(TENSORS, "if tensor.info.shape != shape", "if len(tensor.info.shape) != len(shape)"),
    Mutant(FILES, "or Path(name).name != name", ""),
    Mutant(FILES, "if name in stored:", "if False:"),
    Mutant(MODULES, "limit < 3", "limit < 2"),
    Mutant(CACHE, 'and ".." not in name', ""),
    Mutant(CUTTING, "\\u9fff", "\\ua4cf"),
    Mutant(CUTTING, 'BLANKS = " \\t\\n\\r"', 'BLANKS = " \\t\\n\\r\\x0b"'),
    Mutant(
        CUTTING, "len(words[0]) > self._longest_word", "len(words[0]) > self._longest_word // 2"
    ),
    Mutant(CUTTING, "run - self._window, 1", "run - self._window, 0"),
    Mutant(CUTTING, "cut - len(token) + 1", "cut - len(token) + 3"),
    Mutant(CUTTING, "cut + len(token) - 1) >= 0", "cut + len(token) - 3) >= 0"),
    Mutant(CUTTING, "elif not words and run > end:", "elif run > end:"),
    Mutant(CUTTING, "or token.single_word", ""),
    Mutant(CUTTING, "or token.content[-1] not in _PUNCTUATION", ""),
    Mutant(
        TOKENIZER, "truncated.append(len(content) > room)", "truncated.append(len(content) >= room)"
    ),
    Mutant(
        TOKENIZER,
        "while row in rests and len(content) <= room",
        "while row in rests and len(content) < room",
    ),
    Mutant(TOKEN_DOOR, "if limit < self", "if limit + 1 < self"),
]
