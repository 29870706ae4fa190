// Teams by OpenMP, a build option (BGE_MICRO_OPENMP=ON) for programs that want a single thread
// runtime. Results have the same bits, but not all of parallel.h's contract is kept: the OpenMP
// runtime decides how idle workers wait, what happens when a thread cannot start, and how fast
// workers wake. A forked child uses one thread, because libgomp hangs there.
#include <omp.h>

#include <atomic>

#include "parallel/float_mode.h"
#include "parallel/parallel.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace bge {
namespace {

std::atomic<bool> forked{false};

#if !defined(_WIN32)
// Registered when the module is loaded: on first use, another thread could fork in the middle of
// it.
[[maybe_unused]] const int fork_handler =
    pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
#endif

class OpenMpTeam : public Team {
 public:
  explicit OpenMpTeam(int width) : width_(width) {}
  int width() const override { return width_; }
  void run(int tasks, Task task) override {
    if (width_ == 1 || tasks <= 1) return solo_team().run(tasks, task);
#pragma omp parallel num_threads(width_)
    {
      const FloatMode mode;
#pragma omp for schedule(dynamic, 1)
      for (int i = 0; i < tasks; ++i) task(i, omp_get_thread_num());
    }
  }

 private:
  int width_;
};

}  // namespace

std::unique_ptr<Team> make_team(int threads, bool) {
  return std::make_unique<OpenMpTeam>(forked.load() || threads < 1 ? 1 : threads);
}

const char* parallel_backend() { return "openmp"; }

}  // namespace bge
