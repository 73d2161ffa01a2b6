#include "body_decoder.hpp"

#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <new>

#include "ascii.hpp"

namespace keystile {

// One coding. Its stream may be several, one after another, of which each is
// read by a library in steps.
class BodyDecoder::Layer {
public:
    Layer() noexcept = default;
    virtual ~Layer() = default;
    Layer(const Layer &) = delete;
    Layer &operator=(const Layer &) = delete;

    // Removes from `piece` what was read and returns what it decodes to, until
    // the next call. There is more to come unless both are empty.
    std::string_view next(std::string_view &piece) noexcept;

    bool is_complete() const noexcept { return state_ == State::ended; }
    bool is_broken() const noexcept { return state_ == State::broken; }

    // Bytes that were read, and those of them that were of streams with nothing
    // in them.
    std::uint64_t bytes_read() const noexcept { return read_; }
    std::uint64_t bytes_barren() const noexcept { return barren_; }

protected:
    enum class State : std::uint8_t { begun, inside, ended, broken };

    struct Step {
        std::size_t read;
        std::size_t written;
        State state;
    };

    static constexpr std::size_t kRoom = 16384;

    // Decodes some of `piece` to room(), and says where the stream is now.
    virtual Step step(std::string_view piece) noexcept = 0;

    // Makes ready for another stream; false if none may follow.
    virtual bool restart() noexcept = 0;

    char *room() noexcept { return room_.data(); }

private:
    void count(const Step &done) noexcept;

    std::array<char, kRoom> room_;
    std::uint64_t read_ = 0;
    std::uint64_t barren_ = 0;
    std::uint64_t read_of_stream_ = 0;
    bool is_barren_ = true;  // the stream, so far
    State state_ = State::begun;
    bool is_full_ = false;  // room_ was: there may be more without more input
};

std::string_view BodyDecoder::Layer::next(std::string_view &piece) noexcept {
    if (state_ == State::broken || (piece.empty() && !is_full_)) {
        return {};
    }
    if (state_ == State::ended && !restart()) {
        state_ = State::broken;
        return {};
    }
    auto done = step(piece);
    if (done.state == State::inside && done.read + done.written == 0 &&
        !piece.empty()) {
        done.state = State::broken;  // it would be given the same for ever
    }
    count(done);
    state_ = done.state;
    is_full_ = state_ == State::inside && done.written == kRoom;
    piece.remove_prefix(done.read);
    return {room_.data(), done.written};
}

void BodyDecoder::Layer::count(const Step &done) noexcept {
    read_ += done.read;
    read_of_stream_ += done.read;
    is_barren_ = is_barren_ && done.written == 0;
    if (done.state == State::ended) {
        barren_ += is_barren_ ? read_of_stream_ : 0;
        read_of_stream_ = 0;
        is_barren_ = true;
    }
}

// gzip (RFC 1952), whose members may be several, and deflate, by which RFC 9110
// means the zlib format (RFC 1950), and many servers the bare deflate (RFC
// 1951) as well.
class BodyDecoder::Inflate final : public Layer {
public:
    enum class Format : std::uint8_t { gzip, deflate };

    explicit Inflate(Format format) noexcept
        : format_{format}, is_decided_{format == Format::gzip} {
        is_ready_ =
            inflateInit2(&stream_, format == Format::gzip ? kGzip : kZlib) ==
            Z_OK;
    }
    ~Inflate() override {
        inflateEnd(&stream_);
    }  // knows one that is not ready

    bool is_ready() const noexcept { return is_ready_; }

private:
    static constexpr int kZlib = MAX_WBITS;
    static constexpr int kGzip = MAX_WBITS + 16;
    static constexpr int kBare = -MAX_WBITS;

    Step step(std::string_view piece) noexcept override;
    Step decide(char second) noexcept;
    Step run(std::string_view piece) noexcept;

    bool restart() noexcept override {
        return format_ == Format::gzip && inflateReset(&stream_) == Z_OK;
    }

    z_stream stream_{};
    Format format_;
    bool is_decided_;  // zlib or bare
    bool is_ready_;
    std::array<char, 2> head_{};  // while it is not decided
    bool has_first_ = false;
};

BodyDecoder::Layer::Step BodyDecoder::Inflate::step(
    std::string_view piece) noexcept {
    if (is_decided_) {
        return run(piece);
    }
    if (has_first_) {
        return decide(piece.front());
    }
    head_[0] = piece.front();
    has_first_ = true;
    return {1, 0, State::inside};
}

// RFC 1950 2.2: method 8, a window of 32 KB at most, and the two bytes as a
// number are a multiple of 31. No bare stream of a usual compressor begins so.
BodyDecoder::Layer::Step BodyDecoder::Inflate::decide(char second) noexcept {
    head_[1] = second;
    is_decided_ = true;
    auto first = static_cast<unsigned char>(head_[0]);
    auto number = first * 256U + static_cast<unsigned char>(second);
    bool is_zlib =
        (first & 0x0FU) == 8 && first >> 4U <= 7 && number % 31 == 0;
    if (!is_zlib && inflateReset2(&stream_, kBare) != Z_OK) {
        return {1, 0, State::broken};
    }
    // Even the shortest of streams does not end before its second byte.
    auto done = run({head_.data(), head_.size()});
    return {1, done.written, done.read == 2 ? done.state : State::broken};
}

BodyDecoder::Layer::Step BodyDecoder::Inflate::run(
    std::string_view piece) noexcept {
    auto size = static_cast<uInt>(
        std::min<std::size_t>(piece.size(), std::size_t{1} << 30U));
    stream_.next_in = reinterpret_cast<const Bytef *>(piece.data());
    stream_.avail_in = size;
    stream_.next_out = reinterpret_cast<Bytef *>(room());
    stream_.avail_out = kRoom;
    int code = inflate(&stream_, Z_NO_FLUSH);
    // Z_BUF_ERROR only says that there was nothing to do.
    auto state = code == Z_STREAM_END                  ? State::ended
                 : code == Z_OK || code == Z_BUF_ERROR ? State::inside
                                                       : State::broken;
    return {size - stream_.avail_in, kRoom - stream_.avail_out, state};
}

// RFC 8878: frames, and frames to be skipped.
class BodyDecoder::Zstd final : public Layer {
public:
    Zstd() noexcept : stream_{ZSTD_createDStream()} {}

    bool is_ready() const noexcept {
        return stream_ != nullptr &&
               ZSTD_isError(ZSTD_DCtx_setParameter(
                   stream_.get(), ZSTD_d_windowLogMax, kWindowLog)) == 0;
    }

private:
    struct Free {
        void operator()(ZSTD_DStream *stream) const noexcept {
            ZSTD_freeDStream(stream);
        }
    };

    static constexpr int kWindowLog = 23;  // RFC 9659
    static constexpr std::size_t kLongestHeader = 18;

    Step step(std::string_view piece) noexcept override;

    bool restart() noexcept override {
        in_header_ = 0;
        return true;
    }

    std::unique_ptr<ZSTD_DStream, Free> stream_;
    std::size_t in_header_ = 0;  // bytes of the frame, as far as it may reach
};

// A header is given byte by byte. When it ends in what is given, the library
// takes the beginning of that for the beginning of the frame and looks for a
// whole small frame there: a header that ends in another piece than it began
// in could be read as something else than it is, and nothing is asked of the
// window of a frame that is found. Formats from before RFC 8878, with windows
// of their own, it knows by four bytes that it is given together.
BodyDecoder::Layer::Step BodyDecoder::Zstd::step(
    std::string_view piece) noexcept {
    if (in_header_ < kLongestHeader && !piece.empty()) {
        in_header_++;
        piece = piece.substr(0, 1);
    }
    ZSTD_inBuffer in{piece.data(), piece.size(), 0};
    ZSTD_outBuffer out{room(), kRoom, 0};
    auto code = ZSTD_decompressStream(stream_.get(), &out, &in);
    auto state = ZSTD_isError(code) != 0 ? State::broken
                 : code == 0             ? State::ended
                                         : State::inside;
    return {in.pos, out.pos, state};
}

BodyDecoder::BodyDecoder(std::uint64_t most) noexcept : most_{most} {
    left_.fill(most);
}

BodyDecoder::~BodyDecoder() = default;

bool BodyDecoder::add(std::string_view content_encoding) noexcept {
    bool is_known = for_each_element(
        content_encoding, ',',
        [this](std::string_view coding) { return push(coding); });
    return is_known || stop(State::broken);
}

bool BodyDecoder::push(std::string_view coding) noexcept {
    auto is = [coding](std::string_view name) {
        return equals_ignoring_case(coding, name);
    };
    auto keep = [this](auto *layer) {
        std::unique_ptr<Layer> owned{layer};
        if (layer == nullptr || !layer->is_ready()) {
            return false;
        }
        layers_[count_++] = std::move(owned);
        return true;
    };
    if (is("identity")) {
        return true;
    }
    if (count_ == kMostCodings) {
        return false;
    }
    if (is("zstd")) {
        return keep(new (std::nothrow) Zstd);
    }
    if (is("gzip") || is("x-gzip")) {
        return keep(new (std::nothrow) Inflate{Inflate::Format::gzip});
    }
    return is("deflate") &&
           keep(new (std::nothrow) Inflate{Inflate::Format::deflate});
}

bool BodyDecoder::take(std::string_view piece,
                       const Visitor &visitor) noexcept {
    if (state_ == State::reading) {
        is_plain() ? yield(0, piece, visitor) : decode(count_, piece, visitor);
        if (state_ != State::reading) {
            close();
        }
    }
    return state_ == State::reading || state_ == State::left;
}

// Gives `piece` to a layer, counted from 1. False when all is over, as with
// yield().
bool BodyDecoder::decode(std::size_t level, std::string_view piece,
                         const Visitor &visitor) noexcept {
    auto &layer = *layers_[level - 1];
    for (;;) {
        auto part = layer.next(piece);
        if (layer.is_broken()) {
            return stop(State::broken);
        }
        if (part.empty() && piece.empty()) {
            return true;
        }
        if (!yield(level - 1, part, visitor)) {
            return false;
        }
    }
}

// Gives a part of what is below `level` layers to the next, or to the visitor.
bool BodyDecoder::yield(std::size_t level, std::string_view part,
                        const Visitor &visitor) noexcept {
    if (part.empty()) {
        return true;
    }
    if (part.size() > left_[level]) {
        return stop(State::too_large);
    }
    left_[level] -= part.size();
    if (!is_plain() && is_blown_up(level)) {
        return stop(State::too_large);
    }
    if (level > 0) {
        return decode(level, part, visitor);
    }
    return visitor.visit(visitor.to, part) || stop(State::left);
}

// A stream in which there is nothing may be in another coding.
bool BodyDecoder::is_blown_up(std::size_t level) const noexcept {
    auto come = most_ - left_[level];
    if (come <= kHeadStart) {
        return false;
    }
    auto read = layers_[count_ - 1]->bytes_read();
    std::uint64_t barren = 0;
    for (std::size_t i = level; i < count_; i++) {
        barren += layers_[i]->bytes_barren();
    }
    return barren >= read || come / kMostTimes > read - barren;
}

std::uint64_t BodyDecoder::unpacked() const noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < count_; i++) {
        sum += most_ - left_[i];
    }
    return sum;
}

bool BodyDecoder::stop(State state) noexcept {
    state_ = state;
    return false;
}

void BodyDecoder::close() noexcept {
    for (auto &layer : layers_) {
        layer.reset();
    }
}

bool BodyDecoder::is_complete() const noexcept {
    return state_ == State::reading &&
           std::all_of(layers_.begin(), layers_.begin() + count_,
                       [](const auto &layer) { return layer->is_complete(); });
}

}  // namespace keystile
