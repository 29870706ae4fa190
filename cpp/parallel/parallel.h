// Threads, and the only interface to them. A team runs numbered tasks; who runs which is not
// defined, and nothing that is computed may depend on it.
//
// The contract, whatever the implementation (pool.cpp, or openmp.cpp as a build option):
//   - A team of one is a plain loop: no thread is started, no lock taken.
//   - The caller works too and waits only for tasks that have begun: a sleeping worker delays
//     nobody.
//   - A worker without work spins for at most 50 us, then sleeps.
//   - A thread that cannot be started means a smaller team.
//   - A forked child starts with no workers and makes its own.
//   - One team at a time has the workers; who comes while they are taken works alone.
//   - Workers that have slept for a while are not woken for brief work: it is done sooner alone.
#pragma once

#include <memory>
#include <type_traits>

namespace bge {

// A reference to a callable; lives as long as the callable it was made from.
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
  // Workers, the caller included; worker numbers are below it.
  virtual int width() const = 0;
  // Runs tasks 0 .. tasks - 1 and returns when all are done. Tasks must not throw.
  virtual void run(int tasks, Task task) = 0;
};

// Runs everything in the calling thread.
Team& solo_team();

// A team of at most `threads`; smaller where threads cannot be had, or are not worth waking for
// `brief` work, of up to about 4 ms in one thread. Released when destroyed.
std::unique_ptr<Team> make_team(int threads, bool brief);

// "pool" or "openmp".
const char* parallel_backend();

}  // namespace bge
