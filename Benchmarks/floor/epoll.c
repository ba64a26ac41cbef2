// The floor: what a cached answer costs when nothing but the kernel does anything. One epoll loop that answers every
// request with the bytes of a file. The benchmark also uses it as the application behind the proxies.
//
// usage: epoll PORT FILE [LOOPS]   (FILE is a whole response: status line, fields, empty line, body)
//
// Several loops are processes of their own, among which the kernel spreads the connections: they share nothing.
//
// It knows that a request ends with an empty line, wherever the reads cut it, and that several may come in one read;
// requests with a body it does not know.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVENTS = 64, CONNECTIONS = 65536 };

static char *response;
static size_t responseBytes;
static unsigned char matched[CONNECTIONS];  // how much of "\r\n\r\n" a connection's last bytes were, by descriptor

static void fail(const char *what) { perror(what); exit(1); }

static int sendResponse(int descriptor) {
    for (size_t sent = 0; sent < responseBytes;) {
        ssize_t count = send(descriptor, response + sent, responseBytes - sent, MSG_NOSIGNAL);
        if (count > 0) { sent += (size_t)count; continue; }
        if (count < 0 && errno == EAGAIN) {  // a large response to a slow reader; nothing that is measured comes here
            struct pollfd writable = { .fd = descriptor, .events = POLLOUT };
            poll(&writable, 1, 1000);
            continue;
        }
        return -1;
    }
    return 0;
}

// Reads once and answers each request that ends in what was read.
static int serve(int descriptor) {
    static const char end[] = "\r\n\r\n";
    char bytes[16384];
    ssize_t count = recv(descriptor, bytes, sizeof bytes, 0);
    if (count <= 0) return count < 0 && errno == EAGAIN ? 0 : -1;
    unsigned char state = matched[descriptor];
    for (ssize_t i = 0; i < count; i++) {
        state = bytes[i] == end[state] ? state + 1 : bytes[i] == '\r';
        if (state < 4) continue;
        state = 0;
        if (sendResponse(descriptor) < 0) return -1;
    }
    matched[descriptor] = state;
    return 0;
}

static void loadResponse(const char *path) {
    int file = open(path, O_RDONLY);
    struct stat status;
    if (file < 0 || fstat(file, &status) < 0) fail(path);
    responseBytes = (size_t)status.st_size;
    response = malloc(responseBytes);
    if (!response || read(file, response, responseBytes) != (ssize_t)responseBytes) fail(path);
    close(file);
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4) { fprintf(stderr, "usage: epoll PORT FILE [LOOPS]\n"); return 2; }
    loadResponse(argv[2]);
    for (int loops = argc == 4 ? atoi(argv[3]) : 1; loops > 1; loops--) {
        pid_t child = fork();
        if (child < 0) fail("fork");
        if (child == 0) { prctl(PR_SET_PDEATHSIG, SIGTERM); break; }
    }
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), loop = epoll_create1(0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1])) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) fail("listen");
    struct epoll_event event = { .events = EPOLLIN, .data.fd = listener }, events[EVENTS];
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(loop, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int descriptor = events[i].data.fd;
            if (descriptor != listener) {
                if (serve(descriptor) < 0) close(descriptor);
                continue;
            }
            int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (client < 0) continue;
            if (client >= CONNECTIONS) { close(client); continue; }
            setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            matched[client] = 0;
            event = (struct epoll_event){ .events = EPOLLIN, .data.fd = client };
            epoll_ctl(loop, EPOLL_CTL_ADD, client, &event);
        }
    }
}
