// The floor of a load generator: what asking costs when nothing but the kernel does anything. One epoll loop that sends a
// request on each of its connections, and the next one as soon as the answer is there. No clock, no histogram, no check.
//
// usage: client PORT CONNECTIONS SECONDS RESPONSE-BYTES       (prints how many answers came)
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 64, CONNECTIONS = 65536 };

static const char request[] = "GET /page HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
static size_t missing[CONNECTIONS];  // of the answer under way, by descriptor

static void fail(const char *what) { perror(what); exit(1); }

static void ask(int descriptor, size_t responseBytes) {
    if (send(descriptor, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1) fail("send");
    missing[descriptor] = responseBytes;
}

int main(int argc, char **argv) {
    if (argc != 5) { fprintf(stderr, "usage: client PORT CONNECTIONS SECONDS RESPONSE-BYTES\n"); return 2; }
    int connections = atoi(argv[2]), one = 1, loop = epoll_create1(0);
    size_t responseBytes = (size_t)atol(argv[4]);
    time_t end = time(NULL) + atoi(argv[3]);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1])) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < connections; i++) {
        int descriptor = socket(AF_INET, SOCK_STREAM, 0);
        if (descriptor < 0 || descriptor >= CONNECTIONS || connect(descriptor, (struct sockaddr *)&address, sizeof address)) fail("connect");
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = { .events = EPOLLIN, .data.fd = descriptor };
        epoll_ctl(loop, EPOLL_CTL_ADD, descriptor, &event);
        ask(descriptor, responseBytes);
    }
    unsigned long answers = 0;
    for (unsigned turn = 0; turn % 64 || time(NULL) < end; turn++) {
        struct epoll_event events[EVENTS];
        char bytes[16384];
        int count = epoll_wait(loop, events, EVENTS, 1000);
        for (int i = 0; i < count; i++) {
            int descriptor = events[i].data.fd;
            ssize_t got = recv(descriptor, bytes, sizeof bytes, MSG_DONTWAIT);
            if (got <= 0 || (size_t)got > missing[descriptor]) fail("recv");
            missing[descriptor] -= (size_t)got;
            if (missing[descriptor]) continue;
            answers++;
            ask(descriptor, responseBytes);
        }
    }
    printf("%lu\n", answers);
    return 0;
}
