// The system's resolver as one call. What it says is read in Edge/Upstream/DNSMessage.swift.
#ifndef HEADRACE_RESOLVER_H
#define HEADRACE_RESOLVER_H

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <string.h>

// Asks for the records of a type (1 A, 28 AAAA, 33 SRV) under a name, of the servers in /etc/resolv.conf, or of one IPv4 server if
// `server` is not NULL. Waits; at most some 2 * seconds.
// Returns the answer's length, which may be more than `size`; -1 when no server answered, -2 when the name does not exist, -3 when it has
// no such record.
static inline int headrace_dns_query(const char *name, int type, const char *server, unsigned short port, int seconds,
                                     unsigned char *answer, int size) {
    struct __res_state state;
    memset(&state, 0, sizeof(state));
    if (res_ninit(&state) != 0) return -1;
    state.retrans = seconds;
    state.retry = 2;
    if (server) {
        struct sockaddr_in address;
        memset(&address, 0, sizeof(address));
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        if (inet_pton(AF_INET, server, &address.sin_addr) != 1) {
            res_nclose(&state);
            return -1;
        }
        state.nsaddr_list[0] = address;
        state.nscount = 1;
    }
    int length = res_nquery(&state, name, ns_c_in, type, answer, size);
    int error = state.res_h_errno;
    res_nclose(&state);
    if (length >= 0) return length;
    return error == HOST_NOT_FOUND ? -2 : error == NO_DATA ? -3 : -1;
}

#endif
