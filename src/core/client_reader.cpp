#include "client_reader.hpp"

#include <algorithm>
#include <array>

#include "address_range.hpp"
#include "ascii.hpp"
#include "limit_reader.hpp"
#include "timestamp.hpp"

namespace keystile {
namespace {

bool is_id(std::string_view id) noexcept {
    auto is_id_char = [](char c) {
        return is_alpha(c) || is_digit(c) ||
               std::string_view{"._@-"}.find(c) != std::string_view::npos;
    };
    return !id.empty() && id.size() <= 128 &&
           std::all_of(id.begin(), id.end(), is_id_char);
}

// Makes the result from the tree. Each function returns false once it has set
// the file's error.
class Reader {
public:
    explicit Reader(JsonFileReader &file) noexcept : file_{file} {}

    Result<ClientKeys, ClientFileError> read(json_t *root) noexcept;

private:
    bool read_file(const JsonElement &root) noexcept;
    bool read_clients(const JsonElement &list) noexcept;
    bool read_client(const JsonElement &object, std::size_t number) noexcept;
    bool read_member(std::string_view name, const JsonElement &value,
                     std::size_t number) noexcept;
    bool read_id(const JsonElement &value, Client &client) noexcept;
    bool read_keys(const JsonElement &list, std::size_t number) noexcept;
    bool read_key(const JsonElement &value, std::size_t number) noexcept;
    bool read_expires(const JsonElement &value, Client &client) noexcept;
    bool read_disabled(const JsonElement &value, Client &client) noexcept;
    bool read_from(const JsonElement &list, Client &client) noexcept;
    bool read_allow(const JsonElement &list, Client &client) noexcept;
    bool read_rule(const JsonElement &value, Rule &rule) noexcept;

    bool allocate_tables(const JsonElement &clients) noexcept;

    JsonFileReader &file_;
    Json ids_{json_object()};
    std::span<Client> clients_;
    std::span<ClientKeySlot> slots_;
};

Result<ClientKeys, ClientFileError> Reader::read(json_t *root) noexcept {
    if (!read_file(JsonElement{root})) {
        return file_.error();
    }
    return ClientKeys{clients_, slots_};
}

bool Reader::read_file(const JsonElement &root) noexcept {
    if (!json_is_object(root.json)) {
        return file_.fail(root, {"a client-key file must be a JSON object"});
    }
    auto read = [this](std::string_view name, const JsonElement &value) {
        return name == "version"   ? file_.expect_version(value)
               : name == "clients" ? read_clients(value)
                                   : file_.refuse_member(name, value);
    };
    return for_each_member(root, read) &&
           file_.expect_members(root, {"version", "clients"});
}

bool Reader::read_clients(const JsonElement &list) noexcept {
    return file_.expect_list(list, "clients") && allocate_tables(list) &&
           for_each_item(list,
                         [this](std::size_t i, const JsonElement &object) {
                             return read_client(object, i);
                         });
}

// No element of less than a key's length can be valid, so however many there
// are, no memory is needed for more than the text has room for.
bool Reader::allocate_tables(const JsonElement &clients) noexcept {
    constexpr std::size_t key_length = sizeof("\"sha256:\"") - 1 + 64;

    std::size_t keys = 0;
    for_each_item(clients, [&keys](std::size_t, const JsonElement &object) {
        keys += json_array_size(json_object_get(object.json, "keys"));
        return true;
    });
    auto most = file_.text().size() / key_length + 1;
    return file_.allocate(std::min(json_array_size(clients.json), most),
                          clients_) &&
           file_.allocate(client_key_slot_count(std::min(keys, most)), slots_);
}

bool Reader::read_client(const JsonElement &object,
                         std::size_t number) noexcept {
    if (!json_is_object(object.json)) {
        return file_.fail(object, {"a client must be a JSON object"});
    }
    auto read = [=, this](std::string_view name, const JsonElement &value) {
        return read_member(name, value, number);
    };
    return for_each_member(object, read) &&
           file_.expect_members(object, {"id", "keys"}, " of a client") &&
           check_limits(file_, object, clients_[number]);
}

bool Reader::read_member(std::string_view name, const JsonElement &value,
                         std::size_t number) noexcept {
    auto &client = clients_[number];

    return name == "id"         ? read_id(value, client)
           : name == "keys"     ? read_keys(value, number)
           : name == "expires"  ? read_expires(value, client)
           : name == "disabled" ? read_disabled(value, client)
           : name == "from"     ? read_from(value, client)
           : name == "allow"    ? read_allow(value, client)
           : name == "models"   ? read_models(file_, value, client)
           : name == "limits"   ? read_limits(file_, value, client)
                                : file_.refuse_member(name, value);
}

bool Reader::read_id(const JsonElement &value, Client &client) noexcept {
    if (!json_is_string(value.json) || !is_id(text_of(value.json))) {
        return file_.fail(value, {"\"id\" must be a string of 1 to 128 of the "
                                  "characters A-Z a-z 0-9 . _ @ -"});
    }
    auto id = json_string_value(value.json);
    if (json_object_get(ids_.get(), id) != nullptr) {
        return file_.fail(value, {"the id \"", id, "\" is used twice"});
    }
    if (json_object_set_new(ids_.get(), id, json_true()) != 0) {
        return file_.fail_for_lack_of_memory();
    }
    return file_.copy(text_of(value.json), client.id);
}

bool Reader::read_keys(const JsonElement &list, std::size_t number) noexcept {
    return file_.expect_list(list, "keys") &&
           for_each_item(list,
                         [=, this](std::size_t, const JsonElement &value) {
                             return read_key(value, number);
                         });
}

bool Reader::read_key(const JsonElement &value, std::size_t number) noexcept {
    auto digest = json_is_string(value.json)
                      ? parse_sha256(text_of(value.json))
                      : std::nullopt;
    if (!digest) {
        return file_.fail(value,
                          {"a key must be \"sha256:\" and the 64 hexadecimal "
                           "digits of its SHA-256"});
    }
    auto used = insert_client_key(slots_, *digest, number);
    if (used != nullptr) {
        auto owner = clients_[used->client - 1].id;
        return owner.empty() ? file_.fail(value, {"a key is listed twice"})
                             : file_.fail(value, {"client \"", owner,
                                                  "\" has this key"});
    }
    return true;
}

bool Reader::read_expires(const JsonElement &value, Client &client) noexcept {
    if (json_is_string(value.json)) {
        client.expires = parse_timestamp(text_of(value.json));
    }
    return client.expires.has_value() ||
           file_.fail(value,
                      {"\"expires\" must be a date-time of RFC 3339, such as "
                       "\"2027-01-31T00:00:00Z\""});
}

bool Reader::read_disabled(const JsonElement &value, Client &client) noexcept {
    client.disabled = json_is_true(value.json);
    return json_is_boolean(value.json) ||
           file_.fail(value, {"\"disabled\" must be true or false"});
}

bool Reader::read_from(const JsonElement &list, Client &client) noexcept {
    std::span<AddressRange> ranges;
    auto read = [&, this](std::size_t i, const JsonElement &value) {
        auto range = json_is_string(value.json)
                         ? parse_address_range(text_of(value.json))
                         : std::nullopt;
        if (!range) {
            return file_.fail(value,
                              {"an element of \"from\" must be an address or "
                               "a network without host bits, such as "
                               "\"10.0.0.0/8\""});
        }
        ranges[i] = *range;
        return true;
    };
    if (!file_.expect_list(list, "from") ||
        !file_.allocate(json_array_size(list.json), ranges) ||
        !for_each_item(list, read)) {
        return false;
    }
    client.from = ranges;
    return true;
}

bool Reader::read_allow(const JsonElement &list, Client &client) noexcept {
    std::span<Rule> rules;
    auto read = [&, this](std::size_t i, const JsonElement &value) {
        if (!json_is_string(value.json)) {
            return file_.fail(value,
                              {"an element of \"allow\" must be a rule, such "
                               "as \"POST /v1/responses\""});
        }
        return read_rule(value, rules[i]);
    };
    if (!file_.expect_list(list, "allow") ||
        !file_.allocate(json_array_size(list.json), rules) ||
        !for_each_item(list, read)) {
        return false;
    }
    client.allow = rules;
    return true;
}

// Methods, a path and perhaps "websocket": what else a rule can say belongs to
// the location.
bool Reader::read_rule(const JsonElement &value, Rule &rule) noexcept {
    std::string_view text;
    if (!file_.copy(text_of(value.json), text)) {
        return false;
    }
    std::array<std::string_view, 4> words;
    std::size_t count = 0;
    bool few = for_each_element(text, ' ', [&](std::string_view word) {
        bool room = count < words.size();
        if (room) {
            words[count++] = word;
        }
        return room;
    });

    auto parsed = parse_rule(std::span{words}.first(count));
    if (!parsed) {
        return file_.fail(value, {"invalid rule in \"allow\": ",
                                  describe(parsed.error().fault)});
    }
    if (!few || parsed->any_query || !parsed->query.empty() ||
        !parsed->to_path.empty() || parsed->bearer_only) {
        return file_.fail(value,
                          {"invalid rule in \"allow\": expected methods, a "
                           "path and perhaps \"websocket\""});
    }
    rule = *parsed;
    return true;
}

}  // namespace

Result<ClientKeys, ClientFileError> read_clients(
    json_t *root, JsonFileReader &file) noexcept {
    return Reader{file}.read(root);
}

}  // namespace keystile
