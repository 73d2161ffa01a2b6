// Both ends of what a proxy passes: Codex in front of it, and a provider
// behind it, in one process that takes one step after another. Whatever is
// sent waits until what was sent before has come through, so that the proxy
// sees each event and each message by itself, as it does in a real answer.
//
//     traffic KIND PROVIDER_PORT PROXY_PORT CLIENT_KEY CONNECTIONS TURNS
//
// KIND is request (JSON answered with JSON), event (an SSE stream a turn) or
// message (turns on a WebSocket). It makes that many turns, over that many
// connections, and prints what it counted: requests, events or messages. With
// no turns, each connection stays in the middle of one; it then prints "open",
// and waits for the end of its standard input.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "text.hpp"

namespace {

using namespace bench;

constexpr int kDeltas = 500;

// One pair of connections.
struct Pair {
    int client = -1;
    int provider = -1;
    int step = 0;  // of the turn
};

// One end of one. What it waits for ends with `until`.
struct End {
    int number = -1;  // of its pair; -1 if not known yet, or not in use
    bool is_provider = false;
    string_view until;
    string came;
};

[[noreturn]] void die(const char *what) {
    std::perror(what);
    std::exit(1);
}

void put(int fd, string_view bytes) {
    while (!bytes.empty()) {
        auto n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0) {
            die("write");
        }
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

class Traffic {
public:
    Traffic(Kind kind, const char *key, int turns)
        : kind_{kind}, key_{key}, text_{make_text(kind)}, turns_{turns} {}

    void listen(int port) {
        auto there = address(port);
        int yes = 1;
        listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
        ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
        if (::bind(listener_, reinterpret_cast<sockaddr *>(&there),
                   sizeof(there)) != 0 ||
            ::listen(listener_, 1024) != 0) {
            die("listen");
        }
        watch(listener_);
    }

    void connect(int port, int count) {
        auto there = address(port);
        pairs_.resize(static_cast<std::size_t>(count));
        for (int number = 0; number < count; number++) {
            int fd = ::socket(AF_INET, SOCK_STREAM, 0);
            if (::connect(fd, reinterpret_cast<sockaddr *>(&there),
                          sizeof(there)) != 0) {
                die("connect");
            }
            add(fd, false, number);
            pair(number).client = fd;
            begin(number);
            if (holds()) {
                run(static_cast<std::size_t>(number));
            }
        }
    }

    // Until all turns are made, or that many connections are held.
    void run(std::size_t held) {
        while (holds() ? held_ < held : ended_ < turns_) {
            std::array<epoll_event, 64> events;
            int n = ::epoll_wait(epoll_, events.data(), events.size(), -1);
            for (int i = 0; i < n; i++) {
                int fd = events[static_cast<std::size_t>(i)].data.fd;
                fd == listener_ ? accept() : read(fd);
            }
        }
    }

    bool holds() const { return turns_ == 0; }
    long counted() const { return counted_; }

private:
    static sockaddr_in address(int port) {
        sockaddr_in there{};
        there.sin_family = AF_INET;
        there.sin_port = htons(static_cast<std::uint16_t>(port));
        there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return there;
    }

    Pair &pair(int number) { return pairs_[static_cast<std::size_t>(number)]; }
    End &end(int fd) { return ends_[static_cast<std::size_t>(fd)]; }

    void watch(int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    }

    void add(int fd, bool is_provider, int number) {
        int yes = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        if (ends_.size() <= static_cast<std::size_t>(fd)) {
            ends_.resize(static_cast<std::size_t>(fd) + 1);
        }
        end(fd) = End{};
        end(fd).number = number;
        end(fd).is_provider = is_provider;
        end(fd).until = kind_ == Kind::message ? kHeadEnd : kTextEnd;
        watch(fd);
    }

    void accept() {
        int fd = ::accept(listener_, nullptr, nullptr);
        if (fd < 0) {
            die("accept");
        }
        add(fd, true, -1);
    }

    void read(int fd) {
        std::array<char, 65536> bytes;
        auto n = ::read(fd, bytes.data(), bytes.size());
        if (n <= 0) {
            if (!end(fd).is_provider) {
                die("the proxy closed the connection");
            }
            ::close(fd);
            return;
        }
        auto &from = end(fd);
        from.came.append(bytes.data(), static_cast<std::size_t>(n));
        if (string_view{from.came}.ends_with(from.until)) {
            from.is_provider ? asked(fd) : answered(from);
            end(fd).came.clear();
        }
    }

    // A turn, or the handshake before the first one.
    void begin(int number) {
        begun_++;
        end(pair(number).client).until = kind_ == Kind::message ? kHeadEnd
                                         : kind_ == Kind::event ? kEventEnd
                                                                : kTextEnd;
        auto head = request_head(kind_, key_, number, text_.create.size());
        put(pair(number).client,
            kind_ == Kind::message ? head : head + text_.create);
    }

    // The provider has a whole request, or message.
    void asked(int fd) {
        auto &from = end(fd);
        auto at = from.came.find("session-id: ");
        if (at != string::npos) {
            from.number = std::atoi(from.came.c_str() + at + 12);
            pair(from.number).provider = fd;
        }
        pair(from.number).step = 0;
        bool is_head = at != string::npos;
        string out = is_head ? reply_head(kind_, text_.answer.size()) : "";
        if (kind_ == Kind::request) {
            out += text_.answer;
        } else if (kind_ == Kind::event || !is_head) {
            out += text_.created;
        }
        put(fd, out);
        from.until = kTextEnd;
    }

    // The client has what the provider sent.
    void answered(End &from) {
        auto &here = pair(from.number);
        if (kind_ == Kind::request) {
            counted_++;
            return end_turn(from.number);
        }
        if (from.until == kHeadEnd) {  // of the handshake
            from.until = kTextEnd;
            return put(here.client, text_.create);
        }
        counted_++;
        if (holds() && here.step == 2) {
            held_++;
        } else if (here.step < kDeltas) {
            put(here.provider, text_.delta);
        } else if (here.step > kDeltas) {
            return end_turn(from.number);
        } else if (kind_ == Kind::event) {
            from.until = kStreamEnd;
            put(here.provider, text_.completed + string{kStreamEnd.substr(2)});
        } else {
            put(here.provider, text_.completed);
        }
        here.step++;
    }

    void end_turn(int number) {
        ended_++;
        if (static_cast<int>(begun_) >= turns_) {
            return;
        }
        if (kind_ == Kind::message) {
            begun_++;
            put(pair(number).client, text_.create);
        } else {
            begin(number);
        }
    }

    Kind kind_;
    const char *key_;
    Text text_;
    int turns_;
    int epoll_ = ::epoll_create1(0);
    int listener_ = -1;
    std::vector<Pair> pairs_;
    std::vector<End> ends_;
    std::size_t begun_ = 0;
    int ended_ = 0;
    std::size_t held_ = 0;
    long counted_ = 0;
};

}  // namespace

int main(int argc, char **argv) {
    if (argc != 7) {
        return 2;
    }
    rlimit files{4096, 4096};
    ::setrlimit(RLIMIT_NOFILE, &files);
    string_view name = argv[1];
    auto kind = name == "request" ? Kind::request
                : name == "event" ? Kind::event
                                  : Kind::message;
    Traffic traffic{kind, argv[4], std::atoi(argv[6])};
    int connections = std::atoi(argv[5]);
    traffic.listen(std::atoi(argv[2]));
    traffic.connect(std::atoi(argv[3]), connections);
    traffic.run(static_cast<std::size_t>(connections));
    if (traffic.holds()) {
        std::puts("open");
        std::fflush(stdout);
        char byte;
        return ::read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
    }
    std::printf("%ld\n", traffic.counted());
    return 0;
}
