// A main() for a fuzz target without a fuzzer: gives it each file that is
// named, so that a corpus is also a test where there is no libFuzzer.

#include <fstream>
#include <iterator>
#include <string>

#include "check.hpp"

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        std::ifstream file{argv[i], std::ios::binary};
        std::string text{std::istreambuf_iterator<char>{file}, {}};
        if (!file) {
            std::fprintf(stderr, "cannot read %s\n", argv[i]);
            return 1;
        }
        std::fprintf(stderr, "%s\n", argv[i]);
        LLVMFuzzerTestOneInput(
            reinterpret_cast<const std::uint8_t *>(text.data()), text.size());
    }
    return argc > 1 ? 0 : 1;
}
