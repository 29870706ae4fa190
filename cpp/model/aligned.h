// A 64-byte aligned block of memory that only grows.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace bge {

inline constexpr std::size_t kAlignment = 64;

inline std::size_t round_up(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes) { reserve(bytes); }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~AlignedBuffer() { ::operator delete(data_, std::align_val_t{kAlignment}); }

  // At least `bytes`; what was stored is lost when it grows. Throws std::bad_alloc.
  void reserve(std::size_t bytes) {
    if (bytes <= bytes_) return;
    ::operator delete(std::exchange(data_, nullptr), std::align_val_t{kAlignment});
    bytes_ = 0;
    data_ = ::operator new(round_up(bytes), std::align_val_t{kAlignment});
    bytes_ = round_up(bytes);
  }

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace bge
