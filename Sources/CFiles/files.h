// openat2(2) and sync_file_range(2), for which the C library has no name, or only under _GNU_SOURCE.
#ifndef HEADRACE_FILES_H
#define HEADRACE_FILES_H

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

// Opens what lies below a folder, by a path without links, if the kernel has all of it in memory: EAGAIN if the disk would have to be asked. ENOSYS
// before Linux 5.6, EINVAL before 5.12.
static inline int headrace_open_cached(int folder, const char *path, uint64_t flags) {
#ifdef SYS_openat2
    // RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_CACHED of linux/openat2.h, which older headers do not have.
    struct { uint64_t flags, mode, resolve; } how = { .flags = flags, .mode = 0, .resolve = 0x04 | 0x08 | 0x20 };
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
#else
    errno = ENOSYS;
    return -1;
#endif
}

// Has the disk begin with a part of a file, and waits for nothing.
static inline void headrace_begin_writeback(int file, int64_t offset, int64_t count) {
#ifdef SYS_sync_file_range
    // SYNC_FILE_RANGE_WRITE
    syscall(SYS_sync_file_range, file, offset, count, 2);
#endif
}

#endif
