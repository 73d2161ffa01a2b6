// Any bytes as a state file: refused, or read so that what is written of it
// reads the same again. The last line is made to fit, or nearly nothing would
// be read.

#include "state_file.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "check.hpp"
#include "state_generation.hpp"
#include "state_words.hpp"

namespace keystile {
namespace {

constexpr std::size_t kSize = MeterZone::kLeastSize;
constexpr std::int64_t kNow = 1'800'000'000;

struct Sink final : TextSink {
    void put(std::string_view piece) noexcept override { text += piece; }
    std::string text;
};

class Zone {
public:
    Zone()
        : memory_{static_cast<std::byte *>(std::aligned_alloc(64, kSize)),
                  std::free} {
        std::memset(memory_.get(), 0, kSize);
        zone_ = MeterZone::create({memory_.get(), kSize}, kNow);
        check(zone_ != nullptr, "there is a zone");
    }
    MeterZone &operator*() const { return *zone_; }
    MeterZone *operator->() const { return zone_; }
    std::string bytes() const {
        return {reinterpret_cast<const char *>(memory_.get()), kSize};
    }

private:
    std::unique_ptr<std::byte, decltype(&std::free)> memory_;
    MeterZone *zone_;
};

std::string written(const Zone &zone) {
    Sink sink;
    StateWriter writer;
    writer.begin(*zone, zone->save_generation, kNow, sink);
    while (writer.write_some(*zone, 3, sink)) {
    }
    return sink.text;
}

std::string written_again(std::string_view text) {
    Zone zone;
    check(read_state(text, *zone, {}).has_value(),
          "what is written can be read");
    return written(zone);
}

std::string sealed(std::string_view text) {
    auto end = text.rfind("\nend ");
    std::string lines{text.substr(0, end)};
    if (!lines.ends_with('\n')) {
        lines += '\n';
    }
    RunningDigest digest;
    digest.take(lines);
    auto hex = state_words::hex_of(*digest.end());
    auto count = std::count(lines.begin(), lines.end(), '\n');
    return lines + "end " + std::to_string(count) + " " +
           std::string{hex.data(), hex.size()} + "\n";
}

void check_text(std::string_view text) {
    Zone zone;
    auto before = zone.bytes();
    auto read = read_state(text, *zone, {});
    if (!read) {
        check(!describe(read.error().fault).empty(), "a fault has a sentence");
        check(zone.bytes() == before, "an error leaves the zone as it was");
        return;
    }
    check(peek_generation(text) == read->generation, "it has a generation");
    check(peek_head(text) == read->generation, "which its first line tells");
    check(read->clients_dropped == 0, "nothing is dropped without a filter");
    check((read->without_room == 0) == (zone->full() == 0),
          "what finds no room is counted");

    // Limits change their order each time, and a client without figures goes.
    auto second = written_again(written(zone));
    auto fourth = written_again(written_again(second));
    check(fourth == second, "nothing is lost");
}

}  // namespace
}  // namespace keystile

int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    auto text = text_of(bytes, size);
    keystile::check_text(text);
    keystile::check_text(keystile::sealed(text));
    return 0;
}
