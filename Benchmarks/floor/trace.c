// Asks a server of Redis' protocol for keys as a cache is asked, and prints how many of 100 were there.
//
//   trace PORT zipf|one-hit|drift KEYS REQUESTS     GET, and SET of 100 bytes where nothing is there
//   trace PORT fill KEYS BYTES                      sets each key once
//
// Popularity falls as 1 / rank^0.99. one-hit: a quarter of the requests is for keys that never come again. drift: with each 100,000
// requests a hundredth of the keys change places. The same requests each time: the seed is fixed. 16 requests are under way at a time.
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { depth = 16, value_max = 1 << 16 };

static uint64_t state = 2026;
static uint64_t next(void) {  // splitmix64
    uint64_t z = (state += 0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}
static double unit(void) { return (next() >> 11) * 0x1p-53; }

static int descriptor;
static char out[depth * (value_max + 128)];
static size_t out_count;
static char in[1 << 20];
static size_t in_start, in_end;

static void fail(const char *why) {
    fprintf(stderr, "trace: %s\n", why);
    exit(1);
}

static void flush_out(void) {
    for (size_t sent = 0; sent < out_count;) {
        ssize_t count = send(descriptor, out + sent, out_count - sent, MSG_NOSIGNAL);
        if (count <= 0) fail("the server has closed the connection");
        sent += count;
    }
    out_count = 0;
}

static void more(void) {
    if (in_start > 0) {
        memmove(in, in + in_start, in_end - in_start);
        in_end -= in_start;
        in_start = 0;
    }
    if (in_end == sizeof in) fail("a reply is too long");
    ssize_t count = recv(descriptor, in + in_end, sizeof in - in_end, 0);
    if (count <= 0) fail("the server has closed the connection");
    in_end += count;
}

// A reply: 1 for a value or OK, 0 for none.
static int reply(void) {
    char *end;
    while (!(end = memchr(in + in_start, '\n', in_end - in_start))) more();
    char type = in[in_start];
    long length = atol(in + in_start + 1);
    if (type == '-') {
        *end = 0;
        fail(in + in_start);
    }
    in_start = end + 1 - in;
    if (type != '$') return 1;
    if (length < 0) return 0;
    while (in_end - in_start < (size_t)length + 2) more();
    in_start += length + 2;
    return 1;
}

static char value[value_max];
static long value_count = 100;

static void get(uint64_t key) { out_count += sprintf(out + out_count, "*2\r\n$3\r\nGET\r\n$16\r\nkey:%012llu\r\n", (unsigned long long)key); }

static void set(uint64_t key) {
    out_count += sprintf(out + out_count, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012llu\r\n$%ld\r\n", (unsigned long long)key, value_count);
    memcpy(out + out_count, value, value_count);
    out_count += value_count;
    memcpy(out + out_count, "\r\n", 2);
    out_count += 2;
}

int main(int argc, char **argv) {
    if (argc != 5) fail("usage: trace PORT zipf|one-hit|drift KEYS REQUESTS, or trace PORT fill KEYS BYTES");
    descriptor = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail("nobody listens");
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    memset(value, 'v', sizeof value);
    long keys = atol(argv[3]), requests = atol(argv[4]);
    if (keys < depth) fail("too few keys");

    if (strcmp(argv[2], "fill") == 0) {
        value_count = requests;
        if (value_count < 0 || value_count > value_max) fail("a value has at most 65536 bytes");
        for (long key = 0; key < keys;) {
            int batch = 0;
            for (; batch < depth && key < keys; batch++) set(key++);
            flush_out();
            for (int index = 0; index < batch; index++) reply();
        }
        return 0;
    }
    int one_hit = strcmp(argv[2], "one-hit") == 0, drift = strcmp(argv[2], "drift") == 0;
    double *sums = malloc(keys * sizeof *sums);
    uint64_t *key_of_rank = malloc(keys * sizeof *key_of_rank);
    if (!sums || !key_of_rank) fail("no memory");
    double sum = 0;
    for (long rank = 0; rank < keys; rank++) {
        sums[rank] = sum += pow(rank + 1, -0.99);
        key_of_rank[rank] = rank;
    }
    for (long rank = keys - 1; rank > 0; rank--) {
        long other = next() % (rank + 1);
        uint64_t kept = key_of_rank[rank];
        key_of_rank[rank] = key_of_rank[other];
        key_of_rank[other] = kept;
    }
    long hits = 0, asked = 0;
    uint64_t never_again = keys, wanted[depth];
    while (asked < requests) {
        int batch = 0;
        for (; batch < depth && asked < requests; batch++, asked++) {
            if (drift && asked % 100000 == 0)
                for (long change = 0; change < keys / 200; change++) {
                    long a = next() % keys, b = next() % keys;
                    uint64_t kept = key_of_rank[a];
                    key_of_rank[a] = key_of_rank[b];
                    key_of_rank[b] = kept;
                }
            if (one_hit && next() % 4 == 0) {
                wanted[batch] = never_again++;
            } else {
                double point = unit() * sum;
                long low = 0, high = keys - 1;
                while (low < high) {
                    long middle = (low + high) / 2;
                    if (sums[middle] > point) high = middle; else low = middle + 1;
                }
                wanted[batch] = key_of_rank[low];
            }
            get(wanted[batch]);
        }
        flush_out();
        int missed = 0;
        for (int index = 0; index < batch; index++) {
            if (reply()) {
                hits++;
            } else {
                set(wanted[index]);
                missed++;
            }
        }
        if (missed) flush_out();
        for (int index = 0; index < missed; index++) reply();
    }
    printf("%.2f\n", 100.0 * hits / requests);
    return 0;
}
