// How a long computation is asked to end early (Ctrl-C).
#pragma once

#include <atomic>
#include <chrono>

#include "parallel/parallel.h"

namespace bge {

class Stop {
 public:
  // `asked` is called now and then, by the calling thread only; true ends the computation.
  explicit Stop(FunctionRef<bool()> asked) : asked_(asked) {}

  // Any worker, before a piece of work; worker 0 is the calling thread.
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

}  // namespace bge
