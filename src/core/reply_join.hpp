// What the joiners of the four interfaces have in common (reply_joiner.hpp).

#pragma once

#include <jansson.h>

#include <memory>
#include <string_view>

#include "heap_text.hpp"
#include "json_element.hpp"

namespace keystile {

// Texts that come in pieces, each known by two numbers and a name: adding to
// a string of jansson's would copy it each time.
class TextPieces {
public:
    struct Piece {
        json_int_t first;
        json_int_t second;
        char name[40];
        HeapText text;
        Piece *next = nullptr;
    };

    TextPieces() noexcept = default;
    ~TextPieces();
    TextPieces(const TextPieces &) = delete;
    TextPieces &operator=(const TextPieces &) = delete;

    // Adds to the text of that name. False when there are too many of them,
    // when the name is too long, or out of memory.
    bool add(json_int_t first, json_int_t second, std::string_view name,
             std::string_view text) noexcept;

    // The text, which is another each time it is asked for; null if there is
    // none.
    json_t *find(json_int_t first, json_int_t second,
                 std::string_view name) const noexcept;

    // Calls visit(piece) for each, in the order in which they began.
    template <typename Visit>
    void for_each(Visit visit) const noexcept {
        for (const auto *piece = first_; piece != nullptr;
             piece = piece->next) {
            visit(*piece);
        }
    }

    static json_t *string_of(const Piece &piece) noexcept;

private:
    static constexpr std::size_t kMost = 4096;

    Piece *first_ = nullptr;
    Piece *last_ = nullptr;
    Piece *recent_ = nullptr;
    std::size_t count_ = 0;
};

class ReplyJoin {
public:
    ReplyJoin() noexcept = default;
    virtual ~ReplyJoin() = default;
    ReplyJoin(const ReplyJoin &) = delete;
    ReplyJoin &operator=(const ReplyJoin &) = delete;

    // An object. False when there is no memory for it.
    virtual bool take(std::string_view type, json_t *event) noexcept = 0;

    // The last event was there.
    virtual bool is_whole(bool ended) const noexcept = 0;

    // The reply; once. Null when out of memory.
    virtual Json end() noexcept = 0;
};

std::unique_ptr<ReplyJoin> join_responses() noexcept;
std::unique_ptr<ReplyJoin> join_chat() noexcept;
std::unique_ptr<ReplyJoin> join_messages() noexcept;
std::unique_ptr<ReplyJoin> join_gemini() noexcept;

// Null for what is no JSON, or deeper than kDeepestJson.
json_t *parse_event(std::string_view text) noexcept;

// The text of a member that is a string, else empty.
std::string_view text_member(const json_t *object, const char *name) noexcept;

// The number of a member that is an integer, else `otherwise`.
json_int_t number_member(const json_t *object, const char *name,
                         json_int_t otherwise = 0) noexcept;

// Sets a member to a value that some other object has, too. Does nothing
// where the value is null. False when out of memory.
bool share(json_t *object, const char *name, json_t *value) noexcept;

// The member, made as an empty object or array where there is none of that
// type. Null when out of memory.
json_t *object_member(json_t *object, const char *name) noexcept;
json_t *array_member(json_t *object, const char *name) noexcept;

// The element of an array of objects whose "index" is that number, made where
// there is none. Null when out of memory, and when there are too many.
json_t *indexed(json_t *array, json_int_t index) noexcept;

}  // namespace keystile
