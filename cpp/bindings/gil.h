// Giving up the GIL while the core works, and taking it again, also while the interpreter ends.
//
// A daemon thread may be in the core when the interpreter ends. Before 3.14, Python ends such a
// thread by pthread_exit as soon as it asks for the GIL. That unwinds the stack, which C++ does not
// survive: a destructor, as that of pybind11's gil_scoped_release, may not be left that way
// (std::terminate), objects of Python would be released without the GIL, and workers may still use
// what is on this stack. So do what Python does from 3.14 on: such a thread never returns. It
// sleeps until the process has ended, and nothing that it holds is released.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace bge {

[[noreturn]] inline void sleep_forever() {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

// Runs a call into Python; if Python ends this thread in it, the unwinding stops here. glibc is
// the one that unwinds. Elsewhere the thread just ends, which is why ReleasedGil looks first.
template <class Call>
auto call_python(const Call& call) {
  struct EndOfUnwinding {
    bool returned = false;
    ~EndOfUnwinding() {
      if (!returned) sleep_forever();
    }
  };
  EndOfUnwinding end;
  auto result = call();
  end.returned = true;
  return result;
}

// Drops a reference. If it is the last one, that is a call into Python: a memory map, for example,
// is closed without the GIL. pybind11 would do this in a destructor, which cannot be unwound.
inline void release(pybind11::object& object) {
  call_python([pointer = object.release().ptr()] {
    Py_XDECREF(pointer);
    return true;
  });
}

// The GIL is released while it lives. `call` must not throw.
class ReleasedGil {
 public:
  ReleasedGil() : ends_interpreter_(!Py_IsInitialized()), state_(PyEval_SaveThread()) {}
  ~ReleasedGil() { take(); }
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;

  // Calls `call` with the GIL. Only in the thread that released it.
  template <class Call>
  bool with_gil(const Call& call) {
    take();
    const bool result = call_python(call);
    state_ = PyEval_SaveThread();
    return result;
  }

 private:
  void take() {
    // From the moment in which the interpreter begins to end it counts as not initialised, and
    // that stays so when it has ended and `state_` is freed. The thread that ends it may go on.
    if (!ends_interpreter_ && !Py_IsInitialized()) sleep_forever();
    call_python([this] {
      PyEval_RestoreThread(state_);  // the interpreter may begin to end while this waits
      return true;
    });
  }

  bool ends_interpreter_;
  PyThreadState* state_;
};

}  // namespace bge
