#include "parallel/parallel.h"

namespace bge {
namespace {

class Solo : public Team {
 public:
  int width() const override { return 1; }
  void run(int tasks, Task task) override {
    for (int i = 0; i < tasks; ++i) task(i, 0);
  }
};

}  // namespace

Team& solo_team() {
  static Team& solo = *new Solo;  // never destroyed: threads may use it while the process ends
  return solo;
}

}  // namespace bge
