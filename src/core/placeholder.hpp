// Values that stand where a key should be.
//
// Sandboxes hand their clients a placeholder, since most insist on a key; one
// that ends up in a credential file is a deployment mistake, which is better
// found at start than as a 401 from the provider.

#pragma once

#include <string_view>

namespace keystile {

// True for the placeholders of known sandboxes, and for what documentation
// shows instead of a key: "sk-...", "<your-api-key>", "changeme", "sk-xxxx".
bool is_known_placeholder(std::string_view key) noexcept;

}  // namespace keystile
