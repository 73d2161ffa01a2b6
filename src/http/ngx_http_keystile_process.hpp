// What each nginx process keeps for itself, over the life of a cycle.

#pragma once

#include "ngx/nginx.hpp"

#include "core/digest.hpp"
#include "core/request_id.hpp"

namespace keystile {

// ngx_module_t callbacks.
ngx_int_t init_module(ngx_cycle_t *cycle) noexcept;
ngx_int_t init_process(ngx_cycle_t *cycle) noexcept;
void exit_process(ngx_cycle_t *cycle) noexcept;

// Requires a worker between init_process() and exit_process().
Sha256 &process_sha256() noexcept;
RequestIds &process_request_ids() noexcept;

// Whether this process holds every credential in locked memory.
bool credentials_locked() noexcept;

}  // namespace keystile
