#include "model/pack_paired.h"

#include <algorithm>
#include <array>
#include <utility>

namespace bge {
namespace {

constexpr int kBound = 128;  // of a positive and of a negative sum: 255 * 128 < 2^15
constexpr int kHalfStep = kStepBytes / 2;
constexpr int kMostExtras = 2;  // of one step: two weights of at most 127 are less than 2 * kBound

using Weight = std::int8_t;

// How much may still be added to one 16-bit sum.
struct Budget {
  int positive = kBound;
  int negative = kBound;

  // The part of w that fits; takes it off the budget.
  int take(int w) {
    const int part = std::clamp(w, -negative, positive);
    (part > 0 ? positive : negative) -= part > 0 ? part : -part;
    return part;
  }
};

// The extra steps that one step of one half panel needs.
struct StepExtras {
  std::array<std::array<Weight, kHalfStep>, kMostExtras> weights{};
  int count = 0;

  // Puts rest0 and rest1, the parts that did not fit of the two weights at `offset` and
  // `offset` + 1, into as many extra steps as they need.
  void add(int offset, int rest0, int rest1) {
    for (int e = 0; rest0 != 0 || rest1 != 0; ++e) {
      Budget budget;
      const int part0 = budget.take(rest0);
      const int part1 = budget.take(rest1);
      weights[static_cast<std::size_t>(e)][static_cast<std::size_t>(offset)] =
          static_cast<Weight>(part0);
      weights[static_cast<std::size_t>(e)][static_cast<std::size_t>(offset + 1)] =
          static_cast<Weight>(part1);
      rest0 -= part0;
      rest1 -= part1;
      count = std::max(count, e + 1);
    }
  }
};

// first, second: 8 columns of two steps that are added in 16 bits. One sum has the weights at i and
// i + 1 of both steps, for each even i.
bool overflows(const Weight* first, const Weight* second) {
  int worst = 0;
  for (int i = 0; i < kHalfStep; i += 2) {
    int positive = 0;
    int negative = 0;
    for (const int w : {first[i], first[i + 1], second[i], second[i + 1]}) {
      positive += std::max(w, 0);
      negative -= std::min(w, 0);
    }
    worst = std::max({worst, positive, negative});
  }
  return worst > kBound;
}

void split(Weight* first, Weight* second, StepExtras& first_extras, StepExtras& second_extras) {
  for (int i = 0; i < kHalfStep; i += 2) {
    Budget budget;
    for (const auto& [step, extras] : {std::pair{first, &first_extras}, {second, &second_extras}}) {
      const int part0 = budget.take(step[i]);
      const int part1 = budget.take(step[i + 1]);
      extras->add(i, step[i] - part0, step[i + 1] - part1);
      step[i] = static_cast<Weight>(part0);
      step[i + 1] = static_cast<Weight>(part1);
    }
  }
}

void append(const StepExtras& extras, int step, ExtraMemory& memory) {
  for (int e = 0; e < extras.count; ++e) {
    memory.steps.push_back(step);
    for (const Weight w : extras.weights[static_cast<std::size_t>(e)]) {
      memory.weights.push_back(static_cast<unsigned char>(w));
    }
  }
}

}  // namespace

ExtraMemory take_out_extras(int inner, int panels, unsigned char* steps) {
  ExtraMemory memory;
  const int count = inner / kStepDepth;
  for (int panel = 0; panel < panels; ++panel) {
    for (int half = 0; half < 2; ++half) {
      Weight* first = reinterpret_cast<Weight*>(steps) + half * kHalfStep;
      for (int step = 0; step < count; step += 2, first += 2 * kStepBytes) {
        Weight* second = first + kStepBytes;
        if (!overflows(first, second)) continue;
        StepExtras first_extras, second_extras;
        split(first, second, first_extras, second_extras);
        append(first_extras, step, memory);
        append(second_extras, step + 1, memory);
      }
      memory.ends.push_back(static_cast<std::int32_t>(memory.steps.size()));
    }
    steps += static_cast<std::size_t>(count) * kStepBytes;
  }
  return memory;
}

}  // namespace bge
