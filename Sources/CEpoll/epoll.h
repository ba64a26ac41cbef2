// epoll(7) and what else of sockets Swift's modules of the C library leave out, or spell in different ways.
#ifndef HEADRACE_EPOLL_H
#define HEADRACE_EPOLL_H

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
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

static inline void headrace_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0UL, 0UL, 0UL); }

static inline int headrace_is_scheduled_as_other(void) { return syscall(SYS_sched_getscheduler, 0) == SCHED_OTHER; }

// Linux' own, which the C library names only for _GNU_SOURCE.
#ifndef SCHED_BATCH
#define SCHED_BATCH 3
#endif
#ifndef SCHED_IDLE
#define SCHED_IDLE 5
#endif

// The calling thread: SCHED_BATCH, or SCHED_OTHER again. Not by the C library, of which one kind refuses it.
static inline void headrace_schedule_as_batch(int isOn) {
    struct sched_param none = { .sched_priority = 0 };
    syscall(SYS_sched_setscheduler, 0, isOn ? SCHED_BATCH : SCHED_OTHER, &none);
}

static inline void headrace_schedule_as_idle(void) {
    struct sched_param none = { .sched_priority = 0 };
    syscall(SYS_sched_setscheduler, 0, SCHED_IDLE, &none);
}

static inline int headrace_stream_socket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

static inline int headrace_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

static inline int headrace_timerfd(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); }

// Goes off once, after so many nanoseconds; 0 would be never.
static inline void headrace_timerfd_set(int timer, int64_t nanoseconds) {
    struct itimerspec time = { .it_value = { .tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000 } };
    timerfd_settime(timer, 0, &time, NULL);
}

static inline int headrace_accept(int listener, struct sockaddr_storage *address) {
    socklen_t size = sizeof *address;
    return (int)syscall(SYS_accept4, listener, address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

// Of one end of a connection: the other's, or its own.
static inline int headrace_address(int descriptor, int isPeer, struct sockaddr_storage *address) {
    socklen_t size = sizeof *address;
    return isPeer ? getpeername(descriptor, (struct sockaddr *)address, &size) : getsockname(descriptor, (struct sockaddr *)address, &size);
}

#endif
