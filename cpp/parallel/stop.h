// How a long computation is asked to end early (Ctrl-C).
#pragma once

#include <atomic>
#include <chrono>
#include <stdexcept>

#include "parallel/parallel.h"

namespace bge {

class Stop {
 public:
  // `asked` is called every 20 ms or so, by the calling thread only; true ends the computation.
  explicit Stop(FunctionRef<bool()> asked) : asked_(asked) {}

  // Any worker may call this before it starts a task; worker 0 is the calling thread.
  bool requested(int worker) {
    if (worker == 0 && !stopped() && Clock::now() >= next_) {
      if (asked_()) stopped_.store(true, std::memory_order_relaxed);
      next_ = Clock::now() + kInterval;
    }
    return stopped();
  }
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kInterval{20};

  FunctionRef<bool()> asked_;
  Clock::time_point next_ = Clock::now() + kInterval;
  std::atomic<bool> stopped_{false};
};

// Thrown by a computation that has ended because `asked` returned true. What it has written so far
// is not defined.
struct Stopped : std::runtime_error {
  Stopped() : std::runtime_error("stopped") {}
};

}  // namespace bge
