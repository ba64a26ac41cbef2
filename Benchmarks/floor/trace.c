// Asks a server of Redis' protocol for keys as a cache is asked, and prints how many of 100 were there.
//
//   trace PORT zipf|one-hit|drift KEYS REQUESTS     GET, and SET of 100 bytes where nothing is there
//   trace PORT fill KEYS BYTES                      sets each key once, to the same letters
//   trace PORT noise KEYS BYTES                     sets each key once, to bytes that nothing makes smaller
//   trace belady zipf|one-hit|drift KEYS REQUESTS   asks nobody: the share that a cache of KEYS / 20 keys would have which knew all
//                                                   requests to come, and let go what is wanted last (Belady, 1966)
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

// The requests, one after the other.
static long keys;
static int one_hit, drift;
static double *sums, sum;
static uint64_t *key_of_rank, never_again;

static void swap(long a, long b) {
    uint64_t kept = key_of_rank[a];
    key_of_rank[a] = key_of_rank[b];
    key_of_rank[b] = kept;
}

static void begin(const char *kind) {
    one_hit = strcmp(kind, "one-hit") == 0, drift = strcmp(kind, "drift") == 0;
    sums = malloc(keys * sizeof *sums);
    key_of_rank = malloc(keys * sizeof *key_of_rank);
    if (!sums || !key_of_rank) fail("no memory");
    for (long rank = 0; rank < keys; rank++) {
        sums[rank] = sum += pow(rank + 1, -0.99);
        key_of_rank[rank] = rank;
    }
    for (long rank = keys - 1; rank > 0; rank--) swap(rank, next() % (rank + 1));
    never_again = keys;
}

static uint64_t draw(long asked) {
    if (drift && asked % 100000 == 0)
        for (long change = 0; change < keys / 200; change++) {
            long a = next() % keys;
            swap(a, next() % keys);
        }
    if (one_hit && next() % 4 == 0) return never_again++;
    double point = unit() * sum;
    long low = 0, high = keys - 1;
    while (low < high) {
        long middle = (low + high) / 2;
        if (sums[middle] > point) high = middle; else low = middle + 1;
    }
    return key_of_rank[low];
}

// The keys that are there, the one on top that is wanted last. What was said of a key before its latest use is passed over.
struct place { long wanted; uint64_t key; };
static struct place *heap;
static long heap_count;

static void push(long wanted, uint64_t key) {
    long at = heap_count++;
    for (; at > 0 && heap[(at - 1) / 2].wanted < wanted; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = (struct place){wanted, key};
}

static struct place pop(void) {
    struct place top = heap[0], last = heap[--heap_count];
    long at = 0;
    for (long child; (child = 2 * at + 1) < heap_count; at = child) {
        if (child + 1 < heap_count && heap[child + 1].wanted > heap[child].wanted) child++;
        if (heap[child].wanted <= last.wanted) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

static double belady(long requests) {
    uint64_t *asked = malloc(requests * sizeof *asked);
    long *wanted_next = malloc(requests * sizeof *wanted_next);
    if (!asked || !wanted_next) fail("no memory");
    for (long index = 0; index < requests; index++) asked[index] = draw(index);
    // By key: when it is wanted next, -1 while it is not there.
    long *there = malloc(never_again * sizeof *there);
    heap = malloc(requests * sizeof *heap);
    if (!there || !heap) fail("no memory");
    for (uint64_t key = 0; key < never_again; key++) there[key] = requests;
    for (long index = requests - 1; index >= 0; index--) {
        wanted_next[index] = there[asked[index]];
        there[asked[index]] = index;
    }
    for (uint64_t key = 0; key < never_again; key++) there[key] = -1;
    long hits = 0, resident = 0, capacity = keys / 20;
    for (long index = 0; index < requests; index++) {
        uint64_t key = asked[index];
        if (there[key] >= 0) {
            hits++;
        } else if (resident == capacity) {
            struct place last;
            do last = pop(); while (there[last.key] != last.wanted);
            there[last.key] = -1;
        } else {
            resident++;
        }
        there[key] = wanted_next[index];
        push(wanted_next[index], key);
    }
    return 100.0 * hits / requests;
}

int main(int argc, char **argv) {
    if (argc != 5) fail("usage: trace PORT|belady zipf|one-hit|drift KEYS REQUESTS, or trace PORT fill|noise KEYS BYTES");
    long requests = atol(argv[4]);
    keys = atol(argv[3]);
    if (keys < 20) fail("too few keys");
    if (strcmp(argv[1], "belady") == 0) {
        begin(argv[2]);
        printf("%.2f\n", belady(requests));
        return 0;
    }
    descriptor = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail("nobody listens");
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    memset(value, 'v', sizeof value);
    int noise = strcmp(argv[2], "noise") == 0;
    if (noise || strcmp(argv[2], "fill") == 0) {
        value_count = requests;
        if (value_count < 0 || value_count > value_max) fail("a value has at most 65536 bytes");
        for (long key = 0; key < keys;) {
            int batch = 0;
            for (; batch < depth && key < keys; batch++) {
                for (long index = 0; noise && index < value_count; index++) value[index] = next();
                set(key++);
            }
            flush_out();
            for (int index = 0; index < batch; index++) reply();
        }
        return 0;
    }
    begin(argv[2]);
    long hits = 0, asked = 0;
    uint64_t wanted[depth];
    while (asked < requests) {
        int batch = 0;
        for (; batch < depth && asked < requests; batch++) get(wanted[batch] = draw(asked++));
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
