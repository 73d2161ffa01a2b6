// Directive handlers (ngx_command_t.set): each records what was written, and
// refuses what can be judged on the spot. The reference is in README.md.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

char *set_credential(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_client_keys(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_prices(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_next_credential(ngx_conf_t *cf, ngx_command_t *cmd,
                          void *conf) noexcept;
char *set_meter(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_record(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_usage(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_health(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_allow(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_set_header(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;

// A list of words, given once: keystile_admit, keystile_inject.
// cmd->offset is that of the array.
char *set_words(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;
char *set_key_headers(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) noexcept;

// Says that a word of the directive is wrong, and why; a conf_error().
char *refuse(ngx_conf_t *cf, const ngx_str_t &word,
             std::string_view why) noexcept;

// The array at `slot`, made when this is its first line on this level.
ngx_array_t *own_array(ngx_conf_t *cf, ngx_array_t *&slot,
                       std::size_t size) noexcept;

// ngx_conf_post_t handlers: of the size of a buffer in which an error of ours
// must fit, and of a string that must not depend on the request.
char *check_buffer_size(ngx_conf_t *cf, void *post, void *size) noexcept;
char *refuse_variables(ngx_conf_t *cf, void *post, void *string) noexcept;

}  // namespace keystile
