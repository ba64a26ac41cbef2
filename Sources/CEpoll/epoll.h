// epoll(7) and what else of sockets Swift's modules of the C library leave out, or spell in different ways.
#ifndef HEADRACE_EPOLL_H
#define HEADRACE_EPOLL_H

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Waits so many nanoseconds at most. Kernels before 5.11 know milliseconds only, of which it is then the next whole one.
static inline int headrace_epoll_wait(int epoll, struct epoll_event *events, int eventsMax, int64_t nanoseconds) {
#ifdef SYS_epoll_pwait2
    struct timespec time = { .tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000 };
    int count = (int)syscall(SYS_epoll_pwait2, epoll, events, eventsMax, &time, NULL, 0);
    // EPERM: a container's filter that does not know the call.
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
#endif
    return epoll_wait(epoll, events, eventsMax, (int)((nanoseconds + 999999) / 1000000));
}

// Has the thread's waits end when they should, and not up to 50 microseconds later.
static inline void headrace_wait_precisely(void) { prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); }

static inline int headrace_stream_socket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

#endif
