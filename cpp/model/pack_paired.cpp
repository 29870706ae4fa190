#include "model/pack_paired.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace bge {
namespace {

constexpr int kBound = 128;  // of a positive and of a negative sum: 255 * 128 < 2^15
constexpr std::size_t kHalfStep = kStepBytes / 2;
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
  void add(std::size_t offset, int rest0, int rest1) {
    for (int e = 0; rest0 != 0 || rest1 != 0; ++e) {
      Budget budget;
      const int part0 = budget.take(rest0);
      const int part1 = budget.take(rest1);
      weights[static_cast<std::size_t>(e)][offset] = static_cast<Weight>(part0);
      weights[static_cast<std::size_t>(e)][offset + 1] = static_cast<Weight>(part1);
      rest0 -= part0;
      rest1 -= part1;
      count = std::max(count, e + 1);
    }
  }
};

// One step of a half panel, 8 columns. sums has for each two neighbours the sum of the positive
// ones among them, then for each two the sum of the negative ones: two steps make a pair if no two
// sums exceed the bound together. The sums are 16-bit and all of one kind are adjacent, so that the
// compiler makes and compares eight at once; else they take most of the time of packing.
struct HalfStep {
  std::array<Weight, kHalfStep> weights;
  std::array<std::int16_t, kHalfStep> sums;
  int largest = 0;
  std::uint16_t k = 0;  // of its first codes
};

HalfStep half_step(const unsigned char* weights, int k) {
  HalfStep step;
  step.k = static_cast<std::uint16_t>(k);
  std::memcpy(step.weights.data(), weights, kHalfStep);
  constexpr std::size_t kTwos = kHalfStep / 2;
  for (std::size_t i = 0; i < kTwos; ++i) {
    const std::int16_t w0 = step.weights[2 * i];
    const std::int16_t w1 = step.weights[2 * i + 1];
    const int positive = std::max<std::int16_t>(w0, 0) + std::max<std::int16_t>(w1, 0);
    step.sums[i] = static_cast<std::int16_t>(positive);
    step.sums[kTwos + i] = static_cast<std::int16_t>(positive - w0 - w1);
  }
  std::int16_t largest = 0;
  for (const std::int16_t sum : step.sums) largest = std::max(largest, sum);
  step.largest = largest;
  return step;
}

bool fit(const HalfStep& a, const HalfStep& b) {
  std::int16_t worst = 0;
  for (std::size_t i = 0; i < kHalfStep; ++i) {
    worst = std::max(worst, static_cast<std::int16_t>(a.sums[i] + b.sums[i]));
  }
  return worst <= kBound;
}

// Orders the steps in pairs that fit. The step with the largest sum chooses first, and takes the
// one with the largest sum that fits. Steps without a partner come last, an even number of them.
void match(std::vector<HalfStep>& steps) {
  std::vector<const HalfStep*> rest, matched, alone;
  for (const HalfStep& step : steps) rest.push_back(&step);
  std::stable_sort(rest.begin(), rest.end(),
                   [](const HalfStep* a, const HalfStep* b) { return a->largest > b->largest; });
  for (auto next = rest.begin(); next != rest.end(); ++next) {
    const HalfStep* step = *next;
    // A step that exceeds the bound by itself fits no other.
    const auto partner = step->largest > kBound
                             ? rest.end()
                             : std::find_if(next + 1, rest.end(), [step](const HalfStep* other) {
                                 return fit(*step, *other);
                               });
    if (partner == rest.end()) {
      alone.push_back(step);
      continue;
    }
    matched.insert(matched.end(), {step, *partner});
    rest.erase(partner);  // after `next`, which stays valid
  }
  matched.insert(matched.end(), alone.begin(), alone.end());
  std::vector<HalfStep> result;
  result.reserve(steps.size());
  for (const HalfStep* step : matched) result.push_back(*step);
  steps = std::move(result);
}

void append(const StepExtras& extras, std::uint16_t k, PairedMemory& memory) {
  for (int e = 0; e < extras.count; ++e) {
    memory.extra_k.push_back(k);
    for (const Weight w : extras.weights[static_cast<std::size_t>(e)]) {
      memory.extra_weights.push_back(static_cast<unsigned char>(w));
    }
  }
}

// Moves what exceeds the bound in the sums of two steps into extra steps. The lighter step keeps
// all that fits by itself, so that mostly the heavier one alone needs an extra step.
void split(HalfStep& heavier, HalfStep& lighter, PairedMemory& memory) {
  std::array<Budget, kHalfStep / 2> budgets;  // one for each two neighbours
  for (HalfStep* step : {&lighter, &heavier}) {
    StepExtras extras;
    for (std::size_t i = 0; i < kHalfStep; i += 2) {
      Budget& budget = budgets[i / 2];
      const int part0 = budget.take(step->weights[i]);
      const int part1 = budget.take(step->weights[i + 1]);
      extras.add(i, step->weights[i] - part0, step->weights[i + 1] - part1);
      step->weights[i] = static_cast<Weight>(part0);
      step->weights[i + 1] = static_cast<Weight>(part1);
    }
    append(extras, step->k, memory);
  }
}

}  // namespace

PairedMemory pair_steps(int inner, int panels, unsigned char* steps) {
  PairedMemory memory;
  const int count = inner / kStepDepth;
  std::vector<HalfStep> half;
  for (int panel = 0; panel < panels; ++panel) {
    for (int side = 0; side < 2; ++side) {
      unsigned char* first = steps + side * kHalfStep;
      half.clear();
      for (int step = 0; step < count; ++step) {
        half.push_back(half_step(first + step * kStepBytes, step * kStepDepth));
      }
      match(half);
      for (std::size_t step = 0; step < half.size(); step += 2) {
        if (!fit(half[step], half[step + 1])) split(half[step], half[step + 1], memory);
      }
      for (const HalfStep& step : half) {
        memory.k.push_back(step.k);
        std::memcpy(first, step.weights.data(), kHalfStep);
        first += kStepBytes;
      }
      memory.extra_ends.push_back(static_cast<std::int32_t>(memory.extra_k.size()));
    }
    steps += static_cast<std::size_t>(count) * kStepBytes;
  }
  return memory;
}

}  // namespace bge
