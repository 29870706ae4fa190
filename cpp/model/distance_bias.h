// MPNet's attention biases: each head adds to a score what belongs to the bucket of the distance
// from query to key.
#pragma once

namespace bge {

inline constexpr int kDistanceBuckets = 32;

// The bucket of distance key - query, as T5's for 32 buckets and distances up to 128: 16 for keys
// after the query, 16 for the others; of these, 8 of one distance each and 8 that grow by the
// square root of two.
inline int distance_bucket(int distance) {
  constexpr int kFirstOfLarge[] = {12, 16, 23, 32, 46, 64, 91};  // 8 * 2^(i / 2), rounded up
  const int after = distance > 0 ? kDistanceBuckets / 2 : 0;
  const int size = distance < 0 ? -distance : distance;
  if (size < 8) return after + size;
  int bucket = 8;
  for (const int first : kFirstOfLarge) bucket += size >= first;
  return after + bucket;
}

// table [buckets][heads] -> biases [heads][2 * reach] of the distances -reach .. reach - 1.
inline void spread_distance_biases(const float* table, int heads, int reach, float* biases) {
  for (int head = 0; head < heads; ++head) {
    for (int distance = -reach; distance < reach; ++distance) {
      *biases++ = table[distance_bucket(distance) * heads + head];
    }
  }
}

}  // namespace bge
