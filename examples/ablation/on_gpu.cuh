// SPDX-License-Identifier: Apache-2.0
/// @file  The body of measure_on_gpu(), which each precision instantiates in a file of its own.
#pragma once

#include <sextant/cuda/scan.cuh>
#include <sextant/design/describe.hpp>

#include "bench/roofline.hpp"
#include "device_copy.cuh"
#include "gpu.hpp"
#include "measure.hpp"

namespace ablation {

/// Keeps the stream busy for so many nanoseconds, so that what is enqueued meanwhile runs without a gap.
static __global__ void hold_stream(unsigned long long nanoseconds) {
  const auto now = [] {
    unsigned long long time;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time));
    return time;
  };
  const unsigned long long start = now();
  while (now() - start < nanoseconds) __nanosleep(1000);
}

/// Two marks in the stream.
class stopwatch {
 public:
  stopwatch() { must(cudaEventCreate(&start_)), must(cudaEventCreate(&stop_)); }
  stopwatch(stopwatch&& other) noexcept
      : start_{std::exchange(other.start_, nullptr)}, stop_{std::exchange(other.stop_, nullptr)} {}
  stopwatch& operator=(stopwatch&&) = delete;
  ~stopwatch() {
    if (start_ != nullptr) cudaEventDestroy(start_), cudaEventDestroy(stop_);
  }

  void start() { must(cudaEventRecord(start_)); }
  void stop() { must(cudaEventRecord(stop_)); }
  /// Milliseconds between the two; waits for the second.
  double read() const {
    float ms = 0;
    must(cudaEventSynchronize(stop_));
    must(cudaEventElapsedTime(&ms, start_, stop_));
    return double(ms);
  }

 private:
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

/// The median time of calls i = 0, 1, ..., repeat - 1, in milliseconds.
template <class Call> double median_ms_on_gpu(int repeat, const Call& call) {
  constexpr int most = 256;                          // enqueued at once
  constexpr unsigned long long to_enqueue = 50'000;  // ns, a call and its marks
  std::vector<stopwatch> watches(std::size_t(std::min(repeat, most)));
  std::vector<double> times;
  for (int done = 0; done < repeat; done += most) {
    const int count = std::min(repeat - done, most);
    hold_stream<<<1, 1>>>(to_enqueue * static_cast<unsigned long long>(count));
    must(cudaGetLastError());
    for (int i = 0; i < count; ++i) {
      watches[std::size_t(i)].start();
      call(done + i);
      watches[std::size_t(i)].stop();
    }
    for (int i = 0; i < count; ++i) times.push_back(watches[std::size_t(i)].read());
  }
  return median(times);
}

/// What is said of the GPU's use.
template <class Precision, class Design>
void judge_speed(const variant& row, const Design& design, sextant::index_t T, result& r) {
  const sextant::problem_size size{1, T, row.key_heads, row.heads, row.keys, row.values};
  const auto counts = sextant::count<Precision>(design, size);
  const auto work = sextant::bench::forward_work<Precision>(design, size);
  r.gb_per_s = work.bytes / r.median_ms * 1e-6;
  r.tflop_per_s = 2 * double(counts.macs) / r.median_ms * 1e-9;
  if (gpu_name().find("H200") != std::string::npos)
    r.floor_fraction = sextant::bench::times_of(work, sextant::bench::h200(work.bytes)).floor_ms() / r.median_ms;
}

/// Runs and times one call; the error is empty after success.
template <class Precision, class Design, class Form>
std::string time_on_gpu(const variant& row, const Design& design, const sextant::sequence_of<Design, Precision>& x,
                        const Form& form, int repeat, result& r) {
  namespace sx = sextant;
  using copy = device_copy<sx::sequence_of<Design, Precision>>;
  // Sets of tensors that together are more than twice what the cache holds.
  int device = 0, cache_bytes = 0;
  must(cudaGetDevice(&device));
  must(cudaDeviceGetAttribute(&cache_bytes, cudaDevAttrL2CacheSize, device));
  const std::size_t sets = std::min<std::size_t>(2 + 2 * std::size_t(cache_bytes) / copy::bytes_of(x), 128);
  std::vector<copy> copies;
  for (std::size_t i = 0; i < sets; ++i) copies.emplace_back(x);

  const std::size_t bytes = sx::workspace_bytes(design, form, sx::gpu::stream{}, copies[0].x);
  const device_memory workspace(bytes);
  const sx::gpu::stream on{.memory = {workspace.data(), bytes}};
  r.form = std::is_same_v<Form, sx::form::automatic> ? sx::chosen_form(design, on, copies[0].x) : Form::name;
  sx::status done;
  for (const copy& warm : copies)
    if (done) done = sx::forward(design, form, on, warm.x);
  if (!done) return done.what;
  must(cudaDeviceSynchronize());
  copies.back().fetch_y(x.y.data());
  r.median_ms = median_ms_on_gpu(repeat, [&](int i) {
    const sx::status again = sx::forward(design, form, on, copies[std::size_t(i) % sets].x);
    if (!again) done = again;
  });
  if (!done) return done.what;
  judge_speed<Precision>(row, design, x.v.extent(1), r);
  return {};
}

template <class Precision>
std::string measure_on_gpu(const variant& row, const void* x, const std::string& form, int repeat, result& r) {
  std::string error;
  for_each_row([&](const variant& other, const auto& design) {
    if (&other != &row) return;
    using design_type = std::remove_cvref_t<decltype(design)>;
    with_form(form, [&](const auto& f) {
      using form_type = std::remove_cvref_t<decltype(f)>;
      if constexpr (std::is_same_v<form_type, sextant::form::quadratic>) {
        error = "form quadratic: a GPU has none; use automatic";
      } else if constexpr (sextant::form::runs<form_type, design_type>) {
        const auto& call = *static_cast<const sextant::sequence_of<design_type, Precision>*>(x);
        try {
          error = time_on_gpu<Precision>(row, design, call, f, repeat, r);
        } catch (const std::runtime_error& failure) {
          error = failure.what();
        }
      }
    });
  });
  return error;
}

}  // namespace ablation
