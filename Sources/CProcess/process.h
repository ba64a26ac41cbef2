// What a process may, and descriptors that it hands to another: calls that Swift's modules of the C library leave out, or that macros are needed for.
#ifndef HEADRACE_PROCESS_H
#define HEADRACE_PROCESS_H

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

// Whether this thread may anything that its user may not, by capabilities(7).
static inline int headrace_has_capabilities(void) {
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &header, sets) != 0) return 0;
    return (sets[0].permitted | sets[1].permitted | sets[0].inheritable | sets[1].inheritable) != 0;
}

// Makes this thread that of another user, for good. The C library's calls of these names would do so for all threads.
static inline int headrace_become_on_thread(uid_t user, gid_t group, const gid_t *groups, size_t count) {
    if (syscall(SYS_setgroups, count, groups) != 0) return -1;
    if (syscall(SYS_setresgid, group, group, group) != 0) return -1;
    return (int)syscall(SYS_setresuid, user, user, user);
}

// Takes every capability from this thread, the ambient ones with them, and has no program that it starts give it any.
static inline int headrace_give_up_capabilities(void) {
    // Who has no more rights than a thread may look into the memory of its process (ptrace(2)), unless that has been forbidden.
    if (prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) != 0) return -1;
    if (headrace_has_capabilities()) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
        struct __user_cap_data_struct none[2];
        memset(none, 0, sizeof none);
        if (syscall(SYS_capset, &header, none) != 0) return -1;
    }
    return prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL);
}

// Whether a list says more of who may change a file than its mode does (acl(5)).
static inline int headrace_has_access_list(const char *path) { return getxattr(path, "system.posix_acl_access", NULL, 0) > 0; }

// Sends bytes, and with them a descriptor unless it is -1.
static inline ssize_t headrace_send(int socket, const void *bytes, size_t count, int descriptor) {
    struct iovec part = { .iov_base = (void *)bytes, .iov_len = count };
    union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control;
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (descriptor >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    ssize_t sent;
    do sent = sendmsg(socket, &message, MSG_NOSIGNAL); while (sent < 0 && errno == EINTR);
    return sent;
}

// Receives bytes and the descriptor that came with them, or -1 for it. Descriptors beyond the first are closed by the kernel.
static inline ssize_t headrace_receive(int socket, void *bytes, size_t count, int *descriptor) {
    struct iovec part = { .iov_base = bytes, .iov_len = count };
    union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control;
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space };
    *descriptor = -1;
    ssize_t received;
    do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC); while (received < 0 && errno == EINTR);
    if (received < 0) return received;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
    return received;
}

// Has each datagram that comes say whose it is (SO_PASSCRED, unix(7)).
static inline int headrace_want_senders(int socket) {
    int on = 1;
    return setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
}

// Receives a datagram and the number of the process that has sent it, by the kernel's word; 0 where it has none.
static inline ssize_t headrace_receive_from(int socket, void *bytes, size_t count, pid_t *sender) {
    // struct ucred, and the number of its message, which the C library has for _GNU_SOURCE alone.
    struct { pid_t process; uid_t user; gid_t group; } credentials;
    const int scm_credentials = 2;
    struct iovec part = { .iov_base = bytes, .iov_len = count };
    union { struct cmsghdr header; char space[CMSG_SPACE(sizeof credentials)]; } control;
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space };
    *sender = 0;
    ssize_t received;
    do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC); while (received < 0 && errno == EINTR);
    if (received < 0) return received;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == scm_credentials && header->cmsg_len == CMSG_LEN(sizeof credentials)) {
        memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
        *sender = credentials.process;
    }
    return received;
}

#endif
