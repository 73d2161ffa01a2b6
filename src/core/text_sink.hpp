// Where text goes piece by piece: a chain of buffers, a file, a string.

#pragma once

#include <string_view>

namespace keystile {

class TextSink {
public:
    // What is put after an error is lost; the owner of the sink knows of it.
    virtual void put(std::string_view text) noexcept = 0;

protected:
    ~TextSink() = default;
};

}  // namespace keystile
