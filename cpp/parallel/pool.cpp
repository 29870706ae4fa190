// A small thread pool. OpenMP cannot keep the contract of parallel.h: libgomp hangs in a forked
// child, ends the process when a thread cannot start, and reads its spin time from the environment.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "parallel/float_mode.h"
#include "parallel/parallel.h"

#if defined(BGE_MICRO_X86)
#include <emmintrin.h>
#endif
#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#endif

namespace bge {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::microseconds kSpin{50};  // longest wait without sleeping

// After so long without work, CPUs sleep more deeply and caches are cold. To wake a worker then
// costs more time than the worker saves on brief work (on a virtual machine with 2 CPUs, after 20
// ms, 15 tokens take 1.1 ms with one thread and 1.6 ms with two; at 128 tokens both take the same
// time).
constexpr std::chrono::milliseconds kDozing{2};

void pause() {
#if defined(BGE_MICRO_X86)
  _mm_pause();
#else
  __asm__ volatile("yield");
#endif
}

// Spins until ready() or until kSpin has passed; true if ready.
template <class Ready>
bool spin_until(Ready ready) {
  const Clock::time_point end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {  // reads the clock about once in 1 us
      if (ready()) return true;
      pause();
    }
  } while (Clock::now() < end);
  return false;
}

// Runs one job at a time. `state_` has the job's generation in its high half and the number of
// tasks that are not claimed yet in its low half. A worker claims a task by one compare-and-swap,
// which fails if the job has changed, so that a worker that wakes late never touches a job that is
// over.
class Pool {
 public:
  bool lease() { return !leased_.exchange(true, std::memory_order_acquire); }
  void release() { leased_.store(false, std::memory_order_release); }

  // Has nobody used the pool for a while?
  bool dozing() const { return Clock::now().time_since_epoch() - last_use_.load() > kDozing; }
  void note_use() { last_use_.store(Clock::now().time_since_epoch()); }

  // Grows the pool to `workers` threads and returns how many there are. Lease holder only.
  int grow(int workers) noexcept {
    while (workers_ < workers && start_worker(workers_ + 1)) ++workers_;
    return workers_;
  }

  // Lease holder only.
  void run(int tasks, int width, Task task) {
    task_.store(&task, std::memory_order_relaxed);
    tasks_.store(tasks, std::memory_order_relaxed);
    width_.store(width, std::memory_order_relaxed);
    unfinished_.store(tasks, std::memory_order_relaxed);
    generation_ += std::uint64_t{1} << 32;
    state_.store(generation_ | static_cast<std::uint32_t>(tasks));
    wake_workers();
    while (work_on(generation_, 0)) {
    }
    wait_for_workers();
  }

 private:
  static std::uint32_t unclaimed(std::uint64_t state) { return static_cast<std::uint32_t>(state); }

  // Claims and runs one task of the job; false when none is left.
  bool work_on(std::uint64_t generation, int worker) {
    std::uint64_t state = state_.load(std::memory_order_acquire);
    do {
      if ((state >> 32) != (generation >> 32) || unclaimed(state) == 0) return false;
    } while (!state_.compare_exchange_weak(state, state - 1, std::memory_order_acq_rel));
    // Claimed: the job cannot end before this task does.
    const Task* task = task_.load(std::memory_order_relaxed);
    const int tasks = tasks_.load(std::memory_order_relaxed);
    (*task)(tasks - static_cast<int>(unclaimed(state)), worker);
    if (unfinished_.fetch_sub(1) == 1 && caller_sleeps_.load()) {
      const std::lock_guard<std::mutex> lock(mutex_);
      done_.notify_one();
    }
    return true;
  }

  void wait_for_workers() {
    const auto finished = [this] { return unfinished_.load() == 0; };
    if (spin_until(finished)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    caller_sleeps_.store(true);
    done_.wait(lock, finished);
    caller_sleeps_.store(false);
  }

  // Does not repeat a notification that has not woken anybody yet: between two stages of one text a
  // system call would cost more than a further worker saves.
  void wake_workers() {
    if (sleepers_.load() == 0 || notified_.exchange(true)) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    work_.notify_all();
  }

  void worker_loop(int worker) {
    const FloatMode mode;
    std::uint64_t seen = 0;  // generation this worker is done with
    for (;;) {
      const auto fresh = [&] {
        const std::uint64_t state = state_.load();
        return unclaimed(state) != 0 && (state >> 32) != (seen >> 32);
      };
      if (!spin_until(fresh)) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1);
        // Cleared before each check for work. A notification may have found nobody waiting, because
        // the last sleeper was just leaving; the flag must not stay set for ever then. And if the
        // job is already over, the next one must be able to wake this worker again.
        notified_.store(false);
        while (!fresh()) {
          work_.wait(lock);
          notified_.store(false);
        }
        sleepers_.fetch_sub(1);
      }
      const std::uint64_t state = state_.load();
      if (worker < width_.load(std::memory_order_relaxed)) {
        while (work_on(state, worker)) {
        }
      }
      seen = state;
    }
  }

  // The thread runs until the process ends. It blocks all signals, so that other threads get them.
  bool start_worker(int worker) {
#if !defined(_WIN32)
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
    bool started = true;
    try {
      std::thread([this, worker] { worker_loop(worker); }).detach();
    } catch (const std::exception&) {  // no thread, or no memory to start one with
      started = false;
    }
#if !defined(_WIN32)
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
#endif
    return started;
  }

  std::atomic<bool> leased_{false};
  std::atomic<Clock::duration> last_use_{Clock::duration::zero()};
  int workers_ = 0;
  std::uint64_t generation_ = 0;

  alignas(64) std::atomic<std::uint64_t> state_{0};
  std::atomic<const Task*> task_{nullptr};
  std::atomic<int> tasks_{0};
  std::atomic<int> width_{0};
  alignas(64) std::atomic<int> unfinished_{0};

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::atomic<int> sleepers_{0};
  std::atomic<bool> notified_{false};
  std::atomic<bool> caller_sleeps_{false};
};

// Never freed: workers use it until the process ends. A forked child has none of the workers; it
// does not use the parent's pool, whose mutex may be locked for ever, and makes its own.
std::atomic<Pool*> shared_pool{nullptr};

#if !defined(_WIN32)
// Registered when the module is loaded, not on first use: another thread could be in the middle of
// that during a fork, and the child would wait for it for ever.
[[maybe_unused]] const int fork_handler =
    pthread_atfork(nullptr, nullptr, [] { shared_pool.store(nullptr); });
#endif

Pool& pool() {
  Pool* current = shared_pool.load(std::memory_order_acquire);
  if (current) return *current;
  Pool* fresh = new Pool;
  if (shared_pool.compare_exchange_strong(current, fresh)) return *fresh;
  delete fresh;
  return *current;
}

// The caller, and the pool's workers if several `threads` are wanted and no other team has them.
class PoolTeam : public Team {
 public:
  PoolTeam(Pool& pool, int threads) : pool_(pool), leased_(threads > 1 && pool.lease()) {
    if (leased_) width_ = std::min(threads, 1 + pool.grow(threads - 1));
  }
  ~PoolTeam() override {
    pool_.note_use();
    if (leased_) pool_.release();
  }
  PoolTeam(const PoolTeam&) = delete;
  PoolTeam& operator=(const PoolTeam&) = delete;
  int width() const override { return width_; }
  void run(int tasks, Task task) override {
    if (tasks <= 1 || width_ == 1) return solo_team().run(tasks, task);
    pool_.run(tasks, width_, task);
  }

 private:
  Pool& pool_;
  bool leased_;
  int width_ = 1;
};

// A team for one thread.
class Alone : public Team {
 public:
  int width() const override { return 1; }
  void run(int tasks, Task task) override { solo_team().run(tasks, task); }
};

}  // namespace

std::unique_ptr<Team> make_team(int threads, bool brief) {
  if (threads <= 1) return std::make_unique<Alone>();
  Pool& shared = pool();
  return std::make_unique<PoolTeam>(shared, brief && shared.dozing() ? 1 : threads);
}

const char* parallel_backend() { return "pool"; }

}  // namespace bge
