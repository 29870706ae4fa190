// Teams by OpenMP, a build option (BGE_MICRO_OPENMP=ON) for those who must share one runtime. It
// keeps the bits, not the whole contract of parallel.h: idle workers, failed thread starts and
// slow wake-ups are the runtime's business. A forked child works alone, because libgomp hangs
// there.
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
// When the module is loaded: on first use another thread could fork half way through it.
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
