// The one thing that the engine reads in the metadata: module paths, to name the steps of a profile.
#include "format.h"

namespace onebit {
namespace {

// Walks over JSON without building anything; stops at whatever it does not understand.
struct Scanner {
    const char *at, *end;

    void blank() {
        while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) ++at;
    }

    bool take(char expected) {
        blank();
        if (at == end || *at != expected) return false;
        ++at;
        return true;
    }

    // Escapes stand for one question mark each: module paths have none.
    bool text(std::string *out) {
        if (!take('"')) return false;
        for (; at < end; ++at) {
            if (*at == '"') {
                ++at;
                return true;
            }
            if (*at == '\\' && ++at == end) return false;
            if (out && out->size() < 256) out->push_back(at[-1] == '\\' ? '?' : *at);
        }
        return false;
    }

    bool skip_value() {
        int depth = 0;
        do {
            blank();
            if (at == end) return false;
            if (*at == '"') {
                if (!text(nullptr)) return false;
            } else if (*at == '{' || *at == '[') {
                ++depth, ++at;
            } else if (*at == '}' || *at == ']') {
                --depth, ++at;
            } else if (*at == ',' || *at == ':') {
                if (depth == 0) return false;
                ++at;
            } else {
                while (at < end && *at != ',' && *at != '}' && *at != ']' && *at != ':' && *at != '"' && *at != ' ' && *at != '\n') ++at;
            }
        } while (depth > 0);
        return depth == 0;
    }
};

}  // namespace

std::vector<std::string> read_paths(const char *metadata, size_t size, size_t operations) {
    std::vector<std::string> paths(operations);
    Scanner scan{metadata, metadata + size};
    if (!scan.take('{')) return paths;
    do {
        std::string key;
        if (!scan.text(&key) || !scan.take(':')) return paths;
        if (key != "paths") {
            if (!scan.skip_value()) return paths;
            continue;
        }
        if (!scan.take('[')) return paths;
        for (std::string &path : paths)
            if (!scan.text(&path) || !scan.take(',')) return paths;
        return paths;
    } while (scan.take(','));
    return paths;
}

}  // namespace onebit
