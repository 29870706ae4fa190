// The only interface to threads. A team runs numbered tasks. Which worker runs which task is not
// defined, and no result may depend on it.
//
// The contract, whatever the implementation (pool.cpp, or openmp.cpp as a build option):
//   - A team of one is a plain loop: no thread is started, no lock taken.
//   - The caller works too, and waits only for tasks that have begun, never for a worker that is
//     still asleep.
//   - A worker without work spins for at most 50 us, then sleeps.
//   - If a thread cannot be started, the team is smaller.
//   - A forked child starts without workers and makes its own.
//   - One team at a time has the workers. While it has them, other callers get a team of one.
//   - Workers that have slept for a while are not woken for brief work, which one thread finishes
//     sooner.
#pragma once

#include <memory>
#include <type_traits>

namespace bge {

// A reference to a callable; valid as long as the callable that it was made from.
template <class Signature>
class FunctionRef;

template <class Result, class... Args>
class FunctionRef<Result(Args...)> {
 public:
  template <class Callable>
    requires(!std::is_same_v<std::remove_cvref_t<Callable>, FunctionRef>)
  explicit(false) FunctionRef(Callable&& callable)
      : object_(const_cast<void*>(static_cast<const void*>(&callable))),
        call_([](void* object, Args... args) -> Result {
          return (*static_cast<std::remove_reference_t<Callable>*>(object))(args...);
        }) {}
  Result operator()(Args... args) const { return call_(object_, args...); }

 private:
  void* object_;
  Result (*call_)(void*, Args...);
};

using Task = FunctionRef<void(int task, int worker)>;

class Team {
 public:
  virtual ~Team() = default;
  // Number of workers, the caller included. Workers are numbered from 0, the caller.
  virtual int width() const = 0;
  // Runs tasks 0 .. tasks - 1 and returns when all are done. Tasks must not throw.
  virtual void run(int tasks, Task task) = 0;
};

// Runs everything in the calling thread.
Team& solo_team();

// A team of at most `threads`. It is smaller if threads cannot be started or are in use, or if the
// work is `brief` (up to about 4 ms in one thread) and the workers would have to be woken. Its
// destructor releases the workers.
std::unique_ptr<Team> make_team(int threads, bool brief);

// "pool" or "openmp".
const char* parallel_backend();

}  // namespace bge
