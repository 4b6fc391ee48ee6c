// C++ threads: futures, exceptions from one thread to another, thread-local objects, latches by hand, atomics.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <numeric>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

struct Counted {
  static std::atomic<int> made, gone;
  int value = 0;
  Counted() { made++; }
  ~Counted() { gone++; }
};
std::atomic<int> Counted::made, Counted::gone;
thread_local Counted perThread;

template <typename T>
class Channel {
 public:
  void send(T value) {
    std::unique_lock lock(mutex);
    notFull.wait(lock, [&] { return items.size() < 10; });
    items.push_back(std::move(value));
    notEmpty.notify_one();
  }
  bool receive(T &value) {
    std::unique_lock lock(mutex);
    notEmpty.wait(lock, [&] { return !items.empty() || closed; });
    if (items.empty()) return false;
    value = std::move(items.front());
    items.erase(items.begin());
    notFull.notify_one();
    return true;
  }
  void close() {
    std::lock_guard lock(mutex);
    closed = true;
    notEmpty.notify_all();
  }

 private:
  std::mutex mutex;
  std::condition_variable notEmpty, notFull;
  std::vector<T> items;
  bool closed = false;
};

static long fibonacci(int n) {
  if (n < 2) return n;
  if (n < 12) return fibonacci(n - 1) + fibonacci(n - 2);
  auto one = std::async(n > 14 ? std::launch::async : std::launch::deferred, fibonacci, n - 1);
  long other = fibonacci(n - 2);
  return one.get() + other;
}

int main() {
  {
    std::vector<std::thread> threads;
    std::atomic<long> sum{0};
    for (int i = 0; i < 16; i++)
      threads.emplace_back([&sum, i] {
        perThread.value = i;
        for (int k = 0; k < 1000; k++) sum += i;
        CHECK(perThread.value == i);
      });
    for (auto &t : threads) t.join();
    EXPECT(sum.load(), 120000);
    EXPECT(Counted::made.load(), 16);
    EXPECT(Counted::gone.load(), 16);
  }
  EXPECT(fibonacci(18), 2584);

  // An exception in a thread arrives at the one that waits for it.
  auto failing = std::async(std::launch::async, []() -> int { throw std::runtime_error("from the other thread"); });
  std::string message;
  try {
    failing.get();
  } catch (const std::runtime_error &e) {
    message = e.what();
  }
  CHECK(message == "from the other thread");
  std::promise<std::string> promise;
  auto future = promise.get_future();
  CHECK(future.wait_for(std::chrono::milliseconds(10)) == std::future_status::timeout);
  std::thread fulfil([&promise] { promise.set_value("promised"); });
  CHECK(future.get() == "promised");
  fulfil.join();
  {
    std::promise<int> broken;
    auto abandoned = broken.get_future();
    { std::promise<int> gone = std::move(broken); }
    bool caught = false;
    try {
      abandoned.get();
    } catch (const std::future_error &) {
      caught = true;
    }
    CHECK(caught);
  }

  // Each thread throws and catches on its own.
  {
    std::vector<std::thread> threads;
    std::atomic<int> caught{0};
    for (int i = 0; i < 8; i++)
      threads.emplace_back([&caught] {
        for (int k = 0; k < 200; k++) try {
            throw k;
          } catch (int value) {
            caught += value == k;
          }
      });
    for (auto &t : threads) t.join();
    EXPECT(caught.load(), 1600);
  }

  Channel<std::vector<int>> channel;
  std::atomic<long> received{0};
  std::vector<std::thread> consumers;
  for (int i = 0; i < 3; i++)
    consumers.emplace_back([&] {
      std::vector<int> batch;
      while (channel.receive(batch)) received += std::accumulate(batch.begin(), batch.end(), 0L);
    });
  for (int i = 0; i < 500; i++) channel.send(std::vector<int>(10, i));
  channel.close();
  for (auto &t : consumers) t.join();
  EXPECT(received.load(), 10L * 499 * 500 / 2);

  std::once_flag once;
  int runs = 0;
  {
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++) threads.emplace_back([&] { std::call_once(once, [&] { runs++; }); });
    for (auto &t : threads) t.join();
  }
  EXPECT(runs, 1);

  std::shared_mutex shared;
  long value = 0;
  std::atomic<bool> torn{false};
  {
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; i++)
      threads.emplace_back([&, i] {
        for (int k = 0; k < 200; k++)
          if (i < 2) {
            std::unique_lock lock(shared);
            value += 2;
          } else {
            std::shared_lock lock(shared);
            if (value % 2) torn = true;
          }
      });
    for (auto &t : threads) t.join();
  }
  EXPECT(value, 800);
  CHECK(!torn);

  std::timed_mutex timed;
  timed.lock();
  bool got = true;
  std::thread([&] { got = timed.try_lock_for(std::chrono::milliseconds(20)); }).join();
  CHECK(!got);
  timed.unlock();

  // A struct of 16 bytes needs the library's locks; smaller ones don't.
  struct Pair {
    int a, b;
  };
  std::atomic<Pair> pair{{0, 0}};
  {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
      threads.emplace_back([&pair] {
        for (int k = 0; k < 2000; k++) {
          Pair old = pair.load(), next;
          do next = {old.a + 1, old.b - 1};
          while (!pair.compare_exchange_weak(old, next));
        }
      });
    for (auto &t : threads) t.join();
  }
  EXPECT(pair.load().a, 8000);
  EXPECT(pair.load().b, -8000);
  std::atomic<unsigned char> byte{0};
  std::atomic<short> half{0};
  {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
      threads.emplace_back([&] {
        for (int k = 0; k < 1000; k++) byte++, half--;
      });
    for (auto &t : threads) t.join();
  }
  EXPECT(byte.load(), 4000 % 256);
  EXPECT(half.load(), -4000);
  return report("threads++");
}
