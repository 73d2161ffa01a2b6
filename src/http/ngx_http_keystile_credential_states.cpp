#include "ngx_http_keystile_credential_states.hpp"

#include "core/running_digest.hpp"
#include "ngx_http_keystile_conf.hpp"

namespace keystile {
namespace {

using namespace ngx::literals;

struct Slot {
    CredentialState state;
    Sha256Digest fingerprint;
    std::uint64_t generation;  // of the latest configuration with it; 0: free
};

// A reload may fail after it came here, so the slots of the configuration
// before it are left alone.
constexpr std::size_t kSlots = 4 * kMostCredentials;

struct Table {
    std::uint64_t generation;
    std::array<Slot, kSlots> slots;
};

// Slots are found by the master alone, before it starts workers.
Slot *find_slot(Table &table, const Sha256Digest &fingerprint) noexcept {
    Slot *oldest = nullptr;
    for (auto &slot : table.slots) {
        if (slot.generation != 0 && slot.fingerprint == fingerprint) {
            return &slot;
        }
        if (slot.generation != table.generation &&
            (oldest == nullptr || slot.generation < oldest->generation)) {
            oldest = &slot;
        }
    }
    if (oldest != nullptr) {
        new (oldest) Slot{};
        oldest->fingerprint = fingerprint;
    }
    return oldest;
}

ngx_int_t init_states(ngx_shm_zone_t *shm, void *before) noexcept {
    auto *slab = reinterpret_cast<ngx_slab_pool_t *>(shm->shm.addr);
    if (before == nullptr && !shm->shm.exists) {
        void *memory = ngx_slab_calloc(slab, sizeof(Table));
        slab->data = memory == nullptr ? nullptr : new (memory) Table{};
    }
    auto *table = static_cast<Table *>(slab->data);
    if (table == nullptr) {
        return NGX_ERROR;
    }

    auto &conf = *static_cast<MainConf *>(shm->data);
    table->generation++;
    for (auto *credential : ngx::elements<Credential *>(&conf.credentials)) {
        auto *slot = find_slot(*table, credential->fingerprint);
        if (slot == nullptr) {
            return NGX_ERROR;
        }
        slot->generation = table->generation;
        credential->state = &slot->state;
    }
    return NGX_OK;
}

}  // namespace

ngx_int_t add_credential_states(ngx_conf_t *cf, MainConf &conf) noexcept {
    if (conf.credentials.nelts == 0) {
        return NGX_OK;
    }
    // The slab pool needs pages for itself.
    auto size = sizeof(Table) + 16 * ngx_pagesize;
    static ngx_str_t name = "keystile credentials"_ngx;
    auto *shm =
        ngx_shared_memory_add(cf, &name, size, &ngx_http_keystile_module);
    if (shm == nullptr) {
        return NGX_ERROR;
    }
    shm->init = init_states;
    shm->data = &conf;
    return NGX_OK;
}

std::optional<Sha256Digest> make_fingerprint(
    const ngx_str_t &name, const Sha256Digest &key) noexcept {
    RunningDigest digest;
    digest.take(ngx::view(name));
    digest.take({reinterpret_cast<const char *>(key.data()), key.size()});
    return digest.end();
}

}  // namespace keystile
