// C++ without threads: exceptions over many frames, casts, containers, algorithms, streams, regular expressions.
#include <algorithm>
#include <deque>
#include <functional>
#include <iomanip>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "check.h"

static int alive;
struct Guard {
  Guard() { alive++; }
  ~Guard() { alive--; }
};

struct Failure : std::runtime_error {
  int depth;
  Failure(int d) : std::runtime_error("failure"), depth(d) {}
};

static int __attribute__((noinline)) dig(int depth, int at) {
  Guard guard;
  std::string keep(100, 'x');
  if (depth == at) throw Failure(depth);
  try {
    return dig(depth + 1, at) + (int)keep.size();
  } catch (const std::logic_error &) {
    return -1;
  }
}

static void nestedThrow() {
  try {
    throw std::out_of_range("inner");
  } catch (...) {
    std::throw_with_nested(std::runtime_error("outer"));
  }
}

struct Shape {
  virtual ~Shape() = default;
  virtual double area() const = 0;
};
struct Square : Shape {
  double side;
  Square(double s) : side(s) {}
  double area() const override { return side * side; }
};
struct Circle : Shape {
  double radius;
  Circle(double r) : radius(r) {}
  double area() const override { return 3.25 * radius * radius; }
};

int main() {
  for (int at : {0, 1, 10, 500}) {
    int depth = -1;
    try {
      dig(0, at);
    } catch (const std::exception &e) {
      depth = dynamic_cast<const Failure &>(e).depth;
    }
    EXPECT(depth, at);
    EXPECT(alive, 0);
  }
  std::string chain;
  try {
    nestedThrow();
  } catch (const std::exception &e) {
    chain = e.what();
    try {
      std::rethrow_if_nested(e);
    } catch (const std::exception &inner) {
      chain += std::string("<") + inner.what();
    }
  }
  CHECK(chain == "outer<inner");
  int rethrown = 0;
  for (int i = 0; i < 300; i++) try {
      try {
        throw i;
      } catch (int) {
        throw;
      }
    } catch (int value) {
      rethrown += value;
    }
  EXPECT(rethrown, 299 * 300 / 2);
  bool bad = false;
  try {
    std::vector<int>().at(3);
  } catch (const std::out_of_range &) {
    bad = true;
  }
  CHECK(bad);
  bad = false;
  try {
    std::vector<char> v(1UL << 62);
  } catch (const std::bad_alloc &) {
    bad = true;
  } catch (const std::length_error &) {
    bad = true;
  }
  CHECK(bad);

  std::vector<std::unique_ptr<Shape>> shapes;
  for (int i = 1; i <= 10; i++)
    if (i % 2) shapes.push_back(std::make_unique<Square>(i));
    else shapes.push_back(std::make_unique<Circle>(i));
  double total = 0;
  int squares = 0;
  for (auto &s : shapes) {
    total += s->area();
    squares += dynamic_cast<Square *>(s.get()) != nullptr;
  }
  CHECK(total == 165 + 3.25 * 220);
  EXPECT(squares, 5);

  std::mt19937_64 random(42);
  std::map<int, std::string> map;
  std::unordered_map<std::string, int> counts;
  std::multiset<long> set;
  std::list<int> list;
  for (int i = 0; i < 5000; i++) {
    int n = (int)(random() % 1000);
    map[n] = std::to_string(n);
    counts["k" + std::to_string(n % 97)]++;
    set.insert(n);
    list.push_front(n);
  }
  list.sort();
  CHECK(std::is_sorted(list.begin(), list.end()));
  CHECK(std::equal(list.begin(), list.end(), set.begin()));
  EXPECT(std::accumulate(counts.begin(), counts.end(), 0L, [](long a, auto &b) { return a + b.second; }), 5000);
  for (auto &[key, text] : map) CHECK(std::stoi(text) == key);
  std::vector<int> numbers(20000);
  std::generate(numbers.begin(), numbers.end(), [&] { return (int)(random() >> 40); });
  auto copy = numbers;
  std::sort(numbers.begin(), numbers.end());
  std::stable_sort(copy.begin(), copy.end());
  CHECK(numbers == copy);
  std::make_heap(copy.begin(), copy.end(), std::greater<>());
  CHECK(copy.front() == numbers.front());

  std::ostringstream out;
  out << std::setprecision(12) << 1.0 / 7 << ' ' << std::hex << 48879 << ' ' << std::setw(6) << std::setfill('.') << "x" << ' '
      << std::boolalpha << true << ' ' << std::scientific << 12345.678;
  std::cout << out.str() << '\n';
  std::istringstream in("12 3.5 word rest of line");
  int i;
  double d;
  std::string word, rest;
  in >> i >> d >> word;
  std::getline(in, rest);
  CHECK(i == 12 && d == 3.5 && word == "word" && rest == " rest of line");

  std::regex pattern(R"((\w+)@(\w+)\.(com|org))");
  std::smatch match;
  std::string text = "write to someone@example.org or nobody@nowhere.com today";
  int found = 0;
  for (auto it = std::sregex_iterator(text.begin(), text.end(), pattern); it != std::sregex_iterator(); ++it) {
    std::cout << (*it)[1] << " at " << (*it)[2] << '\n';
    found++;
  }
  EXPECT(found, 2);
  std::variant<int, std::string> either = "text";
  CHECK(std::holds_alternative<std::string>(either));
  std::optional<int> nothing;
  EXPECT(nothing.value_or(9), 9);
  std::function<int(int)> twice = [&](int n) { return n > 100 ? n : twice(n * 2); };
  EXPECT(twice(3), 192);
  std::cout << std::flush;
  return report("language++");
}
