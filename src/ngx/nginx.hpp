// nginx's C API, and the least of C++ that makes it pleasant. The only header
// that includes nginx; it must come before any system header, since it sets
// _GNU_SOURCE and _FILE_OFFSET_BITS.
//
// Nothing here owns anything: memory is the pool's, strings are views.

#pragma once

extern "C" {
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_http.h>
#if (NGX_HTTP_SSL)
#include <ngx_http_ssl_module.h>
#endif
}

#include <cstddef>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "compat.hpp"

namespace ngx {

inline std::string_view view(const ngx_str_t &s) noexcept {
    return {reinterpret_cast<const char *>(s.data), s.len};
}

// nginx takes u_char * even where it does not write.
inline ngx_str_t str(std::string_view s) noexcept {
    return {s.size(),
            reinterpret_cast<u_char *>(const_cast<char *>(s.data()))};
}

inline char *conf_error() noexcept {
    return static_cast<char *>(NGX_CONF_ERROR);
}
inline char *conf_message(const char *text) noexcept {
    return const_cast<char *>(text);
}

template <typename T>
T *unset_ptr() noexcept {
    return static_cast<T *>(NGX_CONF_UNSET_PTR);
}

template <typename T>
bool is_unset(T *pointer) noexcept {
    return pointer == unset_ptr<T>();
}

// The elements of an array, which may be null.
template <typename T>
std::span<T> elements(const ngx_array_t *array) noexcept {
    if (array == nullptr || array == NGX_CONF_UNSET_PTR) {
        return {};
    }
    return {static_cast<T *>(array->elts), array->nelts};
}

// A value-initialised T from the pool, or null. T's destructor never runs.
template <typename T, typename... Args>
T *make(ngx_pool_t *pool, Args &&...args) noexcept {
    void *memory = ngx_palloc(pool, sizeof(T));
    return memory == nullptr ? nullptr
                             : new (memory) T{std::forward<Args>(args)...};
}

// `count` value-initialised Ts from the pool, or an empty span.
template <typename T>
std::span<T> make_array(ngx_pool_t *pool, std::size_t count) noexcept {
    auto *first = static_cast<T *>(ngx_palloc(pool, count * sizeof(T)));
    if (first == nullptr) {
        return {};
    }
    for (std::size_t i = 0; i < count; i++) {
        new (first + i) T{};
    }
    return {first, count};
}

// A T whose destructor runs when the pool is destroyed: it is the pool's
// cleanup. Null when out of memory.
template <typename T>
void destroy(void *object) noexcept {
    static_cast<T *>(object)->~T();
}

template <typename T, typename... Args>
T *make_owned(ngx_pool_t *pool, Args &&...args) noexcept {
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(pool, sizeof(T));
    if (cln == nullptr) {
        return nullptr;
    }
    T *object = new (cln->data) T{std::forward<Args>(args)...};
    cln->handler = destroy<T>;
    return object;
}

// The T that make_owned<T> left in the pool, or null.
template <typename T>
T *find_owned(ngx_pool_t *pool) noexcept {
    for (auto *cln = pool->cleanup; cln != nullptr; cln = cln->next) {
        if (cln->handler == &destroy<T>) {
            return static_cast<T *>(cln->data);
        }
    }
    return nullptr;
}

// As if none of the peers had been tried for this request yet.
inline void forget_tried_peers(ngx_http_upstream_rr_peer_data_t &rr) noexcept {
    constexpr std::size_t bits = 8 * sizeof(uintptr_t);
    auto words = (rr.peers->number + bits - 1) / bits;
    ngx_memzero(rr.tried, words * sizeof(uintptr_t));
}

// A copy in the pool; data is null when out of memory.
inline ngx_str_t copy(ngx_pool_t *pool, std::string_view s) noexcept {
    ngx_str_t from = str(s);
    ngx_str_t to = ngx_null_string;
    to.data = ngx_pstrdup(pool, &from);
    to.len = to.data == nullptr ? 0 : s.size();
    return to;
}

// Calls visit(header) for each element of a list of headers until it returns
// false; returns false when a visit did. Deleted headers are included.
template <typename Visit>
bool for_each_header(ngx_list_t &list, Visit visit) noexcept {
    for (auto *part = &list.part; part != nullptr; part = part->next) {
        auto *headers = static_cast<ngx_table_elt_t *>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (!visit(headers[i])) {
                return false;
            }
        }
    }
    return true;
}

// Adds a header to a list; null when out of memory. Views must outlive the
// request. `lowcase` must be the lower-case form of `name`.
inline ngx_table_elt_t *add_header(ngx_list_t &list, std::string_view name,
                                   std::string_view lowcase,
                                   std::string_view value) noexcept {
    auto *h = static_cast<ngx_table_elt_t *>(ngx_list_push(&list));
    if (h == nullptr) {
        return nullptr;
    }
    *h = {};
    h->key = str(name);
    h->value = str(value);
    h->lowcase_key = str(lowcase).data;
    h->hash = ngx_hash_key(h->lowcase_key, lowcase.size());
    return h;
}

// "text"_ngx is an ngx_str_t that is a constant expression; ngx_string() is
// none, since it casts char to u_char.
template <std::size_t N>
struct Text {
    u_char data[N];

    consteval Text(const char (&text)[N]) : data{} {
        for (std::size_t i = 0; i < N; i++) {
            data[i] = static_cast<u_char>(text[i]);
        }
    }
};

template <Text T>
inline constinit auto stored_text = T;

namespace literals {

template <Text T>
consteval ngx_str_t operator""_ngx() {
    return {sizeof(T.data) - 1, stored_text<T>.data};
}

}  // namespace literals
}  // namespace ngx
