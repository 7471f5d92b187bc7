// Errors of C++ as texts: no exception may cross into Rust.
#pragma once
#include <exception>
#include <string>

/// Runs code that may throw. Returns null on success, otherwise the message, which is valid until
/// this thread's next call.
template <class Work>
const char* guarded(Work&& work) noexcept {
  thread_local std::string words;
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    try {
      words = error.what();
      return words.c_str();
    } catch (...) {
      return "an error without room for its words";
    }
  } catch (...) {
    return "an error that is no exception of C++'s library";
  }
}
